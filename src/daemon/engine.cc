#include "daemon/engine.h"

#include <fmt/format.h>

#include <algorithm>
#include <boost/asio/post.hpp>
#include <charconv>
#include <filesystem>
#include <set>
#include <utility>

#include "base/files.h"
#include "base/log.h"

namespace polysome {
namespace {

constexpr std::int64_t kProgressEveryMs = 250;
constexpr std::int64_t kStoreProgressEveryMs = 2000;

template <class... F>
struct Overloaded : F... {
  using F::operator()...;
};
template <class... F>
Overloaded(F...) -> Overloaded<F...>;

}  // namespace

Engine::Engine(boost::asio::io_context& loop, EngineConfig config, Store& store,
               OperationCatalog catalog, DatasetCatalog datasets, const ExecutorFactory& executor,
               DataService& data)
    : loop_(loop),
      config_(std::move(config)),
      store_(store),
      catalog_(std::move(catalog)),
      datasets_(std::move(datasets)),
      data_(data),
      journal_(store),
      log_(config_.log_dir),
      executor_(executor([this](const Report& report) { take(report); })),
      tick_timer_(loop),
      progress_timer_(loop),
      metrics_timer_(loop),
      sweep_timer_(loop),
      started_at_(mono_now()) {}

Engine::~Engine() = default;

// Events are handled one after the other, also those that arise while one is being handled.
void Engine::handle(core::Event event) {
  events_.push_back(std::move(event));
  if (handling_) return;
  handling_ = true;
  while (!events_.empty()) {
    const core::Event next = std::move(events_.front());
    events_.pop_front();
    for (const auto& command : core_->step(next, mono_now())) carry_out(command);
  }
  for (auto& [job, ranges] : finished_) store_.record_tasks(job, std::move(ranges));
  finished_.clear();
  handling_ = false;
  schedule_tick();
}

void Engine::take(const Report& report) {
  count_faults(report);
  std::visit(Overloaded{
                 [&](const report::WorkerReady& r) { handle(core::WorkerReady{r.worker, r.pid}); },
                 [&](const report::WorkerLost& r) {
                   handle(core::WorkerLost{r.worker, r.by_kill, r.message});
                 },
                 [&](const report::SlotLost& r) {
                   handle(core::SlotLost{r.worker, r.slot, r.by_kill, r.out_of_memory, r.message,
                                         r.peak_memory, r.cpu_seconds});
                 },
                 [&](const report::WorkerHeard& r) {
                   handle(core::WorkerHeard{r.worker, r.memory_used, r.cpu_percent});
                 },
                 [&](const report::TaskStarted& r) { handle(core::TaskStarted{r.attempt}); },
                 [&](const report::TaskProgressed& r) {
                   handle(core::TaskProgressed{r.progress.attempt, r.progress.bytes,
                                               r.progress.memory, r.progress.cpu_seconds});
                 },
                 [&](const report::TaskFinished& r) {
                   const auto known = running_.extract(r.result.attempt);
                   if (r.result.reused && !known.empty()) count_reused(known.mapped().task.job);
                   if (!known.empty()) measure(r.result, known.mapped().task);
                   if (known.empty() || r.result.fragment_file.empty())
                     handle(core::TaskFinished{r.result, std::nullopt});
                   else
                     handle(with_fragment(r.result, known.mapped().task));
                 },
                 [&](const report::TaskFailed& r) { take_failure(r.failure); },
                 [&](const report::TaskLogged& r) { note_logged(r); },
             },
             report);
}

// A reader that finds an input lost says which task must be done again: "output lost: STAGE/INDEX:
// why".
void Engine::take_failure(const TaskFailure& failure) {
  const auto known = running_.extract(failure.attempt);
  if (!known.empty())
    log_task(known.mapped().task,
             {"warning", "", "", 0, "attempt failed: " + failure.error.message});
  constexpr std::string_view kLost = "output lost: ";
  const std::string& message = failure.error.message;
  if (!known.empty() && failure.error.code == Code::kIo && message.starts_with(kLost)) {
    const TaskRef reader = known.mapped().task;
    const auto slash = message.find('/', kLost.size());
    const auto view = core_->job(reader.job, mono_now());
    TaskRef lost{reader.job, 0, 0};
    if (view && slash != std::string::npos &&
        std::from_chars(message.data() + slash + 1, message.data() + message.size(), lost.index)
                .ec == std::errc()) {
      const auto stage = message.substr(kLost.size(), slash - kLost.size());
      const auto it = std::ranges::find(view->stages, stage, &StageState::name);
      if (it != view->stages.end()) {
        lost.stage = static_cast<std::uint32_t>(it - view->stages.begin());
        log::warning("job {}: {}", reader.job.text(), message);
        handle(core::OutputLost{failure.attempt, lost, message});
        return;
      }
    }
  }
  handle(core::TaskFailed{failure});
}

// The planner's fragment is a file; the core gets it parsed. An unreadable one is handed on without
// stages, which the core takes as a failure of the planner.
core::TaskFinished Engine::with_fragment(const TaskResult& result, const TaskRef& task) {
  core::TaskFinished out{result, std::nullopt};
  const auto path = std::filesystem::path(job_folder(task.job)) / result.fragment_file;
  const auto text = read_file(path, kMaxFragmentBytes * 2);
  if (!text) {
    log::error("{}", text.error().message);
    return out;
  }
  auto json = parse_trusted_json(*text);
  auto fragment = json ? Fragment::from_json(*json, result.fragment_file)
                       : Result<Fragment>(std::unexpected(json.error()));
  if (!fragment) {
    log::error("{}: {}", path.string(), fragment.error().message);
    return out;
  }
  if (const auto it = active_.find(task.job); it != active_.end())
    for (const auto& stage : fragment->stages) {
      it->second.plan.push_back(stage);
      it->second.plan.back().body = Json();
    }
  out.fragment = std::move(*fragment);
  return out;
}

void Engine::carry_out(const core::Command& command) {
  std::visit(
      Overloaded{
          [&](const core::StartWorker& c) {
            executor_->start_worker(c.worker, c.slots, c.memory_limit);
            cluster_moved();
          },
          [&](const core::StopWorker& c) {
            executor_->stop_worker(c.worker, c.force);
            cluster_moved();
          },
          [&](const core::StartTask& c) { start_task(c); },
          [&](const core::CancelTask& c) {
            if (const auto it = running_.find(c.attempt); it != running_.end())
              it->second.told_to_stop = true;
            executor_->cancel_task(c.worker, c.slot, c.attempt);
          },
          [&](const core::RecordTask& c) {
            finished_[c.task.job].push_back({c.task.stage, c.task.index, c.task.index});
          },
          [&](const core::ForgetTask& c) {
            // Order matters: what was recorded in this step goes first.
            if (const auto it = finished_.find(c.task.job); it != finished_.end()) {
              store_.record_tasks(c.task.job, std::move(it->second));
              finished_.erase(it);
            }
            store_.forget_task(c.task.job, c.task.stage, c.task.index);
          },
          [&](const core::JobChanged& c) { job_changed(c.job); },
          [&](const core::JobProgressed& c) { job_progressed(c.job); },
          [&](const core::JobEnded& c) { end_job(c); },
          [&](const core::Announce& c) {
            journal_.append(c.type, std::nullopt, "", c.data);
            cluster_moved();
          },
          [&](const core::ScalingDecided& c) {
            journal_.append(
                "cluster.autoscale", std::nullopt, "",
                {{"from", c.from}, {"to", c.to}, {"reason", c.reason}, {"numbers", c.numbers}});
            store_.append_decision({0, wall_now(), c.from, c.to, c.reason, c.numbers});
            if (c.to != config_.cluster.n_workers && c.to > 0) {
              config_.cluster.n_workers = c.to;
              store_cluster();
            }
            cluster_moved();
          },
      },
      command);
}

std::string Engine::job_folder(JobId id) const { return config_.work_dir + "/" + id.text(); }

// The job as its tasks read it. Errors: kUserData for a dataset that is a result not there yet.
Result<Json> Engine::job_description(JobSpec spec) {
  for (auto& ref : spec.datasets) {
    if (!ref.source.starts_with("job:")) continue;
    POLYSOME_ASSIGN(ref.files, result_files(ref.source));
    ref.source.clear();
    ref.format = "parquet";
  }
  const auto cluster = core_->cluster();
  return Json{{"spec", spec.to_json()},
              {"options",
               {{"slots", std::max(1, cluster.spec.n_workers * cluster.spec.threads_per_worker)},
                {"memory", cluster.spec.memory_per_slot()},
                {"read_roots", readable_roots()},
                {"output_roots", config_.output_roots},
                {"result_folder", config_.output_roots.empty() ? "" : config_.output_roots.front()},
                {"program", POLYSOME_VERSION},
                {"keep_table", config_.keep_tables}}}};
}

Status Engine::write_job_file(const ActiveJob& job) {
  POLYSOME_ASSIGN(const Json body, job_description(job.spec));
  const std::string folder = job_folder(job.spec.id);
  POLYSOME_TRY(make_folders(folder));
  return write_file(folder + "/job.json", dump(body), false);
}

void Engine::start_task(const core::StartTask& c) {
  TaskSpec spec;
  spec.task = c.task;
  spec.attempt = c.attempt;
  spec.attempt_number = c.attempt_number;
  spec.stage_name = c.stage_name;
  spec.job_folder = job_folder(c.task.job);
  spec.fragment_file = c.fragment_file;
  spec.place = c.place;
  spec.grant = c.grant;
  spec.start_inside_quotes = c.start_inside_quotes;
  spec.split = c.split;
  const auto it = active_.find(c.task.job);
  const bool root = c.task.stage == 0;
  if (root && it != active_.end()) {
    spec.fragment_file = "job.json";
    if (auto written = write_job_file(it->second); !written) {
      TaskFailure failure;
      failure.attempt = c.attempt;
      failure.error = written.error();
      boost::asio::post(loop_, [this, failure] { handle(core::TaskFailed{failure}); });
      return;
    }
  }
  running_[c.attempt] = {c.task, c.worker, c.slot, false};
  faults_.attempt_started(it != active_.end() ? it->second.spec.operation : "", c.worker.text());
  executor_->start_task(c.worker, c.slot, spec);
}

// Brings the shown state of a job up to what the core knows.
void Engine::refresh(ActiveJob& job) {
  const MonoTime now = mono_now();
  if (const auto view = core_->job(job.spec.id, now)) {
    show(*view, now, &job.state);
    add_measured(job, &job.state);
  }
}

void Engine::show(const core::JobView& view, MonoTime now, JobState* state) {
  JobState& s = *state;
  const auto wall = [&](MonoTime t) { return wall_now() - (now - t); };
  s.status = view.status;
  s.phase = view.phase;
  s.progress = std::max(s.progress, view.progress);
  s.eta_seconds = view.eta_seconds;
  s.eta_p90_seconds = view.eta_p90_seconds;
  s.stall.reset();
  if (view.stall)
    s.stall = Json{{"task", view.stall->task},
                   {"worker", view.stall->worker},
                   {"since", format_time(wall(view.stall->since))},
                   {"message", view.stall->message}};
  s.stages = view.stages;
  if (view.started && !s.started_at) s.started_at = wall(*view.started);
  if (view.attempts.size() != s.attempts.size() ||
      (!s.attempts.empty() && view.attempts.back().message != s.attempts.back().message)) {
    s.attempts = view.attempts;
    for (std::size_t i = 0; i < s.attempts.size() && i < view.attempt_times.size(); ++i)
      s.attempts[i].at = wall(view.attempt_times[i]);
  }
  s.peak_memory_bytes = view.peak_memory_bytes;
  s.cpu_seconds = view.cpu_seconds;
  s.bytes_read = view.bytes_read;
  s.waiting.reset();
  if (view.waiting)
    s.waiting = Json{{"code", view.waiting->code},
                     {"message", view.waiting->message},
                     {"since", format_time(wall(view.waiting->since))},
                     {"unblocked_by", view.waiting->unblocked_by},
                     {"expected_start", expected_start_json(view.waiting->expected_start)}};
}

void Engine::job_changed(JobId id) {
  const auto it = active_.find(id);
  if (it == active_.end() || it->second.ending) return;
  ActiveJob& job = it->second;
  const auto before = job.state.status;
  const auto phase_before = job.state.phase;
  refresh(job);
  ++job.state.version;
  if (job.state.status != before || job.state.phase != phase_before)
    journal_.append("job.status", id, job.spec.user,
                    {{"status", name(job.state.status)},
                     {"phase", name(job.state.phase)},
                     {"progress", job.state.progress},
                     {"user", job.spec.user}});
  if (job.state.status != before || job.state.phase != phase_before) log_state(id, job.state);
  count_pending(job, job.state.status == JobStatus::kPending);
  if (job.state.status != before) save(job, job.state);
  answer_waiters(job);
}

void Engine::job_progressed(JobId id) {
  const auto it = active_.find(id);
  if (it == active_.end() || it->second.ending) return;
  ActiveJob& job = it->second;
  const MonoTime now = mono_now();
  if (now - job.told_progress >= kProgressEveryMs) {
    send_progress(job, now);
    return;
  }
  job.progress_due = true;
  if (progress_armed_) return;
  progress_armed_ = true;
  progress_timer_.expires_after(Millis(kProgressEveryMs));
  progress_timer_.async_wait([this](const boost::system::error_code& ec) {
    progress_armed_ = false;
    if (ec) return;
    const MonoTime at = mono_now();
    for (auto& [unused, each] : active_)
      if (each.progress_due && !each.ending) send_progress(each, at);
  });
}

void Engine::send_progress(ActiveJob& job, MonoTime now) {
  job.progress_due = false;
  job.told_progress = now;
  const auto view = core_->job(job.spec.id, now);
  if (!view) return;
  refresh(job);
  ++job.state.version;
  journal_.append(
      "job.progress", job.spec.id, job.spec.user,
      {{"progress", job.state.progress},
       {"eta_seconds", job.state.eta_seconds ? Json(*job.state.eta_seconds) : Json()},
       {"eta_p90_seconds", job.state.eta_p90_seconds ? Json(*job.state.eta_p90_seconds) : Json()},
       {"tasks_done", view->tasks_done},
       {"tasks_total", view->tasks_total},
       {"bytes_done", view->bytes_done},
       {"bytes_total", view->bytes_total},
       {"stage", view->current_stage},
       {"message", fmt::format("{} of {} tasks", view->tasks_done, view->tasks_total)},
       {"user", job.spec.user}});
  if (now - job.stored_progress >= kStoreProgressEveryMs) {
    job.stored_progress = now;
    save(job, job.state);
  }
  answer_waiters(job);
}

void Engine::end_job(const core::JobEnded& c) {
  const auto it = active_.find(c.job);
  if (it == active_.end()) return;
  ActiveJob& job = it->second;
  job.ending = true;
  JobState end = job.state;
  show(c.last, mono_now(), &end);
  add_measured(job, &end);
  end.status = c.status;
  end.phase = Phase::kDone;
  end.completed_at = wall_now();
  end.eta_seconds.reset();
  end.eta_p90_seconds.reset();
  end.stall.reset();
  end.waiting.reset();
  ++end.version;
  for (const auto& w : c.warnings) end.warnings.push_back(w);
  if (c.status == JobStatus::kCompleted) {
    end.progress = 100;
    end.result = c.result;
  }
  if (c.error) {
    Json problem = problem_json(*c.error);
    problem["class"] = name(c.fault_class);
    problem["job_id"] = c.job.text();
    if (!c.task.empty()) problem["task"] = c.task;
    end.error = std::move(problem);
  }
  if (end_late_ && job.unwritten && !job.row_sent) return end_late(job, std::move(end));
  commit_end(job, std::move(end));
}

void Engine::commit_end(ActiveJob& job, JobState end) {
  const JobId id = job.spec.id;
  // In the same commit: a job that is completed has its name.
  auto dataset = dataset_of_result(job.spec, end);
  if (dataset) store_.put_dataset(*dataset, {});
  if (end.result.is_object())
    end.result["expires_at"] = dataset || job.spec.keep
                                   ? Json()
                                   : Json(format_time(*end.completed_at + config_.keep_results_ms));
  if (const auto f = finished_.find(id); f != finished_.end()) finished_.erase(f);
  std::erase_if(running_, [&](const auto& attempt) { return attempt.second.task.job == id; });
  log_state(id, end);
  count_pending(job, false);
  const bool began = !job.unwritten || job.row_sent;
  save(job, end);
  note_usage(job, end);
  if (began) store_.drop_tasks(id);
  Json data = {{"status", name(end.status)},
               {"phase", "done"},
               {"progress", end.progress},
               {"user", job.spec.user}};
  if (end.error) data["error"] = *end.error;
  journal_.append("job.status", id, job.spec.user, std::move(data), true);
  store_.flush([this, id, end = std::move(end),
                dataset = std::move(dataset)](const Status& status) {
    const auto found = active_.find(id);
    if (found == active_.end()) return;
    if (!status)
      log::error("the end of job {} could not be stored: {}", id.text(), status.error().message);
    found->second.state = end;
    if (status && dataset) take_name(*dataset);
    finish_end(id);
  });
}

// The end is on disk: tell those who wait, forget the job.
void Engine::finish_end(JobId id) {
  const auto it = active_.find(id);
  if (it == active_.end()) return;
  keep_counts(it->second.spec, it->second.state);
  answer_waiters(it->second);
  remove_intermediates(it->second.spec, it->second.state);
  journal_.forget(id);
  active_.erase(it);
  log_.close(id);
}

void Engine::answer_waiters(ActiveJob& job) {
  std::vector<api::Reply<Json>> due;
  for (auto w = job.waiters.begin(); w != job.waiters.end();) {
    const bool ready = is_final(job.state.status) || (w->after && job.state.version > *w->after);
    if (ready) {
      due.push_back(std::move(w->reply));
      w = job.waiters.erase(w);
    } else {
      ++w;
    }
  }
  if (due.empty()) return;
  const Json body = status_json(job.spec, job.state);
  for (auto& reply : due) reply(body);
}

// What a completed job no longer needs goes at once; a failed or cancelled one keeps its finished
// tasks. Folders that hold files of the result stay.
void Engine::remove_intermediates(const JobSpec& spec, const JobState& state) {
  if (state.status != JobStatus::kCompleted) return;
  namespace fs = std::filesystem;
  std::set<std::string> keep;
  if (state.result.is_object() && state.result.contains("tables"))
    for (const auto& table : state.result["tables"])
      if (table.contains("files"))
        for (const auto& file : table["files"])
          keep.insert(fs::path(file.value("path", "")).parent_path().string());
  if (state.result.is_object() && state.result.contains("output"))
    for (const auto& file : state.result["output"])
      keep.insert(fs::path(file.value("path", "")).parent_path().string());
  const std::string folder = job_folder(spec.id);
  std::error_code ec;
  std::vector<fs::path> gone;
  for (const auto& e : fs::directory_iterator(folder, ec))
    if (!keep.contains(e.path().string())) gone.push_back(e.path());
  if (keep.empty()) gone = {folder};
  for (const auto& path : gone)
    if (const auto removed = polysome::remove_all(path); !removed)
      log::warning("{}", removed.error().message);
}

void Engine::schedule_tick() {
  const auto due = core_->next_deadline();
  if (due == tick_due_) return;
  tick_due_ = due;
  if (!due) {
    tick_timer_.cancel();
    return;
  }
  tick_timer_.expires_after(Millis(std::max<std::int64_t>(0, *due - mono_now())));
  tick_timer_.async_wait([this](const boost::system::error_code& ec) {
    if (ec) return;
    tick_due_.reset();
    handle(core::Tick{});
  });
}

}  // namespace polysome
