// polysome load and partition.
#include <fmt/format.h>

#include <algorithm>
#include <filesystem>

#include "base/bytes.h"
#include "cli/arguments.h"
#include "cli/command.h"
#include "cli/phrases.h"

namespace polysome::cli {
namespace {

namespace fs = std::filesystem;

struct Options {
  std::string dataset, source, format, layout, partition_size;
  std::vector<std::string> columns, null_values;
  int n_workers = 0;
  bool replace = false;
  bool exact = false;
  bool materialize = false;
};

// A file or glob of the current folder by its whole path, when the service runs on this machine.
std::string whole_path(const std::string& given, const ServiceClient& client) {
  if (given.find("://") != std::string::npos || !client.is_this_machine()) return given;
  const auto pattern = given.find_first_of("*?[");
  const fs::path fixed = pattern == std::string::npos
                             ? fs::path(given)
                             : fs::path(given.substr(0, pattern)).parent_path();
  std::error_code ec;
  if (!fs::exists(fixed.empty() ? fs::path(".") : fixed, ec)) return given;
  return fs::absolute(given, ec).lexically_normal().string();
}

std::string columns_text(const Json& columns) {
  std::string out;
  std::size_t n = 0;
  for (const auto& c : columns) {
    if (++n > 12) break;
    out += fmt::format("{}{} {}", out.empty() ? "" : ", ", printable(text_of(c, "name")),
                       text_of(c, "type"));
  }
  return columns.size() > 12 ? fmt::format("{}, … ({})", out, counted(columns.size(), "column"))
                             : out;
}

std::vector<std::pair<std::string, std::string>> dataset_fields(const Json& j) {
  std::vector<std::pair<std::string, std::string>> out;
  const auto add = [&](const char* name, const std::string& value) {
    if (!value.empty()) out.emplace_back(name, value);
  };
  add("dataset", printable(text_of(j, "dataset_id")));
  add("source", printable(text_of(j, "source")));
  add("format", text_of(j, "format"));
  if (j.contains("total_size_bytes")) add("size", format_bytes(whole_of(j, "total_size_bytes")));
  if (j.contains("n_rows") && !j["n_rows"].is_null()) {
    const bool exact = j.value("n_rows_exact", true);
    add("rows", (exact ? "" : "about ") + format_count(whole_of(j, "n_rows")));
  }
  add("columns", columns_text(list_of(j, "columns")));
  if (j.contains("n_partitions")) {
    std::string strategy = text_of(j, "strategy");
    std::ranges::replace(strategy, '_', ' ');
    add("partitions", fmt::format("{} of up to {}{}", format_count(whole_of(j, "n_partitions")),
                                  format_bytes(whole_of(j, "partition_size_bytes")),
                                  strategy.empty() ? "" : ", " + strategy));
  }
  return out;
}

Result<int> load(const Context& context, const Options& o, const CommonFlags& flags) {
  POLYSOME_ASSIGN(const Output output, output_of(context, flags));
  POLYSOME_ASSIGN(ServiceClient client, connect(flags));
  Json body = {{"dataset_id", o.dataset}, {"source", whole_path(o.source, client)}};
  if (!o.format.empty()) body["format"] = o.format;
  if (!o.columns.empty()) body["columns"] = o.columns;
  if (!o.null_values.empty()) body["null_values"] = o.null_values;
  if (!o.layout.empty()) {
    POLYSOME_ASSIGN(body["layout"], json_or_file(o.layout, "--layout"));
  }
  if (o.replace) body["replace"] = true;
  if (o.materialize) body["materialize"] = true;
  POLYSOME_ASSIGN(const Json answer, client.post("data/load", body));
  output.record(answer, dataset_fields(answer), "dataset_id");
  if (const std::string job = text_of(answer, "job_id"); output.for_people() && !job.empty())
    output.line(fmt::format("job {} writes it as Parquet; until then its source is read", job));
  return 0;
}

Result<int> partition(const Context& context, const Options& o, const CommonFlags& flags) {
  POLYSOME_ASSIGN(const Output output, output_of(context, flags));
  POLYSOME_ASSIGN(ServiceClient client, connect(flags));
  std::error_code ec;
  const bool path_like = o.dataset.find_first_of("/.") != std::string::npos;
  const bool file = path_like && client.is_this_machine() && fs::exists(o.dataset, ec);
  Json body =
      file ? Json{{"path", whole_path(o.dataset, client)}} : Json{{"dataset_id", o.dataset}};
  if (!o.partition_size.empty()) body["partition_size"] = o.partition_size;
  if (!o.format.empty()) body["format"] = o.format;
  if (o.n_workers > 0) body["n_workers"] = o.n_workers;
  if (o.exact) body["exact"] = true;
  if (!o.layout.empty()) {
    POLYSOME_ASSIGN(body["layout"], json_or_file(o.layout, "--layout"));
  }
  POLYSOME_ASSIGN(const Json answer, client.post("data/partition", body));
  const Json& partitions = list_of(answer, "partitions");
  if (output.for_people()) {
    output.record(answer, dataset_fields(answer), "dataset_id");
    if (const std::string job = text_of(answer, "job_id"); !job.empty())
      output.line(
          fmt::format("job {} counts the rows; the same command shows them when it is done", job));
    output.line("");
  }
  Json shown = partitions;
  constexpr std::size_t kShown = 20;
  if (output.for_people() && shown.size() > kShown)
    shown.erase(shown.begin() + static_cast<std::ptrdiff_t>(kShown), shown.end());
  output.list(answer, shown,
              {{"", "index", Align::kRight},
               {"source", "source", Align::kLeft,
                [](const Json& p) {
                  return printable(fs::path(text_of(p, "source")).filename().string());
                }},
               {"offset", "offset", Align::kRight,
                [](const Json& p) { return format_count(whole_of(p, "offset")); }},
               {"length", "length", Align::kRight,
                [](const Json& p) { return format_bytes(whole_of(p, "length")); }},
               {"rows", "rows", Align::kRight,
                [](const Json& p) {
                  return whole_of(p, "rows") > 0 ? format_count(whole_of(p, "rows")) : "";
                }}},
              "index");
  const auto total = whole_of(answer, "n_partitions", partitions.size());
  if (output.for_people() && shown.size() < total)
    output.line(
        paint(output.colour(), Paint::kDim,
              fmt::format("{} of {}; -o csv prints {}", shown.size(), counted(total, "partition"),
                          partitions.size() < total ? "the first 1,000" : "all")));
  return 0;
}

}  // namespace

void add_data_commands(CLI::App& app, Context& context) {
  {
    auto* command = app.add_subcommand("load", "give a file, folder or glob a name");
    auto o = std::make_shared<Options>();
    auto flags = std::make_shared<CommonFlags>();
    command->add_option("dataset", o->dataset, "the name")->required();
    command
        ->add_option(
            "source", o->source,
            "path, folder or glob below a data folder of the service, or a database's table:\n"
            "sqlite:///shop.db?table=t, postgresql://NAME?table=t")
        ->required();
    command
        ->add_option("--format", o->format,
                     "csv, tsv, gct, parquet, arrow, ndjson or json (default: by the ending)")
        ->type_name("NAME");
    command->add_option("--columns", o->columns, "only these, as a,b")
        ->type_name("LIST")
        ->delimiter(',');
    command->add_option("--null-values", o->null_values, "texts that mean missing, as NA,none")
        ->type_name("LIST")
        ->delimiter(',');
    command->add_option("--layout", o->layout, "how it lies, as JSON or @FILE")->type_name("JSON");
    command->add_flag("--replace", o->replace, "the name may be taken");
    command->add_flag("--materialize", o->materialize, "write it as Parquet, by a job");
    add_service_flags(command, flags);
    context.on(command, [&context, o, flags] { return load(context, *o, *flags); });
  }
  {
    auto* command = app.add_subcommand("partition", "how a dataset would be cut");
    auto o = std::make_shared<Options>();
    auto flags = std::make_shared<CommonFlags>();
    command->add_option("dataset", o->dataset, "a dataset's name, or a file")->required();
    command->add_option("--partition-size", o->partition_size, "size of the pieces (100MB)")
        ->type_name("SIZE");
    command->add_option("--n-workers", o->n_workers, "cut for so many workers")->type_name("N");
    command->add_flag("--exact", o->exact, "count all rows, by a job where need be");
    command->add_option("--format", o->format, "csv, tsv, gct, parquet, arrow, ndjson or json")
        ->type_name("NAME");
    command->add_option("--layout", o->layout, "how it lies, as JSON or @FILE")->type_name("JSON");
    add_service_flags(command, flags);
    context.on(command, [&context, o, flags] { return partition(context, *o, *flags); });
  }
}

}  // namespace polysome::cli
