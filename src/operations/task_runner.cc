#include "operations/task_runner.h"

#include <fmt/format.h>
#include <sys/resource.h>

#include <algorithm>
#include <filesystem>
#include <map>
#include <new>

#include "base/clock.h"
#include "base/files.h"
#include "model/plan.h"
#include "operations/answers.h"
#include "operations/database_delivery.h"
#include "operations/dataset_facts.h"
#include "operations/operation.h"
#include "operations/task_reuse.h"

namespace polysome {
namespace {

// What DuckDB gets of a grant; the rest is for scans, writers and its own slack.
constexpr double kDuckdbShare = 0.7;
// Of a task that has to cut its work: its own account does not hold all that it uses, and what it
// counts it can write aside.
constexpr double kDuckdbShareOfSplit = 0.4;

double cpu_seconds() {
  rusage usage{};
  ::getrusage(RUSAGE_THREAD, &usage);
  const auto seconds = [](const timeval& t) {
    return static_cast<double>(t.tv_sec) + static_cast<double>(t.tv_usec) * 1e-6;
  };
  return seconds(usage.ru_utime) + seconds(usage.ru_stime);
}

// Folders that SQL may open: the job's own, and those of its data and its output.
std::vector<std::string> allowed_folders(const JobDescription& job, const std::string& job_folder,
                                         const TaskContext& context) {
  std::vector<std::string> out = {job_folder, context.scratch};
  const auto add = [&](const std::vector<std::string>& more) {
    out.insert(out.end(), more.begin(), more.end());
  };
  add(context.read_roots);
  add(job.read_roots);
  add(job.output_roots);
  for (const auto& ref : job.spec.datasets) add(dataset_folders(ref));
  std::erase(out, std::string());
  return out;
}

// The whole of a file, of any kind, or a stretch of compressed text.
Result<std::vector<UnpackedPart>> unpack_parts(TaskEnv& env, const UnpackTask& task,
                                               const ScanOptions& options) {
  const auto& source = env.plan().inputs[task.input].source;
  const std::uint64_t part_bytes = env.job.spec.partition_size;
  const std::string prefix = env.path_of("part");
  if (source.files[task.file].cuts.empty())
    return unpack(env.session(), source, task.file, part_bytes, prefix, options);
  POLYSOME_TRY(check_unchanged(source, {{task.file, 0, 0, 0, 0}}));
  POLYSOME_ASSIGN(auto stretch,
                  unpack_range(source, task.file, task.range, part_bytes, prefix, options));
  auto& result = env.output.result;
  result.payload["lines"] = stretch.lines;
  result.ends_inside_if_outside = stretch.ends_inside_if_outside;
  result.ends_inside_if_inside = stretch.ends_inside_if_inside;
  return std::move(stretch.parts);
}

Status unpack_body(TaskEnv& env) {
  POLYSOME_ASSIGN(const UnpackTask task, unpack_task(env.plan(), env.spec.task.index));
  const auto& source = env.plan().inputs[task.input].source;
  ScanOptions options;
  options.start_inside_quotes = env.spec.start_inside_quotes;
  options.progress = env.context.progress;
  options.cancelled = env.context.cancelled;
  options.connections = env.context.connections;
  POLYSOME_ASSIGN(const auto parts, unpack_parts(env, task, options));
  const auto start = output_path(env.spec, "").filename().string().size();
  for (const auto& part : parts) {
    const auto name = std::filesystem::path(part.path).filename().string();
    env.note_file(name.substr(start), part.rows);
  }
  env.output.result.bytes_in =
      std::min(task.range.end, source.files[task.file].bytes) - task.range.begin;
  return {};
}

}  // namespace

struct TaskRunner::State {
  struct Job {
    std::string folder;
    JobDescription description;
    std::map<std::string, Fragment> fragments;
    std::map<std::string, std::shared_ptr<const PlanDocument>> plans;
    std::unique_ptr<EarlierRun> earlier;  // of the job that this one does again
  };
  std::unique_ptr<Job> job;
  std::unique_ptr<Session> session;  // of `job`
  std::uint64_t session_memory = 0;

