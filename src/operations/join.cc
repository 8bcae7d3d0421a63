// join: two tables by equal values of columns, in the order of the left one. Missing keys match
// nothing, as in SQL.
#include "operations/join.h"

#include <fmt/format.h>

#include <algorithm>
#include <cctype>
#include <set>

#include "operations/columns.h"
#include "operations/record_stages.h"
#include "operations/table_stages.h"

namespace polysome {
namespace {

// A right table up to this share of a grant is held in memory; text grows when it is read, and
// Parquet more.
constexpr std::uint64_t kHeldShare = 16;
constexpr std::uint64_t kMostHeld = 64'000'000;

OperationDescription description() {
  OperationDescription d;
  d.name = "join";
  d.type = "table";
  d.text = "Rows of two tables that have equal values in columns, in the order of the first table.";
  d.min_datasets = 2;
  d.max_datasets = 2;
  d.tables = {"result"};
  Parameter on;
  on.name = "on";
  on.type = ParamType::kTexts;
  on.text = "columns whose values must be equal; missing ones match nothing";
  on.required = true;
  on.foreign = {{"by", "R's"}, {"keys", "a common"}, {"using", "an SQL"}, {"left_on", "pandas'"}};
  Parameter right_on;
  right_on.name = "right_on";
  right_on.type = ParamType::kTexts;
  right_on.text = "their names in the second table, in the same order, where they are others";
  Parameter how;
  how.name = "how";
  how.type = ParamType::kChoice;
  how.text =
      "rows of the first table without a match: left out, kept, kept with those of the "
      "second; or only whether there is a match";
  how.choices = {"inner", "left", "outer", "semi", "anti"};
  how.default_value = "inner";
  how.foreign = {{"type", "R's"}, {"join_type", "a common"}};
  how.foreign_values = {{"full", "outer"}, {"full_outer", "outer"}, {"left_outer", "left"}};
  Parameter suffixes;
  suffixes.name = "suffixes";
  suffixes.type = ParamType::kTexts;
  suffixes.text = "two texts, put behind names that both tables have";
  suffixes.default_value = Json::array({"_x", "_y"});
  suffixes.foreign = {{"suffix", "R's"}};
  d.parameters = {on, right_on, how, suffixes};
  d.example = {{"operation", "join"},
               {"dataset_id", {"my_dataset", "samples"}},
               {"parameters", {{"on", "sample"}, {"right_on", "sample_id"}, {"how", "left"}}}};
  return d;
}

JoinKind kind_of_join(const std::string& how) {
  if (how == "left") return JoinKind::kLeft;
  if (how == "outer") return JoinKind::kOuter;
  if (how == "semi") return JoinKind::kSemi;
  return how == "anti" ? JoinKind::kAnti : JoinKind::kInner;
}

std::string lower(std::string text) {
  std::ranges::transform(text, text.begin(), [](unsigned char c) { return std::tolower(c); });
  return text;
}

struct Key {
  std::uint32_t left = 0, right = 0;
  std::string type;  // SQL, where both have to become it; else empty
};

// The type in which values of both columns compare.
Result<std::string> common_type(const TableSource& a, const SourceColumn& left,
                                const TableSource& b, const SourceColumn& right) {
  if (left.type == right.type) return std::string();
  const ValueKind x = kind_of(left), y = kind_of(right);
  if (x == y) return std::string(sql_type(x));
  if (is_number(x) && is_number(y)) return std::string("DOUBLE");
  const auto time = [](ValueKind k) { return k == ValueKind::kDate || k == ValueKind::kTimestamp; };
  if (time(x) && time(y)) return std::string("TIMESTAMP");
  return fail(
      Error(Code::kUserData,
            fmt::format("column \"{}\" of dataset {} holds {} values and \"{}\" of {} holds {} "
                        "values; they never match",
                        left.name, a.id, left.type, right.name, b.id, right.type),
            fmt::format("declare one of them: \"layout\": {{\"types\": {{\"{}\": "
                        "\"string\"}}}} with data/load",
                        left.name))
          .at("/parameters/on"));
}

// A name that only the first table has is most often another one in the second.
Result<std::uint32_t> right_column(const TableSource& right, const std::string& name, bool named) {
  if (named) return find_column(right, name, "/parameters/right_on");
  auto found = find_column(right, name, "/parameters/on");
  if (!found)
    found.error().hint += fmt::format("{}\"right_on\": \"NAME\" says how it is called there",
                                      found.error().hint.empty() ? "" : "; ");
  return found;
}

Result<std::vector<Key>> keys_of(const TableSource& left, const TableSource& right,
                                 const Json& parameters) {
  const Json& on = parameters.at("on");
  const Json& right_on = parameters.contains("right_on") ? parameters["right_on"] : on;
  const bool named = parameters.contains("right_on");
  if (on.size() != right_on.size())
    return fail(
        Error(Code::kUserData,
              fmt::format("on names {} columns and right_on {}", on.size(), right_on.size()),
              "name as many in the second table as in the first")
            .at("/parameters/right_on"));
  std::vector<Key> out;
  for (std::size_t i = 0; i < on.size(); ++i) {
    Key key;
    POLYSOME_ASSIGN(key.left, find_column(left, on[i].get<std::string>(), "/parameters/on"));
    POLYSOME_ASSIGN(key.right, right_column(right, right_on[i].get<std::string>(), named));
    if (std::ranges::any_of(out, [&](const Key& k) { return k.left == key.left; })) continue;
    POLYSOME_ASSIGN(key.type,
                    common_type(left, left.columns[key.left], right, right.columns[key.right]));
    out.push_back(std::move(key));
  }
  return out;
}

std::string typed(const SourceColumn& column, const std::string& type) {
  const std::string name = sql_identifier(column.name);
  return type.empty() ? name : fmt::format("CAST({} AS {})", name, type);
}

std::string key_sql(const std::vector<std::string>& values) {
  std::string missing;
  std::vector<SortKey> parts;
  for (const auto& v : values) {
    missing += fmt::format("{}{} IS NULL", missing.empty() ? "" : " OR ", v);
    parts.push_back({v, false});
  }
  return fmt::format("CASE WHEN {} THEN NULL ELSE {} END", missing, sort_key_sql(parts));
}

// The names of the answer's columns; names that both tables have get the suffixes.
Result<JoinDetails> details_of(const TableSource& left, const TableSource& right,
                               const std::vector<Key>& keys, const Json& parameters) {
  JoinDetails out;
  out.kind = kind_of_join(parameters.value("how", "inner"));
  out.right_name = right.id;
  std::vector<std::string> suffixes;
  for (const auto& s : parameters.at("suffixes")) suffixes.push_back(s.get<std::string>());
  if (suffixes.size() != 2 || suffixes[0] == suffixes[1])
    return fail(Error(Code::kUserData, "suffixes must be two different texts",
                      R"(for example "suffixes": ["_rna", "_protein"])")
                    .at("/parameters/suffixes"));
  std::vector<std::string> left_values, right_values;
  std::set<std::uint32_t> right_keys;
  for (const auto& k : keys) {
    left_values.push_back(typed(left.columns[k.left], k.type));
    right_values.push_back(typed(right.columns[k.right], k.type));
    right_keys.insert(k.right);
    out.keys.push_back(k.left);
  }
  out.left_key = key_sql(left_values);
  out.right_key = key_sql(right_values);
  std::set<std::string> in_left, in_right, used;
  for (const auto& column : left.columns) in_left.insert(lower(column.name));
  for (std::uint32_t i = 0; i < right.columns.size(); ++i)
    if (!right_keys.contains(i) && out.takes_right_columns())
      in_right.insert(lower(right.columns[i].name));
  const auto add = [&](std::string* list, const std::string& value, std::string name,
                       const std::set<std::string>& others, const std::string& suffix) -> Status {
    if (others.contains(lower(name))) name += suffix;
    if (!used.insert(lower(name)).second)
      return fail(Error(Code::kUserData,
                        fmt::format("the answer would have two columns named \"{}\"", name),
                        "other suffixes keep them apart")
                      .at("/parameters/suffixes"));
    *list += fmt::format("{}{} AS {}", list->empty() ? "" : ", ", value, sql_identifier(name));
    return {};
  };
  for (std::uint32_t i = 0; i < left.columns.size(); ++i) {
    const auto& column = left.columns[i];
    const auto key = std::ranges::find(keys, i, &Key::left);
    POLYSOME_TRY(add(&out.left_columns, typed(column, key == keys.end() ? "" : key->type),
                     column.name, key == keys.end() ? in_right : std::set<std::string>(),
                     suffixes[0]));
  }
  if (!out.takes_right_columns()) return out;
  for (std::size_t i = 0; i < keys.size(); ++i)
    out.right_columns += fmt::format("{}{} AS ps_key{}", i > 0 ? ", " : "", right_values[i], i);
  for (std::uint32_t i = 0; i < right.columns.size(); ++i)
    if (!right_keys.contains(i))
      POLYSOME_TRY(add(&out.right_columns, sql_identifier(right.columns[i].name),
                       right.columns[i].name, in_left, suffixes[1]));
  return out;
}

bool is_held(const PlanRequest& request, JoinKind kind) {
  if (kind == JoinKind::kOuter) return false;
  const auto& right = request.inputs[1].source;
  const std::uint64_t bytes = right.total_bytes() * (right.format == "parquet" ? 4 : 1);
  const std::uint64_t most =
      request.job.memory > 0 ? std::min(request.job.memory / kHeldShare, kMostHeld) : kMostHeld;
  return bytes <= most;
}

Stage scan_stage(const std::string& name, const InputTable& input, const char* run) {
  Stage out;
  out.name = name;
  out.kind = StageKind::kMap;
  out.tasks = input.tasks();
  out.bytes = input.source.total_bytes();
  out.borders = input.has_borders();
  out.can_split = true;  // sorts in less memory
  out.body = {{"run", run}};
  return out;
}

Result<OperationPlan> plan(const PlanRequest& request) {
  const auto &left = request.inputs.at(0), &right = request.inputs.at(1);
  POLYSOME_ASSIGN(const auto keys, keys_of(left.source, right.source, request.job.spec.parameters));
  POLYSOME_ASSIGN(const JoinDetails join,
                  details_of(left.source, right.source, keys, request.job.spec.parameters));
  POLYSOME_ASSIGN(const auto delivery, delivery_of(request.job, {}));
  const bool held = is_held(request, join.kind);
  OperationPlan out;
  out.details = {
      {"join", join.to_json()},
      {"limit", Json()},
      {"delivery", delivery ? delivery->to_json() : Json()},
      {"summary",
       {{"plan", held ? fmt::format("{} is held in memory by every task", right.source.id)
                      : "both tables are sorted by key and cut alike"}}}};
  const std::uint64_t bytes = left.source.total_bytes() + right.source.total_bytes();
  std::vector<StageTasks> scans;
  StageTasks matched{"match", 0};
  if (held) {
    Stage match = scan_stage(matched.stage, left, "join.look_up");
    matched.tasks = match.tasks;
    scans = {matched};
    out.stages.push_back(std::move(match));
  } else {
    Stage a = scan_stage("left", left, "join.sort"), b = scan_stage("right", right, "join.sort");
    a.body["input"] = 0;
    b.body["input"] = 1;
    scans = {{a.name, a.tasks}, {b.name, b.tasks}};
    Stage match;
    match.name = matched.stage;
    match.kind = StageKind::kReduce;
    matched.tasks = match.tasks = parts_for(request.job, bytes);
    match.bytes = bytes;
    match.after = {a.name, b.name};
    match.can_split = true;
    match.body = {
        {"run", "join.match"}, {"left", a.tasks}, {"right", b.tasks}, {"parts", match.tasks}};
    out.stages = {std::move(a), std::move(b), std::move(match)};
  }
  Stage place;
  place.name = "place";
  place.kind = StageKind::kReduce;
  place.tasks = parts_for(request.job, bytes);
  place.bytes = left.source.total_bytes();
  place.after = {matched.stage};
  place.can_split = true;
  place.body = {{"run", "join.place"}, {"matched", matched.tasks}, {"parts", place.tasks}};
  const StageTasks parts{place.name, place.tasks};
  out.stages.push_back(std::move(place));
  out.stages.push_back(result_stage(parts, scans));
  return out;
}

}  // namespace

Json JoinDetails::to_json() const {
  return {{"kind", static_cast<int>(kind)}, {"left_key", left_key},
          {"right_key", right_key},         {"left_columns", left_columns},
          {"right_columns", right_columns}, {"keys", keys},
          {"right_name", right_name}};
}

JoinDetails JoinDetails::from_json(const Json& j) {
  JoinDetails out;
  out.kind = static_cast<JoinKind>(j.at("kind").get<int>());
  out.left_key = j.at("left_key").get<std::string>();
  out.right_key = j.at("right_key").get<std::string>();
  out.left_columns = j.at("left_columns").get<std::string>();
  out.right_columns = j.at("right_columns").get<std::string>();
  out.keys = j.at("keys").get<std::vector<std::uint32_t>>();
  out.right_name = j.at("right_name").get<std::string>();
  return out;
}

Operation join_operation() { return {description(), plan, join_bodies()}; }

}  // namespace polysome
