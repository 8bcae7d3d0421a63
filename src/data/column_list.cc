#include "data/column_list.h"

#include <algorithm>
#include <stdexcept>
#include <string>
#include <string_view>

namespace polysome {
namespace {

constexpr char kBetween = '\n';

Json names_json(const std::vector<SourceColumn>& columns) {
  const bool plain = std::ranges::all_of(
      columns, [](const auto& c) { return c.name.find(kBetween) == std::string::npos; });
  if (!plain) {
    Json out = Json::array();
    for (const auto& c : columns) out.push_back(c.name);
    return out;
  }
  std::string out;
  for (const auto& c : columns) {
    out += c.name;
    out += kBetween;  // behind the last one too: no columns are not one without a name
  }
  return out;
}

std::vector<SourceColumn> from_names(const Json& names) {
  std::vector<SourceColumn> out;
  if (names.is_array()) {
    out.reserve(names.size());
    for (const auto& n : names) out.push_back({n.get<std::string>(), "", ""});
    return out;
  }
  std::string_view rest = names.get_ref<const std::string&>();
  out.reserve(static_cast<std::size_t>(std::ranges::count(rest, kBetween)));
  while (!rest.empty()) {
    const std::size_t end = rest.find(kBetween);
    out.push_back({std::string(rest.substr(0, end)), "", ""});
    if (end == std::string_view::npos) break;
    rest.remove_prefix(end + 1);
  }
  return out;
}

}  // namespace

Json pack_columns(const std::vector<SourceColumn>& columns) {
  Json types = Json::array();
  for (std::size_t i = 0; i < columns.size();) {
    std::size_t end = i + 1;
    while (end < columns.size() && columns[end].type == columns[i].type &&
           columns[end].from == columns[i].from)
      ++end;
    types.push_back({columns[i].type, columns[i].from, end - i});
    i = end;
  }
  return {{"names", names_json(columns)}, {"types", std::move(types)}};
}

std::vector<SourceColumn> unpack_columns(const Json& j) {
  if (j.is_array()) {
    std::vector<SourceColumn> out;
    for (const auto& c : j)
      out.push_back(
          {c.at(0).get<std::string>(), c.at(1).get<std::string>(), c.at(2).get<std::string>()});
    return out;
  }
  std::vector<SourceColumn> out = from_names(j.at("names"));
  std::size_t i = 0;
  for (const auto& run : j.at("types")) {
    const auto type = run.at(0).get<std::string>(), from = run.at(1).get<std::string>();
    for (auto n = run.at(2).get<std::size_t>(); n > 0 && i < out.size(); --n, ++i) {
      out[i].type = type;
      out[i].from = from;
    }
  }
  if (i != out.size()) throw std::runtime_error("not every column has a type");
  return out;
}

}  // namespace polysome
