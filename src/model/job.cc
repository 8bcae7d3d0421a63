#include "model/job.h"

#include <algorithm>
#include <array>
#include <cctype>
#include <utility>

#include "base/bytes.h"

namespace polysome {
namespace {

constexpr std::array<std::pair<Priority, std::string_view>, 4> kPriorities{{
    {Priority::kLow, "LOW"},
    {Priority::kNormal, "NORMAL"},
    {Priority::kHigh, "HIGH"},
    {Priority::kCritical, "CRITICAL"},
}};
constexpr std::array<std::pair<JobStatus, std::string_view>, 5> kStatuses{{
    {JobStatus::kPending, "pending"},
    {JobStatus::kRunning, "running"},
    {JobStatus::kCompleted, "completed"},
    {JobStatus::kFailed, "failed"},
    {JobStatus::kCancelled, "cancelled"},
}};
constexpr std::array<std::pair<Phase, std::string_view>, 7> kPhases{{
    {Phase::kHeld, "held"},
    {Phase::kWaiting, "waiting"},
    {Phase::kPlanning, "planning"},
    {Phase::kRunning, "running"},
    {Phase::kRetrying, "retrying"},
    {Phase::kCancelling, "cancelling"},
    {Phase::kDone, "done"},
}};

template <class Table, class Key>
std::string_view name_in(const Table& table, Key key) {
  for (const auto& [k, v] : table)
    if (k == key) return v;
  return "unknown";
}

template <class Key, class Table>
std::optional<Key> find_in(const Table& table, std::string_view name) {
  for (const auto& [k, v] : table)
    if (v == name) return k;
  return std::nullopt;
}

template <class T>
Json or_null(const std::optional<T>& value) {
  return value ? Json(*value) : Json();
}

Json time_or_null(const std::optional<WallTime>& t) { return t ? Json(format_time(*t)) : Json(); }

// Readers of our own files: absent members leave the default.
template <class T>
void get(const Json& j, const char* key, T* out) {
  const auto it = j.find(key);
  if (it != j.end() && !it->is_null()) *out = it->get<T>();
}
template <class T>
void get(const Json& j, const char* key, std::optional<T>* out) {
  const auto it = j.find(key);
  if (it != j.end() && !it->is_null()) *out = it->get<T>();
}
void get_time(const Json& j, const char* key, std::optional<WallTime>* out) {
  const auto it = j.find(key);
  if (it != j.end() && it->is_string()) *out = parse_time(it->get<std::string>());
}

template <class F>
auto adapt(const char* what, F f) -> Result<decltype(f())> {
  try {
    return f();
  } catch (const std::exception& e) {
    return fail(Code::kInternal, std::string("unreadable ") + what + ": " + e.what());
  }
}

Json size_json(std::optional<std::uint64_t> bytes) { return or_null(bytes); }

Json limits_json(const JobLimits& l) {
  return {{"max_cores", or_null(l.max_cores)},
          {"max_memory_bytes", size_json(l.max_memory)},
          {"n_workers", or_null(l.n_workers)},
          {"memory_per_worker_bytes", size_json(l.memory_per_worker)},
          {"max_attempts", l.max_attempts},
          {"timeout_ms", or_null(l.timeout_ms)}};
}

JobLimits limits_from(const Json& j) {
  JobLimits l;
  get(j, "max_cores", &l.max_cores);
  get(j, "max_memory_bytes", &l.max_memory);
  get(j, "n_workers", &l.n_workers);
  get(j, "memory_per_worker_bytes", &l.memory_per_worker);
  get(j, "max_attempts", &l.max_attempts);
  get(j, "timeout_ms", &l.timeout_ms);
  return l;
}

Json stages_json(const std::vector<StageState>& stages) {
  Json out = Json::array();
  for (const auto& s : stages)
    out.push_back({{"name", s.name},
                   {"tasks_total", s.tasks_total},
                   {"tasks_done", s.tasks_done},
                   {"bytes_total", s.bytes_total},
                   {"bytes_done", s.bytes_done},
                   {"peak_memory", format_bytes(s.peak_memory_bytes)},
                   {"peak_memory_bytes", s.peak_memory_bytes}});
  return out;
}

// With what only explain shows, for the store.
Json planned_stages_json(const std::vector<StageState>& stages) {
  Json out = stages_json(stages);
  for (std::size_t i = 0; i < stages.size(); ++i) {
    if (stages[i].kind.empty()) continue;
    out[i]["kind"] = stages[i].kind;
    out[i]["after"] = stages[i].after;
    out[i]["grant_bytes"] = stages[i].grant;
    out[i]["gang"] = stages[i].gang;
  }
  return out;
}

Json ids_json(const std::vector<JobId>& ids) {
  Json out = Json::array();
  for (const auto& id : ids) out.push_back(id.text());
  return out;
}

Json refs_json(const std::vector<DatasetRef>& refs) {
  Json out = Json::array();
  for (const auto& r : refs) out.push_back(r.to_json());
  return out;
}

Json attempts_json(const std::vector<AttemptRecord>& attempts) {
  Json out = Json::array();
  for (const auto& a : attempts)
    out.push_back({{"task", a.task},
                   {"attempt", a.attempt},
                   {"worker", a.worker},
                   {"class", a.fault_class},
                   {"message", a.message},
                   {"at", format_time(a.at)}});
  return out;
}

Json item_json(const ErrorItem& e) {
  Json j = Json::object();
  if (!e.pointer.empty()) j["pointer"] = e.pointer;
  if (!e.message.empty()) j["message"] = e.message;
  if (!e.file.empty()) j["file"] = e.file;
  if (e.line) j["line"] = *e.line;
  if (!e.column.empty()) j["column"] = e.column;
  if (!e.file.empty() || !e.value.empty()) j["value"] = e.value;
  return j;
}

}  // namespace

std::string_view name(Priority p) { return name_in(kPriorities, p); }
std::string_view name(JobStatus s) { return name_in(kStatuses, s); }
std::string_view name(Phase p) { return name_in(kPhases, p); }

std::optional<Priority> priority_from_name(std::string_view name) {
  std::string upper(name);
  std::ranges::transform(upper, upper.begin(), [](unsigned char c) { return std::toupper(c); });
  return find_in<Priority>(kPriorities, upper);
}

std::optional<JobStatus> job_status_from_name(std::string_view name) {
  return find_in<JobStatus>(kStatuses, name);
}

bool may_change(JobStatus from, JobStatus to) {
  if (is_final(from)) return false;
  if (from == JobStatus::kPending)
    return to == JobStatus::kRunning || to == JobStatus::kFailed || to == JobStatus::kCancelled;
  return to == JobStatus::kPending || is_final(to);
}

Json DatasetRef::to_json() const {
  return {{"id", id}, {"source", source}, {"files", files}, {"format", format}, {"layout", layout}};
}

Result<DatasetRef> DatasetRef::from_json(const Json& j) {
  return adapt("dataset", [&] {
    DatasetRef d;
    get(j, "id", &d.id);
    get(j, "source", &d.source);
    get(j, "files", &d.files);
    get(j, "format", &d.format);
    get(j, "layout", &d.layout);
    return d;
  });
}

Json JobSpec::to_json() const {
  Json out = {{"id", id.text()},
              {"operation", operation},
              {"dataset_ids", dataset_ids},
              {"datasets", refs_json(datasets)},
              {"parameters", parameters},
              {"output", output},
              {"priority", static_cast<int>(priority)},
              {"limits", limits_json(limits)},
              {"partition_size", partition_size},
              {"partition_size_given", partition_size_given},
              {"type", type},
              {"user", user},
              {"name", name},
              {"tags", tags},
              {"depends_on", ids_json(depends_on)},
              {"on_bad_value", on_bad_value},
              {"max_bad_values", or_null(max_bad_values)},
              {"retry_of", retry_of ? Json(retry_of->text()) : Json()},
              {"created_at", format_time(created_at)}};
  if (held) out["held"] = true;
  if (keep) out["keep"] = true;
  if (batch) out["batch"] = batch->text();
  return out;
}

Json JobSpec::changes_from(const JobSpec& base) const {
  Json out = {{"id", id.text()}};
  const auto differs = [&](const char* key, const auto& ours, const auto& theirs) {
    if (ours != theirs) out[key] = ours;
  };
  differs("operation", operation, base.operation);
  differs("dataset_ids", dataset_ids, base.dataset_ids);
  if (dataset_ids != base.dataset_ids || !std::ranges::equal(datasets, base.datasets))
    out["datasets"] = refs_json(datasets);
  differs("parameters", parameters, base.parameters);
  differs("output", output, base.output);
  differs("priority", static_cast<int>(priority), static_cast<int>(base.priority));
  if (!(limits == base.limits)) out["limits"] = limits_json(limits);
  differs("partition_size", partition_size, base.partition_size);
  differs("partition_size_given", partition_size_given, base.partition_size_given);
  differs("type", type, base.type);
  differs("user", user, base.user);
  differs("name", name, base.name);
  differs("tags", tags, base.tags);
  if (depends_on != base.depends_on) out["depends_on"] = ids_json(depends_on);
  differs("on_bad_value", on_bad_value, base.on_bad_value);
  if (max_bad_values != base.max_bad_values) out["max_bad_values"] = or_null(max_bad_values);
  if (retry_of != base.retry_of) out["retry_of"] = retry_of ? Json(retry_of->text()) : Json();
  differs("held", held, base.held);
  differs("keep", keep, base.keep);
  if (batch != base.batch) out["batch"] = batch ? Json(batch->text()) : Json();
  if (created_at != base.created_at) out["created_at"] = format_time(created_at);
  return out;
}

Result<JobSpec> JobSpec::from_json(const Json& j) {
  return adapt("job", [&] {
    JobSpec s;
    s.id = JobId::parse(j.at("id").get<std::string>()).value();
    get(j, "operation", &s.operation);
    get(j, "dataset_ids", &s.dataset_ids);
    for (const auto& d : j.at("datasets")) s.datasets.push_back(DatasetRef::from_json(d).value());
    get(j, "parameters", &s.parameters);
    get(j, "output", &s.output);
    s.priority = static_cast<Priority>(j.at("priority").get<int>());
    s.limits = limits_from(j.at("limits"));
    get(j, "partition_size", &s.partition_size);
    get(j, "partition_size_given", &s.partition_size_given);
    get(j, "type", &s.type);
    get(j, "user", &s.user);
    get(j, "name", &s.name);
    get(j, "tags", &s.tags);
    for (const auto& d : j.at("depends_on"))
      s.depends_on.push_back(JobId::parse(d.get<std::string>()).value());
    get(j, "on_bad_value", &s.on_bad_value);
    get(j, "max_bad_values", &s.max_bad_values);
    std::string retried;
    get(j, "retry_of", &retried);
    s.retry_of = JobId::parse(retried);
    get(j, "held", &s.held);
    get(j, "keep", &s.keep);
    if (const auto it = j.find("batch"); it != j.end() && it->is_string())
      s.batch = JobId::parse(it->get<std::string>());
    s.created_at = parse_time(j.at("created_at").get<std::string>()).value_or(0);
    return s;
  });
}

Json JobState::to_json() const {
  return {{"status", polysome::name(status)},
          {"phase", polysome::name(phase)},
          {"progress", progress},
          {"version", version},
          {"started_at", time_or_null(started_at)},
          {"completed_at", time_or_null(completed_at)},
          {"eta_seconds", or_null(eta_seconds)},
          {"eta_p90_seconds", or_null(eta_p90_seconds)},
          {"stall", stall ? *stall : Json()},
          {"stages", planned_stages_json(stages)},
          {"attempts", attempts_json(attempts)},
          {"peak_memory_bytes", peak_memory_bytes},
          {"cpu_seconds", cpu_seconds},
          {"bytes_read", bytes_read},
          {"reused_tasks", reused_tasks},
          {"memory_gb_seconds", memory_gb_seconds},
          {"waiting", waiting ? *waiting : Json()},
          {"error", error ? *error : Json()},
          {"result", result},
          {"warnings", warnings}};
}

Result<JobState> JobState::from_json(const Json& j) {
  return adapt("job state", [&] {
    JobState s;
    s.status = job_status_from_name(j.at("status").get<std::string>()).value();
    s.phase = find_in<Phase>(kPhases, j.at("phase").get<std::string>()).value();
    get(j, "progress", &s.progress);
    get(j, "version", &s.version);
    get_time(j, "started_at", &s.started_at);
    get_time(j, "completed_at", &s.completed_at);
    get(j, "eta_seconds", &s.eta_seconds);
    get(j, "eta_p90_seconds", &s.eta_p90_seconds);
    get(j, "stall", &s.stall);
    for (const auto& e : j.at("stages")) {
      StageState st;
      get(e, "name", &st.name);
      get(e, "tasks_total", &st.tasks_total);
      get(e, "tasks_done", &st.tasks_done);
      get(e, "bytes_total", &st.bytes_total);
      get(e, "bytes_done", &st.bytes_done);
      get(e, "kind", &st.kind);
      get(e, "after", &st.after);
      get(e, "grant_bytes", &st.grant);
      get(e, "gang", &st.gang);
      get(e, "peak_memory_bytes", &st.peak_memory_bytes);
      s.stages.push_back(std::move(st));
    }
    for (const auto& e : j.at("attempts")) {
      AttemptRecord a;
      get(e, "task", &a.task);
      get(e, "attempt", &a.attempt);
      get(e, "worker", &a.worker);
      get(e, "class", &a.fault_class);
      get(e, "message", &a.message);
      std::optional<WallTime> at;
      get_time(e, "at", &at);
      a.at = at.value_or(0);
      s.attempts.push_back(std::move(a));
    }
    get(j, "peak_memory_bytes", &s.peak_memory_bytes);
    get(j, "cpu_seconds", &s.cpu_seconds);
    get(j, "bytes_read", &s.bytes_read);
    get(j, "reused_tasks", &s.reused_tasks);
    get(j, "memory_gb_seconds", &s.memory_gb_seconds);
    get(j, "waiting", &s.waiting);
    get(j, "error", &s.error);
    if (const auto it = j.find("result"); it != j.end()) s.result = *it;
    get(j, "warnings", &s.warnings);
    return s;
  });
}

Json status_json(const JobSpec& spec, const JobState& state, bool full) {
  const std::string id = spec.id.text();
  Json j = {
      {"job_id", id},
      {"id", id},
      {"name", spec.name.empty() ? Json() : Json(spec.name)},
      {"user", spec.user},
      {"tags", spec.tags},
      {"type", spec.type},
      {"operation", spec.operation},
      {"dataset_id", spec.dataset_ids.empty() ? Json() : Json(spec.dataset_ids.front())},
      {"dataset_ids", spec.dataset_ids},
      {"priority", static_cast<int>(spec.priority)},
      {"priority_name", name(spec.priority)},
      {"status", name(state.status)},
      {"phase", name(state.phase)},
      {"detail", name(state.phase)},
      {"progress", state.progress},
      {"eta_seconds", or_null(state.eta_seconds)},
      {"eta_p90_seconds", or_null(state.eta_p90_seconds)},
      {"eta", state.eta_seconds ? Json{{"p50", *state.eta_seconds},
                                       {"p90", state.eta_p90_seconds.value_or(*state.eta_seconds)}}
                                : Json()},
      {"stall", state.stall ? *state.stall : Json()},
      {"version", state.version},
      {"created_at", format_time(spec.created_at)},
      {"started_at", time_or_null(state.started_at)},
      {"completed_at", time_or_null(state.completed_at)},
      {"n_workers", or_null(spec.limits.n_workers)},
      {"memory_per_worker",
       spec.limits.memory_per_worker ? Json(format_bytes(*spec.limits.memory_per_worker)) : Json()},
      {"memory_per_worker_bytes", size_json(spec.limits.memory_per_worker)},
      {"max_attempts", spec.limits.max_attempts},
      {"waiting_reason", state.waiting ? (*state.waiting)["message"] : Json()},
      {"waiting", state.waiting ? *state.waiting : Json()},
      {"error_message", state.error ? (*state.error).value("detail", Json()) : Json()},
      {"error", state.error ? *state.error : Json()},
      {"warnings", state.warnings},
      {"output", spec.output.empty() ? Json() : spec.output},
      {"held", spec.held},
      {"keep", spec.keep},
      {"batch_id", spec.batch ? Json(spec.batch->text()) : Json()},
      {"retry_of", spec.retry_of ? Json(spec.retry_of->text()) : Json()},
      {"reused_tasks", state.reused_tasks}};
  if (!spec.depends_on.empty()) {
    Json depends = Json::array();
    for (const auto& d : spec.depends_on) depends.push_back(d.text());
    j["depends_on"] = std::move(depends);
  }
  if (!full) return j;
  j["parameters"] = spec.parameters;
  j["stages"] = stages_json(state.stages);
  j["attempts"] = attempts_json(state.attempts);
  j["resources"] = {
      {"requested",
       {{"max_cores", or_null(spec.limits.max_cores)},
        {"max_memory",
         spec.limits.max_memory ? Json(format_bytes(*spec.limits.max_memory)) : Json()},
        {"max_memory_bytes", size_json(spec.limits.max_memory)},
        {"n_workers", or_null(spec.limits.n_workers)},
        {"memory_per_worker_bytes", size_json(spec.limits.memory_per_worker)}}},
      {"peak_memory", format_bytes(state.peak_memory_bytes)},
      {"peak_memory_bytes", state.peak_memory_bytes},
      {"cpu_seconds", state.cpu_seconds},
      {"memory_gb_seconds", state.memory_gb_seconds},
      {"bytes_read", state.bytes_read}};
  j["result"] = state.result;
  return j;
}

Json problem_json(const Error& error) {
  const CodeInfo& code = info(error.code);
  Json j = {{"type", "/docs/problems#" + std::string(code.name)},
            {"title", code.title},
            {"status", code.http_status},
            {"detail", error.message},
            {"code", code.name},
            {"retryable", code.retryable}};
  if (!error.hint.empty()) j["hint"] = error.hint;
  if (!error.errors.empty()) {
    j["errors"] = Json::array();
    for (const auto& e : error.errors) j["errors"].push_back(item_json(e));
  }
  if (error.retry_after_seconds) j["retry_after_seconds"] = *error.retry_after_seconds;
  return j;
}

Error error_from_problem(const Json& problem) {
  Error e(Code::kInternal, "");
  if (!problem.is_object()) return e;
  if (const auto it = problem.find("code"); it != problem.end() && it->is_string())
    e.code = code_from_name(it->get<std::string>()).value_or(Code::kInternal);
  e.message = problem.value("detail", "");
  e.hint = problem.value("hint", "");
  if (const auto it = problem.find("errors"); it != problem.end() && it->is_array())
    for (const auto& item : *it) {
      if (!item.is_object()) continue;
      ErrorItem i;
      i.pointer = item.value("pointer", "");
      i.message = item.value("message", "");
      i.file = item.value("file", "");
      if (const auto l = item.find("line"); l != item.end() && l->is_number_unsigned())
        i.line = l->get<std::uint64_t>();
      i.column = item.value("column", "");
      i.value = item.value("value", "");
      e.errors.push_back(std::move(i));
    }
  if (const auto it = problem.find("retry_after_seconds"); it != problem.end() && it->is_number())
    e.retry_after_seconds = it->get<int>();
  return e;
}

}  // namespace polysome
