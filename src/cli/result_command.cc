// polysome result: a completed job's table, the first rows of it or all of it.
#include <fcntl.h>
#include <fmt/format.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <filesystem>

#include "base/bytes.h"
#include "base/files.h"
#include "base/nearest.h"
#include "cli/command.h"
#include "cli/follow.h"
#include "cli/phrases.h"
#include "cli/result_view.h"
#include "model/job.h"

namespace polysome::cli {
namespace {

namespace fs = std::filesystem;

constexpr std::uint64_t kShownRows = 20;

struct Options {
  std::string job, table, out;
  std::vector<std::string> columns;
  std::optional<std::uint64_t> limit;
  bool replace = false;
};

std::string join(const std::vector<std::string>& texts) {
  std::string out;
  for (const auto& t : texts) out += (out.empty() ? "" : ",") + t;
  return out;
}

Query query_of(const Options& o) {
  Query out{{"table", o.table}, {"columns", join(o.columns)}};
  return out;
}

std::string path_of(const Json& status) {
  return fmt::format("jobs/{}/result", text_of(status, "job_id"));
}

Result<Json> page_of(ServiceClient& client, const Json& status, const Options& o,
                     std::uint64_t limit) {
  Query query = query_of(o);
  query.emplace_back("limit", std::to_string(std::clamp<std::uint64_t>(limit, 1, 1000)));
  return client.get(path_of(status), query);
}

// The same of as many columns as a terminal may show.
Result<Json> page_to_show(ServiceClient& client, const Json& status, const Options& o,
                          const TableLayout& layout, std::uint64_t limit) {
  Options some = o;
  std::uint64_t n_columns = 0;
  const Json& tables = list_of(object_of(status, "result"), "tables");
  if (o.columns.empty() && o.table.empty() && tables.size() == 1) {
    some.columns = columns_to_show(tables.front(), layout);
    // A list of names goes by comma.
    if (std::ranges::any_of(some.columns, [](const auto& c) { return c.contains(','); }))
      some.columns.clear();
    if (!some.columns.empty()) n_columns = whole_of(tables.front(), "n_columns");
  }
  POLYSOME_ASSIGN(Json page, page_of(client, status, some, limit));
  if (n_columns > 0) page["n_columns"] = n_columns;
  return page;
}

Status stream(ServiceClient& client, const Json& status, const Options& o,
              const std::string& format, const std::function<Status(std::string_view)>& sink) {
  Query query = query_of(o);
  query.emplace_back("format", format);
  if (o.limit) query.emplace_back("limit", std::to_string(*o.limit));
  return client.download(path_of(status), query, sink);
}

Result<std::string> format_of_file(const std::string& path) {
  static const std::vector<std::string> kEndings{"csv", "tsv", "ndjson", "parquet", "arrow"};
  std::string ending = fs::path(path).extension().string();
  if (!ending.empty()) ending.erase(0, 1);
  if (ending == "pq") ending = "parquet";
  if (ending == "jsonl") ending = "ndjson";
  if (ending == "feather" || ending == "ipc") ending = "arrow";
  if (std::ranges::find(kEndings, ending) != kEndings.end()) return ending;
  return fail(Code::kInvalid,
              fmt::format("--out {}: its ending does not say a format{}", path,
                          did_you_mean(ending, kEndings)),
              "end it with .csv, .tsv, .ndjson, .parquet or .arrow");
}

// A file that takes its name only when it is whole.
class NewFile {
 public:
  static Result<NewFile> open(const std::string& path, bool replace) {
    std::error_code ec;
    if (!replace && fs::exists(path, ec))
      return fail(Code::kConflict, fmt::format("{} is there already", path),
                  "--replace overwrites it");
    NewFile out(path);
    out.fd_ = ::open(out.part_.c_str(), O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0644);
    if (out.fd_ < 0) return fail(errno_error("cannot create", path, errno));
    return out;
  }
  NewFile(NewFile&& other) noexcept
      : path_(std::move(other.path_)),
        part_(std::move(other.part_)),
        fd_(std::exchange(other.fd_, -1)),
        bytes_(other.bytes_) {}
  NewFile& operator=(NewFile&&) = delete;
  ~NewFile() {
    if (fd_ < 0) return;
    ::close(fd_);
    ::unlink(part_.c_str());
  }

  Status write(std::string_view text) {
    bytes_ += text.size();
    return write_all(fd_, text, path_);
  }
  Status finish() {
    const int closed = ::close(std::exchange(fd_, -1));
    std::error_code ec;
    if (closed == 0) fs::rename(part_, path_, ec);
    if (closed != 0 || ec)
      return fail(errno_error("cannot write", path_, closed != 0 ? errno : ec.value()));
    return {};
  }
  std::uint64_t bytes() const { return bytes_; }

