// Bringing the service back: unfinished jobs with the tasks they had finished, and the stored
// cluster.
#include <fmt/format.h>

#include <algorithm>
#include <charconv>
#include <filesystem>

#include "base/files.h"
#include "base/log.h"
#include "daemon/engine.h"

namespace polysome {
namespace fs = std::filesystem;
namespace {

// Indexes of tasks whose manifest lies in a stage's folder; `.in.json` names count for their index.
std::vector<std::uint32_t> published(const fs::path& folder) {
  std::vector<std::uint32_t> out;
  std::error_code ec;
  for (const auto& e : fs::directory_iterator(folder, ec)) {
    const std::string name = e.path().filename().string();
    std::uint32_t index = 0;
    const auto [end, error] = std::from_chars(name.data(), name.data() + name.size(), index);
    const std::string_view rest(end, static_cast<std::size_t>(name.data() + name.size() - end));
    if (error == std::errc() && (rest == ".json" || rest == ".in.json")) out.push_back(index);
  }
  std::ranges::sort(out);
  const auto tail = std::ranges::unique(out);
  out.erase(tail.begin(), tail.end());
  return out;
}

core::TaskRanges to_ranges(const std::vector<std::uint32_t>& sorted) {
  core::TaskRanges out;
  for (const auto i : sorted) {
    if (!out.empty() && out.back().second + 1 == i)
      out.back().second = i;
    else
      out.emplace_back(i, i);
  }
  return out;
}

Result<Json> manifest_of(const fs::path& folder, std::uint32_t index) {
  for (const char* ending : {".in.json", ".json"}) {
    const fs::path path = folder / (std::to_string(index) + ending);
    if (!fs::exists(path)) continue;
    POLYSOME_ASSIGN(const std::string text, read_file(path));
    return parse_trusted_json(text);
  }
  return fail(Code::kIo, "no manifest");
}

}  // namespace

Result<core::JobRestored> Engine::restored(const StoredJob& job) {
  core::JobRestored out;
  out.job = submitted_event(job.spec, job.sequence);
  out.job.waited_ms = std::max<std::int64_t>(0, wall_now() - job.spec.created_at);
  out.progress = job.state.progress;
  out.cancelling = job.state.phase == Phase::kCancelling;

  const auto recorded = store_.finished_tasks(job.spec.id);
  const fs::path folder = job_folder(job.spec.id);
  core::RestoredStage root;
  root.stage.name = "plan";
  root.stage.kind = StageKind::kPlanner;
  root.stage.fragment_file = "job.json";
  out.stages.push_back(root);
  for (std::size_t i = 0; i < out.stages.size(); ++i) {
    const Stage stage = out.stages[i].stage;
    const fs::path stage_folder = folder / stage.name;
    // A stage with outputs counts what is published; one without, what the journal says.
    if (fs::exists(stage_folder)) {
      auto done = published(stage_folder);
      std::erase_if(done, [&](std::uint32_t index) { return index >= stage.tasks; });
      std::vector<std::uint32_t> kept;
      for (const auto index : done) {
        const auto manifest = manifest_of(stage_folder, index);
        if (!manifest || !manifest->contains("result")) continue;
        auto result = TaskResult::from_json((*manifest)["result"]);
        // A finish whose error waits for its start state to be confirmed is not one to build on.
        if (!result || result->disputed) continue;
        kept.push_back(index);
        out.stages[i].bytes_done += result->bytes_in;
        if (stage.borders) {
          const bool rerun = fs::exists(stage_folder / (std::to_string(index) + ".in.json"));
          out.stages[i].borders.push_back(
              {index, rerun, result->ends_inside_if_outside, result->ends_inside_if_inside});
        }
        if (stage.final) out.result = result->payload;
        if (stage.kind == StageKind::kPlanner && !result->fragment_file.empty()) {
          POLYSOME_ASSIGN(const std::string text,
                          read_file(folder / result->fragment_file, kMaxFragmentBytes * 2));
          POLYSOME_ASSIGN(const Json json, parse_trusted_json(text));
          POLYSOME_ASSIGN(const Fragment fragment,
                          Fragment::from_json(json, result->fragment_file));
          for (const auto& warning : fragment.warnings) out.warnings.push_back(warning);
          for (const auto& next : fragment.stages) {
            core::RestoredStage more;
            more.stage = next;
            more.stage.body = Json();
            out.stages.push_back(std::move(more));
          }
        }
      }
      out.stages[i].finished = to_ranges(kept);
    } else if (stage.kind != StageKind::kPlanner && !stage.final) {
      for (const auto& r : recorded)
        if (r.stage == i && r.last < stage.tasks)
          out.stages[i].finished.emplace_back(r.first, r.last);
    }
  }
  if (out.stages[0].finished.empty()) out.stages.clear();
  return out;
}

// Of a batch, not begun: nothing but what was asked for.
void Engine::restore_unwritten(const StoredJob& job) {
  ActiveJob& active = active_[job.spec.id];
  active.spec = job.spec;
  active.state = job.state;
  active.sequence = job.sequence;
  active.unwritten = true;
  ++unwritten_;
  count_pending(active, true);
  for (const auto& id : job.spec.depends_on)
    if (const auto known = store_.job(id); known && is_final(known->state.status))
      handle(core::DependencyKnown{id, known->state.status});
  core::JobSubmitted event = submitted_event(job.spec, job.sequence);
  event.waited_ms = std::max<std::int64_t>(0, wall_now() - job.spec.created_at);
  handle(std::move(event));
}

Status Engine::restore(std::vector<std::string>* lines) {
  const auto jobs = store_.unfinished_jobs();
  std::uint64_t tasks = 0;
  for (const auto& job : jobs) {
    if (!job.written) {
      restore_unwritten(job);
      continue;
    }
    auto event = restored(job);
    if (!event) {
      // A plan that can't be read is made again from the start; nothing of it is trusted.
      log::warning("job {}: {}; planning it again", job.spec.id.text(), event.error().message);
      POLYSOME_TRY(remove_all(job_folder(job.spec.id)));
      event = restored(job);
      if (!event) return fail(event.error());
    }
    for (const auto& stage : event->stages)
      for (const auto& [first, last] : stage.finished) tasks += last - first + 1;
    ActiveJob& active = active_[job.spec.id];
    active.spec = job.spec;
    active.state = job.state;
    active.sequence = job.sequence;
    active.before = {job.state.cpu_seconds, job.state.memory_gb_seconds, job.state.bytes_read,
                     job.state.peak_memory_bytes};
    for (const auto& stage : job.state.stages)
      active.before.stage_peaks[stage.name] = stage.peak_memory_bytes;
    for (const auto& stage : event->stages) active.plan.push_back(stage.stage);
    count_pending(active, job.state.status == JobStatus::kPending);
    // Dependencies that ended before this start are told, so that the core can decide.
    for (const auto& id : job.spec.depends_on)
      if (const auto known = store_.job(id); known && is_final(known->state.status))
        handle(core::DependencyKnown{id, known->state.status});
    handle(std::move(*event));
    // One that was running waits for a cluster again.
    if (const auto it = active_.find(job.spec.id); it != active_.end() && !it->second.ending) {
      refresh(it->second);
      count_pending(it->second, it->second.state.status == JobStatus::kPending);
    }
  }
  if (!jobs.empty())
    lines->push_back(fmt::format("{} unfinished job{} brought back; {} finished task{} kept",
                                 jobs.size(), jobs.size() == 1 ? "" : "s", tasks,
                                 tasks == 1 ? "" : "s"));
  return {};
}

Result<std::vector<std::string>> Engine::start(bool cluster_given, bool autostart) {
  std::vector<std::string> lines;
  POLYSOME_ASSIGN(const std::uint32_t epoch, store_.next_epoch());
  core::Config config;
  config.epoch = epoch;
  config.retry_delay_ms = config_.retry_delay_ms;
  config.machine_memory = config_.machine_memory;
  core_ = std::make_unique<core::Core>(config, random_());
  next_sequence_ = store_.last_sequence() + 1;
  for (auto& d : store_.datasets()) datasets_.add_loaded(std::move(d));
  restore_learned();
  restore_queue();
  restore_autoscale();
  POLYSOME_TRY(restore(&lines));
  keep_promises();
  remove_orphaned_content();
  if (core_->paused())
    lines.push_back("the queue is paused: POST queue/resume, or polysome queue resume");

  log_.sweep([&](const JobId& id) { return active_.contains(id) || store_.job(id).has_value(); });

  bool start_now = autostart;
  if (const auto stored = store_.setting("cluster")) {
    ClusterSpec spec;
    spec.n_workers = stored->value("n_workers", spec.n_workers);
    spec.threads_per_worker = stored->value("threads_per_worker", spec.threads_per_worker);
    spec.memory_limit = stored->value("memory_limit", spec.memory_limit);
    const bool was_running = stored->value("wanted", std::string("stopped")) == "running";
    start_now = start_now || was_running;
    if (cluster_given && was_running && !(spec == config_.cluster))
      lines.push_back(
          fmt::format("the flags win over the stored cluster of {} workers x {} threads",
                      spec.n_workers, spec.threads_per_worker));
    if (!cluster_given && was_running) config_.cluster = spec;
  }
  if (start_now) {
    cluster_wanted_ = "running";
    store_cluster();
    handle(core::ClusterStarted{config_.cluster});
  }
  note_metrics();
  sweep();
  return lines;
}

void Engine::shut_down() {
  shutting_down_ = true;
  if (core_) store_learned();
  tick_timer_.cancel();
  progress_timer_.cancel();
  metrics_timer_.cancel();
  sweep_timer_.cancel();
  executor_.reset();
}

}  // namespace polysome