  void leave_job() {
    session.reset();
    job.reset();
  }
  Status enter_job(const TaskSpec& spec);
  Result<Session*> open_session(const TaskSpec& spec, const TaskContext& context);
  Result<const Stage*> stage_of(const TaskSpec& spec);
  Result<std::shared_ptr<const PlanDocument>> plan_of(const Json& body);
  Result<TaskOutput> execute(const TaskSpec& spec, TaskContext& context);
};

Status TaskRunner::State::enter_job(const TaskSpec& spec) {
  if (job && job->folder == spec.job_folder) return {};
  leave_job();
  auto next = std::make_unique<Job>();
  next->folder = spec.job_folder;
  POLYSOME_ASSIGN(next->description, read_job_description(spec.job_folder));
  next->earlier = EarlierRun::find(next->description, spec.job_folder);
  job = std::move(next);
  return {};
}

Result<Session*> TaskRunner::State::open_session(const TaskSpec& spec, const TaskContext& context) {
  SessionConfig config;
  const double share = spec.split > 1 ? kDuckdbShareOfSplit : kDuckdbShare;
  if (context.memory > 0)
    config.memory = static_cast<std::uint64_t>(static_cast<double>(context.memory) * share);
  if (session && session_memory == config.memory) return session.get();
  session.reset();
  config.temp_folder = context.scratch;
  config.allowed_directories = allowed_folders(job->description, spec.job_folder, context);
  session = Session::make(config);
  POLYSOME_TRY(session->lock());
  session_memory = config.memory;
  return session.get();
}

Result<const Stage*> TaskRunner::State::stage_of(const TaskSpec& spec) {
  auto it = job->fragments.find(spec.fragment_file);
  if (it == job->fragments.end()) {
    auto text = read_file(std::filesystem::path(spec.job_folder) / spec.fragment_file);
    if (!text) return fail(Code::kIo, "output lost: " + text.error().message);
    POLYSOME_ASSIGN(const Json j, parse_trusted_json(*text));
    POLYSOME_ASSIGN(Fragment fragment, Fragment::from_json(j, spec.fragment_file));
    it = job->fragments.emplace(spec.fragment_file, std::move(fragment)).first;
  }
  if (spec.place >= it->second.stages.size())
    return fail(Code::kInternal, fmt::format("{} has no stage {}", spec.fragment_file, spec.place));
  return &it->second.stages[spec.place];
}

Result<std::shared_ptr<const PlanDocument>> TaskRunner::State::plan_of(const Json& body) {
  const auto name = body.value("plan", std::string());
  if (name.empty()) return std::make_shared<const PlanDocument>();
  auto& known = job->plans[name];
  if (!known) {
    POLYSOME_ASSIGN(PlanDocument plan, read_plan_document(job->folder, name));
    known = std::make_shared<const PlanDocument>(std::move(plan));
  }
  return known;
}

TaskRunner::TaskRunner() : state_(std::make_unique<State>()) {}
TaskRunner::~TaskRunner() = default;

bool TaskRunner::leave_other_jobs(const TaskSpec& spec) {
  if (state_->job && state_->job->folder == spec.job_folder) return false;
  state_->leave_job();
  return true;
}

void TaskRunner::prepare_for_any() {
  if (state_->session == nullptr) Session::prepare_one();
}

void TaskRunner::rest() {
  state_->leave_job();
  Session::drop_prepared();
}

namespace {

// Lets the control thread interrupt the session while a task runs.
class InterruptScope {
 public:
  InterruptScope(TaskContext& context, Session* session) : context_(context) {
    if (context_.set_interrupt && session != nullptr)
      context_.set_interrupt([session] { session->interrupt(); });
  }
  ~InterruptScope() {
    if (context_.set_interrupt) context_.set_interrupt({});
  }
  InterruptScope(const InterruptScope&) = delete;
  InterruptScope& operator=(const InterruptScope&) = delete;