 private:
  explicit NewFile(std::string path)
      : path_(std::move(path)), part_(fmt::format("{}.part-{}", path_, ::getpid())) {}
  std::string path_, part_;
  int fd_ = -1;
  std::uint64_t bytes_ = 0;
};

Status save(ServiceClient& client, const Json& status, const Options& o) {
  POLYSOME_ASSIGN(const std::string format, format_of_file(o.out));
  POLYSOME_ASSIGN(NewFile file, NewFile::open(o.out, o.replace));
  POLYSOME_TRY(stream(client, status, o, format,
                      [&file](std::string_view piece) { return file.write(piece); }));
  POLYSOME_TRY(file.finish());
  note(fmt::format("wrote {} ({})", o.out, format_bytes(file.bytes())));
  return {};
}

Status print(const Context& context, const Output& output, ServiceClient& client,
             const Json& status, const Options& o) {
  const Json& result = object_of(status, "result");
  if (output.format() == Format::kId) return write_out(text_of(status, "job_id") + "\n");
  if (!has_table(result)) {
    if (!o.table.empty())
      return fail(Code::kNotFound,
                  fmt::format("job {} gave no table", short_id(text_of(status, "job_id"))));
    output.record(result, summary_fields(result), "value");
    return {};
  }
  if (output.format() == Format::kJson) {
    POLYSOME_ASSIGN(const Json page, page_of(client, status, o, o.limit.value_or(100)));
    return write_out(dump_pretty(page) + "\n");
  }
  if (output.for_people()) {
    POLYSOME_ASSIGN(const Json page,
                    page_to_show(client, status, o, output.layout(), o.limit.value_or(kShownRows)));
    const std::string hint = context.command(
        fmt::format("result {}{} --out {}.csv writes all", short_id(text_of(status, "job_id")),
                    o.table.empty() ? "" : " --table " + o.table, text_of(status, "operation")));
    POLYSOME_ASSIGN(const auto lines, preview_lines(page, output.layout(), hint));
    output.lines(lines);
    const Json& tables = list_of(result, "tables");
    if (tables.size() > 1 && o.table.empty()) {
      std::string others;
      for (const auto& t : tables)
        if (const auto name = text_of(t, "name"); name != text_of(page, "table"))
          others += (others.empty() ? "" : ", ") + name;
      output.line(
          paint(output.colour(), Paint::kDim, "other tables: " + others + " (--table NAME)"));
    }
    return {};
  }
  return stream(client, status, o, output.format() == Format::kNdjson ? "ndjson" : "csv",
                write_out);
}

Result<int> result(const Context& context, const Options& o, const CommonFlags& flags) {
  POLYSOME_ASSIGN(const Output output, output_of(context, flags));
  POLYSOME_ASSIGN(ServiceClient client, connect(flags));
  POLYSOME_ASSIGN(const std::string id, client.job_id(o.job));
  POLYSOME_ASSIGN(const Json status, client.get(fmt::format("jobs/{}/status", id)));
  if (text_of(status, "status") != "completed") {
    const bool over = is_over(status);
    const Json& problem = object_of(status, "error");
    print_error(Error(Code::kConflict,
                      fmt::format("job {} is {}; it has no result", short_id(id),
                                  text_of(status, "status")),
                      over ? "" : context.command(fmt::format("watch {}", short_id(id)))),
                context.terminal.colour_err);
    if (!problem.empty()) print_error(error_from_problem(problem), context.terminal.colour_err);
    return over ? info(Code::kConflict).exit_code : exit_code_of(status);
  }
  if (!o.out.empty())
    POLYSOME_TRY(save(client, status, o));
  else
    POLYSOME_TRY(print(context, output, client, status, o));
  note_warnings(status);
  return 0;
}

}  // namespace

Status show_result(const Context& context, const Output& output, ServiceClient& client,
                   const Json& status, const std::string& table,
                   std::optional<std::uint64_t> limit) {
  Options o;
  o.table = table;
  o.limit = limit;
  if (output.for_people() && context.terminal.err) note("");
  POLYSOME_TRY(print(context, output, client, status, o));
  note_files(object_of(status, "result"));
  return {};
}

void add_result_command(CLI::App& app, Context& context) {
  auto* command = app.add_subcommand("result", "a completed job's table");
  auto o = std::make_shared<Options>();
  auto flags = std::make_shared<CommonFlags>();
  command->add_option("job", o->job, "id, its end, a unique name, or last")->required();
  command->add_option("--table", o->table, "which table, if it has several")->type_name("NAME");
  command->add_option("--columns", o->columns, "only these, as a,b")
      ->type_name("LIST")
      ->delimiter(',');
  command->add_option("--limit", o->limit, "at most so many rows")->type_name("N");
  command
      ->add_option("--out", o->out,
                   "write the whole table there: .csv .tsv .ndjson .parquet .arrow")
      ->type_name("FILE");
  command->add_flag("--replace", o->replace, "overwrite the file of --out");
  add_service_flags(command, flags);
  command->footer("On a terminal the first 20 rows; piped, or with -o csv or ndjson, all of them.");
  context.on(command, [&context, o, flags] { return result(context, *o, *flags); });
}

}  // namespace polysome::cli
