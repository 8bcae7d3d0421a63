// polysome demo: a small study with planted effects, to try things on.
#include <fmt/format.h>

#include <algorithm>
#include <cstdio>
#include <filesystem>

#include "base/bytes.h"
#include "base/files.h"
#include "base/nearest.h"
#include "cli/command.h"
#include "cli/demo_study.h"
#include "cli/phrases.h"

namespace polysome::cli {
namespace {

namespace fs = std::filesystem;

// Says that a folder's files are ours to overwrite, and what they were made from.
constexpr const char* kMark = ".polysome-demo";

struct Options {
  std::string out = "polysome-demo", size = "medium";
  std::uint64_t seed = 1;
  std::uint32_t samples = 0, genes = 0;
};

struct Size {
  const char* name;
  std::uint32_t samples, genes;
};
constexpr Size kSizes[] = {{"small", 40, 500}, {"medium", 200, 2000}, {"large", 2000, 20'000}};

Result<StudySpec> spec_of(const Options& o) {
  std::vector<std::string> names;
  for (const auto& s : kSizes) {
    names.emplace_back(s.name);
    if (o.size != s.name) continue;
    return StudySpec{o.seed, o.samples > 0 ? o.samples : s.samples,
                     o.genes > 0 ? o.genes : s.genes};
  }
  return fail(Code::kInvalid,
              fmt::format("--size {}: no such size{}", o.size, did_you_mean(o.size, names)),
              "small, medium or large; or --samples N --genes N");
}

std::string mark_of(const StudySpec& spec) {
  return fmt::format("format 1, seed {}, samples {}, genes {}\n", spec.seed, spec.samples,
                     spec.genes);
}

// The files there already, if they are what would be written; an error if they are somebody else's.
Result<std::vector<StudyFile>> present(const StudySpec& spec, const fs::path& folder) {
  std::vector<StudyFile> out;
  std::error_code ec;
  const auto mark = read_file(folder / kMark, 10'000);
  for (const auto& name : study_file_names()) {
    if (!fs::exists(folder / name, ec)) continue;
    if (!mark)
      return fail(
          Code::kConflict,
          fmt::format("{} is there already and is no demo of ours", (folder / name).string()),
          "choose another folder: --out DIR");
    StudyFile file;
    file.name = name;
    file.bytes = fs::file_size(folder / name, ec);
    out.push_back(std::move(file));
  }
  if (!mark || *mark != mark_of(spec) || out.size() != study_file_names().size()) out.clear();
  return out;
}

// A path as it may stand in a shell's line.
std::string quoted(const std::string& path) {
  if (path.find_first_of(" '\"\\$&()*?") == std::string::npos) return path;
  std::string out = "'";
  for (const char c : path) out += c == '\'' ? std::string("'\\''") : std::string(1, c);
  return out + "'";
}

void print_next(const Context& context, const Output& output, const fs::path& folder) {
  const std::string table = quoted((folder / "my_dataset.csv").string());
  output.line("");
  output.line("Next:");
  output.line(
      "  " +
      context.command(fmt::format(
          "run aggregate {} column=expression operation=mean group_by=gene,condition", table)));
  output.line("  " + context.command(
                         fmt::format("run describe {}", quoted((folder / "counts.tsv").string()))));
  output.line("  " + context.command(
                         fmt::format("serve --data-dir {} --autostart", quoted(folder.string()))));
}

void print_files(const Output& output, const fs::path& folder,
                 const std::vector<StudyFile>& files) {
  std::vector<std::vector<std::string>> rows;
  for (const auto& f : files)
    rows.push_back({(folder / f.name).string(), f.rows > 0 ? counted(f.rows, "row") : "",
                    format_bytes(f.bytes), f.what});
  auto table = layout_table({{""}, {"", Align::kRight}, {"", Align::kRight}, {""}}, std::move(rows),
                            output.layout(2));
  table.lines.erase(table.lines.begin());
  output.lines(table.lines);
}

Json files_json(const StudySpec& spec, const fs::path& folder,
                const std::vector<StudyFile>& files) {
  Json list = Json::array();
  for (const auto& f : files) {
    std::error_code ec;
    list.push_back({{"path", fs::absolute(folder / f.name, ec).lexically_normal().string()},
                    {"bytes", f.bytes}});
  }
  return {{"folder", folder.string()},
          {"seed", spec.seed},
          {"samples", spec.samples},
          {"genes", spec.genes},
          {"files", std::move(list)}};
}

Result<int> demo(const Context& context, const Options& o, const CommonFlags& flags) {
  POLYSOME_ASSIGN(const Output output, output_of(context, flags));
  POLYSOME_ASSIGN(const StudySpec spec, spec_of(o));
  const fs::path folder(o.out);
  POLYSOME_ASSIGN(std::vector<StudyFile> files, present(spec, folder));
  const bool made = files.empty();
  if (made) {
    POLYSOME_TRY(make_folders(folder));
    // First the mark: files that a broken run leaves are ours too.
    POLYSOME_TRY(write_file(folder / kMark, "unfinished\n", false));
    const bool show = context.terminal.err && std::uint64_t{spec.samples} * spec.genes > 5'000'000;
    const auto progress = [&](std::uint32_t genes) {
      if (show)
        std::fprintf(stderr, "\r  %s of %s genes", format_count(genes).c_str(),
                     format_count(spec.genes).c_str());
    };
    POLYSOME_ASSIGN(files, write_study(spec, folder, progress));
    if (show) std::fputs("\r\x1b[2K", stderr);
    POLYSOME_TRY(write_file(folder / kMark, mark_of(spec), false));
  }
  if (output.format() != Format::kAuto && output.format() != Format::kTable) {
    const Json body = files_json(spec, folder, files);
    output.list(body, body["files"], {{"path", "path"}, {"bytes", "bytes"}}, "path");
    return 0;
  }
  const Study study(spec);
  output.line(fmt::format("{}: {}, {}, {} planted (seed {}){}", folder.string(),
                          counted(spec.samples, "sample"), counted(spec.genes, "gene"),
                          study.planted().size(), spec.seed, made ? "" : "; there already"));
  print_files(output, folder, files);
  print_next(context, output, folder);
  return 0;
}

}  // namespace

void add_demo_command(CLI::App& app, Context& context) {
  auto* command = app.add_subcommand("demo", "make a small omics study with planted effects");
  auto o = std::make_shared<Options>();
  auto flags = std::make_shared<CommonFlags>();
  command->add_option("--out", o->out, "folder to write to (polysome-demo)")->type_name("DIR");
  command->add_option("--seed", o->seed, "the same seed gives the same files (1)")->type_name("N");
  command
      ->add_option("--size", o->size,
                   "small (40 x 500), medium (200 x 2,000) or large (2,000 x 20,000)")
      ->type_name("NAME");
  command->add_option("--samples", o->samples, "number of samples")
      ->type_name("N")
      ->check(CLI::Range(2, 100'000));
  command->add_option("--genes", o->genes, "number of genes")
      ->type_name("N")
      ->check(CLI::Range(4, 1'000'000));
  add_output_flags(command, flags);
  context.on(command, [&context, o, flags] { return demo(context, *o, *flags); });
}

}  // namespace polysome::cli