 private:
  TaskContext& context_;
};

Result<TaskOutput> plan_task(const TaskSpec& spec, const JobDescription& job, const Json& body,
                             Session* session, const TaskContext& context) {
  const Operation* operation = find_operation(job.spec.operation);
  if (operation == nullptr)
    return fail(Code::kInvalid, fmt::format("there is no operation \"{}\"", job.spec.operation));
  if (body.is_null()) POLYSOME_TRY(check_database_output(job, context.connections));
  POLYSOME_ASSIGN(PlannerOutput planned,
                  run_planner(spec, job, body, session, operation->plan, context.connections));
  TaskOutput out;
  out.files = std::move(planned.files);
  out.result.attempt = spec.attempt;
  out.result.fragment_file = planned.fragment_file;
  out.result.payload = Json();
  out.durable = true;
  return out;
}

}  // namespace

Result<TaskOutput> TaskRunner::State::execute(const TaskSpec& spec, TaskContext& context) {
  POLYSOME_TRY(enter_job(spec));
  const auto& description = job->description;
  const bool root = spec.fragment_file == kJobFile;
  Json body;
  if (!root) {
    POLYSOME_ASSIGN(const Stage* stage, stage_of(spec));
    body = stage->body;
    if (job->earlier)
      if (auto taken = job->earlier->take_over(spec, *stage)) return std::move(*taken);
  }
  const std::string run = root ? kPlanRun : body.value("run", std::string());
  Session* open = nullptr;
  if (!description.spec.datasets.empty()) {
    POLYSOME_ASSIGN(open, open_session(spec, context));
  }
  const InterruptScope interrupt(context, open);
  if (run == kPlanRun) return plan_task(spec, description, body, open, context);

  const StageBody* stage_body = find_body(run);
  if (stage_body == nullptr && run != kUnpackRun)
    return fail(Code::kInternal, fmt::format("no stage body is called \"{}\"", run));
  POLYSOME_ASSIGN(auto plan, plan_of(body));
  if (open != nullptr) POLYSOME_TRY(make_folders(stage_folder(spec)));
  TaskEnv env(spec, context, description, body, std::move(plan), open);
  POLYSOME_TRY(run == kUnpackRun ? unpack_body(env) : stage_body->body(env));
  return std::move(env.output);
}

Result<TaskOutput> TaskRunner::run(const TaskSpec& spec, TaskContext& context) {
  const double cpu_before = cpu_seconds();
  const MonoTime started = mono_now();
  Result<TaskOutput> out = fail(Code::kInternal, "the task did not run");
  try {
    out = state_->execute(spec, context);
  } catch (const std::bad_alloc&) {
    out = fail(Code::kOutOfMemory, "the task ran out of memory");
  } catch (const std::exception& e) {
    out = fail(Code::kInternal, std::string("the task failed: ") + e.what());
  }
  if (!out) {
    // An instance that ran out of memory or met a defect is not trusted with the next task.
    const Code code = out.error().code;
    if (code == Code::kOutOfMemory || code == Code::kInternal) state_->session.reset();
    return out;
  }
  out->result.cpu_seconds = cpu_seconds() - cpu_before;
  out->result.wall_seconds = static_cast<double>(mono_now() - started) / 1000.0;
  return out;
}

Result<Json> TaskRunner::answer(const Json& request, TaskContext& context) {
  // The job's own session may read what the job made.
  const auto kept = [this](const std::vector<std::string>& paths) -> Session* {
    if (!state_->session || !state_->job) return nullptr;
    const bool own = std::ranges::all_of(
        paths,
        [folder = state_->job->folder + "/"](const auto& p) { return p.starts_with(folder); });
    return own ? state_->session.get() : nullptr;
  };
  return answer_request(request, context, kept);
}

}  // namespace polysome
