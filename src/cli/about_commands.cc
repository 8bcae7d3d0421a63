// polysome ops and version.
#include <fmt/format.h>
#include <fmt/ranges.h>

#include <algorithm>

#include "cli/arguments.h"
#include "cli/command.h"
#include "cli/phrases.h"

namespace polysome::cli {
namespace {

std::string values_text(const Parameter& p) {
  if (!p.choices.empty()) return fmt::format("{}", fmt::join(p.choices, ", "));
  if (p.least && p.most)
    return fmt::format("{} to {}", format_number(*p.least), format_number(*p.most));
  if (p.least) return fmt::format("{} or more", format_number(*p.least));
  return "";
}

std::string default_text(const Parameter& p) {
  if (p.required) return "required";
  return p.default_value.is_null() ? "" : "default " + cell_text(p.default_value);
}

// The example as a command line, when its parameters can be written that way.
std::string example_line(const Context& context, const OperationDescription& d) {
  if (!d.example.is_object()) return "";
  std::string line = "submit " + d.name;
  if (const auto it = d.example.find("dataset_id"); it != d.example.end())
    for (const auto& dataset : it->is_array() ? *it : Json::array({*it}))
      line += " " + cell_text(dataset);
  for (const auto& [key, value] : object_of(d.example, "parameters").items()) {
    std::string text;
    if (value.is_array()) {
      for (const auto& v : value) {
        if (v.is_structured()) return "";
        text += (text.empty() ? "" : ",") + cell_text(v);
      }
    } else if (value.is_object()) {
      return "";
    } else {
      text = cell_text(value);
    }
    const bool plain = text.find_first_of(" \t'\"$*?<>|&;(){}[]") == std::string::npos;
    line += plain ? fmt::format(" {}={}", key, text) : fmt::format(" {}=\"{}\"", key, text);
  }
  return context.command(line);
}

void print_operation(const Context& context, const Output& output, const OperationDescription& d) {
  bool first_line = true;
  for (const auto& line : fit(fmt::format("{}  {}", d.name, d.text),
                              output.terminal().out ? output.terminal().width : 0)) {
    output.line(first_line
                    ? paint(output.colour(), Paint::kBold, d.name) + line.substr(d.name.size())
                    : line);
    first_line = false;
  }
  std::string data = d.max_datasets == 0   ? "no dataset"
                     : d.max_datasets == 1 ? "one dataset"
                     : d.max_datasets >= 1000
                         ? fmt::format("{} or more datasets", d.min_datasets)
                         : fmt::format("{} to {} datasets", d.min_datasets, d.max_datasets);
  output.line(
      fmt::format("takes {}{}", data,
                  d.tables.empty() ? "" : fmt::format("; gives {}", fmt::join(d.tables, ", "))));
  if (!d.parameters.empty()) output.line("");
  int names = 0;
  for (const auto& p : d.parameters) names = std::max(names, display_width(p.name));
  const int room = (output.terminal().out ? output.terminal().width : 100) - names - 4;
  for (const auto& p : d.parameters) {
    std::string text = fmt::format("{} ({}", p.text, name(p.type));
    if (const auto otherwise = default_text(p); !otherwise.empty()) text += ", " + otherwise;
    text += ")";
    if (const auto values = values_text(p); !values.empty()) text += "\n" + values;
    bool first = true;
    for (const auto& line : wrap(text, std::max(20, room))) {
      output.line(fmt::format("  {}  {}", pad_right(first ? p.name : "", names), line));
      first = false;
    }
  }
  if (const auto example = example_line(context, d); !example.empty()) {
    output.line("");
    output.line("  " + example);
  }
}

Result<int> ops(const Context& context, const std::string& wanted, const CommonFlags& flags) {
  POLYSOME_ASSIGN(const Output output, output_of(context, flags));
  POLYSOME_ASSIGN(const OperationCatalog catalog, context.operations());
  if (!wanted.empty()) {
    POLYSOME_ASSIGN(const OperationDescription* d, find_operation(catalog, wanted));
    const Json body = d->to_json();
    if (output.format() == Format::kAuto || output.format() == Format::kTable)
      print_operation(context, output, *d);
    else
      output.record(body, {}, "name");
    return 0;
  }
  const Json all = catalog.to_json();
  output.list(all, all.is_array() ? all : list_of(all, "operations"),
              {{"operation", "name"}, {"type", "type"}, {"what it does", "text"}}, "name");
  if (output.for_people())
    output.line(
        paint(output.colour(), Paint::kDim, context.command("ops NAME shows its parameters")));
  return 0;
}

Result<int> version(const Context& context, const CommonFlags& flags) {
  POLYSOME_ASSIGN(const Output output, output_of(context, flags));
  POLYSOME_ASSIGN(ServiceClient client, connect(flags));
  const auto answer = client.get_root("/version");
  Json body = {{"program", POLYSOME_VERSION},
               {"url", client.url()},
               {"service", answer ? Json(text_of(*answer, "version")) : Json()}};
  std::string service = answer ? text_of(*answer, "version") : "none";
  output.record(
      body,
      {{"polysome", POLYSOME_VERSION}, {"service", fmt::format("{} at {}", service, client.url())}},
      "program");
  if (answer && service != POLYSOME_VERSION)
    note("warning: program and service have different versions");
  return 0;
}

}  // namespace

void add_about_commands(CLI::App& app, Context& context) {
  {
    auto* command = app.add_subcommand("ops", "the operations and their parameters");
    auto flags = std::make_shared<CommonFlags>();
    auto wanted = std::make_shared<std::string>();
    command->add_option("operation", *wanted, "one operation in full");
    add_output_flags(command, flags);
    context.on(command, [&context, wanted, flags] { return ops(context, *wanted, *flags); });
  }
  {
    auto* command = app.add_subcommand("version", "of this program and of the service");
    auto flags = std::make_shared<CommonFlags>();
    add_service_flags(command, flags);
    context.on(command, [&context, flags] { return version(context, *flags); });
  }
}

}  // namespace polysome::cli
