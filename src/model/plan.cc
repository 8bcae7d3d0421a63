#include "model/plan.h"

#include <fmt/format.h>

#include <array>
#include <utility>

namespace polysome {
namespace {

constexpr std::array<std::pair<StageKind, std::string_view>, 5> kKinds{{
    {StageKind::kPlanner, "planner"},
    {StageKind::kMap, "map"},
    {StageKind::kCombine, "combine"},
    {StageKind::kReduce, "reduce"},
    {StageKind::kSingle, "single"},
}};

bool good_name(std::string_view name) {
  if (name.empty() || name.size() > 64 || name.front() == '.') return false;
  for (const char c : name)
    if (!((c >= 'a' && c <= 'z') || (c >= '0' && c <= '9') || c == '_' || c == '.' || c == '-'))
      return false;
  return true;
}

Result<Stage> stage_from_json(const Json& j) {
  Stage s;
  try {
    s.name = j.at("name").get<std::string>();
    const auto kind = j.at("kind").get<std::string>();
    bool known = false;
    for (const auto& [k, v] : kKinds)
      if (v == kind) {
        s.kind = k;
        known = true;
      }
    if (!known) return fail(Code::kInternal, "unknown stage kind \"" + kind + "\"");
    s.tasks = j.at("tasks").get<std::uint32_t>();
    s.after = j.value("after", std::vector<std::string>{});
    s.bytes = j.value("bytes", std::uint64_t{0});
    s.grant = j.value("grant", std::uint64_t{0});
    s.borders = j.value("borders", false);
    s.gang = j.value("gang", false);
    s.can_split = j.value("can_split", false);
    s.final = j.value("final", false);
    if (const auto it = j.find("body"); it != j.end()) s.body = *it;
  } catch (const std::exception& e) {
    return fail(Code::kInternal, std::string("a stage of the plan is unreadable: ") + e.what());
  }
  if (!good_name(s.name)) return fail(Code::kInternal, "bad stage name \"" + s.name + "\"");
  if (s.tasks == 0) return fail(Code::kInternal, "stage \"" + s.name + "\" has no tasks");
  return s;
}

}  // namespace

std::string_view name(StageKind kind) {
  for (const auto& [k, v] : kKinds)
    if (k == kind) return v;
  return "map";
}

Result<Fragment> Fragment::from_json(const Json& j, const std::string& file) {
  Fragment out;
  if (!j.is_object() || !j.contains("stages") || !j["stages"].is_array())
    return fail(Code::kInternal, "the plan " + file + " has no stages");
  for (const auto& item : j["stages"]) {
    POLYSOME_ASSIGN(Stage stage, stage_from_json(item));
    stage.fragment_file = file;
    stage.place = static_cast<std::uint32_t>(out.stages.size());
    out.stages.push_back(std::move(stage));
  }
  if (const auto it = j.find("warnings"); it != j.end() && it->is_array()) out.warnings = *it;
  return out;
}

Json Fragment::to_json() const {
  Json list = Json::array();
  for (const auto& s : stages)
    list.push_back({{"name", s.name},
                    {"kind", polysome::name(s.kind)},
                    {"tasks", s.tasks},
                    {"after", s.after},
                    {"bytes", s.bytes},
                    {"grant", s.grant},
                    {"borders", s.borders},
                    {"gang", s.gang},
                    {"can_split", s.can_split},
                    {"final", s.final},
                    {"body", s.body}});
  return {{"stages", std::move(list)}, {"warnings", warnings}};
}

}  // namespace polysome
