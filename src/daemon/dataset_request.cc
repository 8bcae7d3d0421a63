#include "daemon/dataset_request.h"

#include <fmt/format.h>

#include <algorithm>
#include <vector>

#include "base/nearest.h"
#include "model/submit_request.h"

namespace polysome {

Status good_dataset_name(const std::string& id) {
  constexpr std::size_t kLongest = 255;
  const bool controls = std::ranges::any_of(
      id, [](char c) { return static_cast<unsigned char>(c) < 0x20 || c == '\x7f'; });
  if (id.empty() || id.size() > kLongest || controls || id.find('/') != std::string::npos ||
      id.starts_with("job:"))
    return fail(Error(Code::kInvalid,
                      id.size() > kLongest
                          ? fmt::format("a dataset's name has at most {} bytes, not {}", kLongest,
                                        id.size())
                          : fmt::format("{} can't be a dataset's name", dump(Json(id))),
                      "a name is not empty, has no / and no control characters and does not begin "
                      "with job:")
                    .at("/dataset_id"));
  return {};
}

Result<Json> read_layout(ObjectReader& r) {
  Json layout = Json::object();
  if (const Json* given = r.raw("layout")) {
    POLYSOME_ASSIGN(layout, parse_layout(*given, "/layout"));
  }
  if (const Json* nulls = r.raw("null_values")) {
    POLYSOME_ASSIGN(const Json checked, parse_layout({{"null_values", *nulls}}, ""));
    layout["null_values"] = checked["null_values"];
  }
  return layout;
}

Result<std::string> read_format(ObjectReader& r) {
  static const std::vector<std::string> kFormats{"csv",   "tsv",    "gct", "parquet",
                                                 "arrow", "ndjson", "json"};
  const auto format = r.text("format");
  if (!format) return std::string();
  for (const auto& f : kFormats)
    if (f == *format) return f;
  return fail(
      Error(Code::kInvalid,
            fmt::format("format \"{}\" is not known{}", *format, did_you_mean(*format, kFormats)),
            "one of csv, tsv, gct, parquet, arrow, ndjson, json")
          .at("/format"));
}

}  // namespace polysome
