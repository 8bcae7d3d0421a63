#include "operations/task_env.h"

#include <fmt/format.h>

#include <algorithm>
#include <filesystem>
#include <system_error>

#include "data/pieces.h"
#include "plan/planner.h"

namespace polysome {

TaskEnv::TaskEnv(const TaskSpec& spec_, TaskContext& context_, const JobDescription& job_,
                 const Json& body_, std::shared_ptr<const PlanDocument> plan, Session* session)
    : spec(spec_),
      context(context_),
      job(job_),
      body(body_),
      plan_(std::move(plan)),
      session_(session) {
  output.result.attempt = spec.attempt;
  output.durable = false;
}

TaskEnv::~TaskEnv() {
  // A failed drop leaves a table that the next CREATE OR REPLACE takes over.
  for (const auto& name : temp_tables_)
    (void)session_->run("DROP TABLE IF EXISTS " + sql_identifier(name));
  for (const auto& view : views_)
    (void)session_->run("DROP VIEW IF EXISTS " + sql_identifier(view));
  std::error_code ec;
  for (const auto& path : scratch_files_) std::filesystem::remove(path, ec);
  for (const auto& input : plan_->inputs) input.source.files.let_go();
}

Result<std::string> TaskEnv::body_text(const char* key) const {
  const auto it = body.find(key);
  if (it == body.end() || !it->is_string())
    return fail(Code::kInternal, fmt::format("the stage's body lacks \"{}\"", key));
  return it->get<std::string>();
}

Result<std::uint32_t> TaskEnv::body_number(const char* key) const {
  const auto it = body.find(key);
  if (it == body.end() || !it->is_number_unsigned())
    return fail(Code::kInternal, fmt::format("the stage's body lacks \"{}\"", key));
  return it->get<std::uint32_t>();
}

Result<TaskEnv::OwnPartition> TaskEnv::own_partition(int passes, std::size_t index) {
  const auto& input = plan().inputs.at(index);
  OwnPartition out;
  POLYSOME_ASSIGN(out.pieces, input.partition(spec.job_folder, spec.task.index));
  for (const auto& p : out.pieces) out.bytes += p.bytes;
  if (input.has_borders() && !out.pieces.empty()) {
    const auto& first = out.pieces.front();
    if (first.offset > input.source.files.at(first.file).data_offset)
      unconfirmed_start_ = !spec.start_inside_quotes;
  }
  out.options = scan_options(0, passes, output.result.bytes_in + out.bytes);
  if (index == 0) out.options.row_tests = row_tests();
  return out;
}

Json TaskEnv::row_tests() const {
  const Json& details = plan().details;
  return details.is_object() && details.contains("row_tests") ? details["row_tests"] : Json();
}

Status TaskEnv::open_partition(const std::string& view, int passes, std::size_t index) {
  POLYSOME_ASSIGN(auto own, own_partition(passes, index));
  POLYSOME_ASSIGN(auto report, open_view(session(), view, plan().inputs.at(index).source,
                                         std::move(own.pieces), own.options));
  output.result.bytes_in += own.bytes;
  views_.push_back(view);
  reports_.push_back(std::move(report));
  return {};
}

Result<std::uint64_t> TaskEnv::open_counted(const std::string& view) {
  POLYSOME_ASSIGN(const auto own, own_partition(1, 0));
  std::uint64_t rows = 0;
  for (const auto& p : own.pieces) rows += p.rows;
  POLYSOME_TRY(open_partition(view, 1));
  return rows;
}

ScanOptions TaskEnv::scan_options(std::uint64_t bytes_before, int passes, std::uint64_t all) {
  ScanOptions options;
  options.start_inside_quotes = spec.start_inside_quotes;
  options.cancelled = context.cancelled;
  if (!context.progress) return options;
  // The view is read `passes` times; `bytes` falls when a pass begins anew.
  options.progress = [=, this, done = std::uint64_t{0},
                      last = std::uint64_t{0}](std::uint64_t bytes) mutable {
    if (bytes < last) done += last;
    last = bytes;
    context.progress(bytes_before +
                     std::min<std::uint64_t>((done + bytes) / static_cast<unsigned>(passes), all));
  };
  return options;
}

namespace {

// The ranges of a partition in `split` or somewhat more pieces, in order: some ranges together, or
// each cut again.
Result<std::vector<std::vector<Partition>>> smaller_pieces(const TableSource& source,
                                                           const std::vector<Partition>& ranges,
                                                           std::uint32_t split) {
  std::vector<std::vector<Partition>> out;
  if (ranges.size() >= split) {
    for (std::uint32_t i = 0; i < split; ++i) {
      const auto at = [&](std::uint32_t n) {
        return ranges.begin() + static_cast<std::ptrdiff_t>(ranges.size() * n / split);
      };
      out.emplace_back(at(i), at(i + 1));
    }
    return out;
  }
  const auto each = static_cast<std::uint32_t>((split + ranges.size() - 1) / ranges.size());
  for (const auto& range : ranges) {
    POLYSOME_ASSIGN(const auto cut, cut_again(source, range, each));
    for (const auto& p : cut) out.push_back({p});
  }
  return out;
}

}  // namespace

Status TaskEnv::each_piece(const std::string& view, int passes,
                           const std::function<Status(std::size_t piece)>& read) {
  // Also with pieces: what the whole ends with is told before anything is read, as a dispute needs.
  POLYSOME_TRY(open_partition(view, passes));
  if (spec.split <= 1) return read(0);
  reports_.back()->settle_now();
  const auto& input = plan().inputs.front();
  POLYSOME_ASSIGN(const auto whole, input.partition(spec.job_folder, spec.task.index));
  if (whole.empty()) return read(0);
  POLYSOME_ASSIGN(const auto pieces, smaller_pieces(input.source, whole, spec.split));
  bool inside = spec.start_inside_quotes;
  std::uint64_t before = 0;
  for (std::size_t i = 0; i < pieces.size(); ++i) {
    POLYSOME_TRY(check_cancelled());
    std::uint64_t bytes = 0;
    for (const auto& p : pieces[i]) bytes += p.bytes;
    ScanOptions options = scan_options(before, passes, bytes);
    options.start_inside_quotes = inside;
    options.row_tests = row_tests();
    POLYSOME_ASSIGN(auto report, open_view(session(), view, input.source, pieces[i], options));
    const ScanReport total = report->total();
    inside = inside ? total.ends_inside_if_inside : total.ends_inside_if_outside;
    piece_reports_.push_back(std::move(report));
    POLYSOME_TRY(read(i));
    before += bytes;
  }
  return {};
}

Result<std::shared_ptr<TextScan>> TaskEnv::open_text(std::size_t index) {
  const auto& source = plan().inputs.at(index).source;
  if (!is_delimited(source.format) || !reads_alike(source)) return std::shared_ptr<TextScan>();
  POLYSOME_ASSIGN(const auto own, own_partition(1, index));
  return make_text_scan(source, own.pieces, own.options);
}

void TaskEnv::note_scan(const std::shared_ptr<TextScan>& scan) {
  for (const auto& piece : scan->pieces) output.result.bytes_in += piece.limit - piece.offset;
  reports_.emplace_back(scan, scan->report.get());  // the borders may still be asked of the scan
}

Status TaskEnv::write_rows(std::shared_ptr<RowSource> rows, const std::string& select,
                           const std::string& role) {
  POLYSOME_TRY(register_row_source(session()));
  const std::uint64_t handle = session().hold(std::move(rows));
  const auto written = write_parquet(
      fmt::format("SELECT {} FROM ps_rows({}::UBIGINT) AS rows", select, handle), role);
  session().release(handle);
  if (!written) return std::unexpected(written.error());
  return {};
}

namespace {

// Pieces of text that touch are read as one, so that no start within quotes has to be known.
std::vector<Partition> joined(const std::vector<Partition>& partitions) {
  std::vector<Partition> out;
  for (const auto& p : partitions) {
    if (out.empty() || out.back().file != p.file ||
        out.back().offset + out.back().length != p.offset) {
      out.push_back(p);
      continue;
    }
    out.back().length += p.length;
    out.back().bytes += p.bytes;
    out.back().rows += p.rows;
  }
  return out;
}

}  // namespace

Status TaskEnv::open_nothing(const std::string& view, std::size_t index) {
  views_.push_back(view);
  POLYSOME_TRY(open_view(session(), view, plan().inputs.at(index).source, {}, {}));
  return {};
}

Status TaskEnv::open_whole(const std::string& view, std::size_t index) {
  const auto& input = plan().inputs.at(index);
  POLYSOME_ASSIGN(const auto partitions, input.all_partitions(spec.job_folder));
  const std::uint64_t before = output.result.bytes_in;
  for (const auto& p : partitions) output.result.bytes_in += p.bytes;
  ScanOptions options;
  options.cancelled = context.cancelled;
  if (context.progress)
    options.progress = [this, before](std::uint64_t bytes) { context.progress(before + bytes); };
  POLYSOME_ASSIGN(auto report,
                  open_view(session(), view, input.source, joined(partitions), options));
  views_.push_back(view);
  reports_.push_back(std::move(report));
  return {};
}

void TaskEnv::finish_scan() {
  auto& result = output.result;
  std::uint64_t bad = 0, shorter = 0, longer = 0;
  const auto count = [&](const ScanReport& total) {
    bad += total.bad_values;
    shorter += total.short_rows;
    longer += total.long_rows;
  };
  for (const auto& r : reports_) {
    const ScanReport total = r->total();
    count(total);
    result.ends_inside_if_outside = total.ends_inside_if_outside;
    result.ends_inside_if_inside = total.ends_inside_if_inside;
  }
  for (const auto& r : piece_reports_) count(r->total());
  if (bad > 0) result.payload["bad_values"] = bad;
  if (shorter > 0) result.payload["short_rows"] = shorter;
  if (longer > 0) result.payload["long_rows"] = longer;
}

bool TaskEnv::dispute(const Error& error) {
  if (!unconfirmed_start_ || error.code != Code::kUserData) return false;
  finish_scan();
  output.files.clear();
  output.result.disputed = error;
  return true;
}

Status TaskEnv::temp_table(const std::string& name, const std::string& select) {
  POLYSOME_TRY(check_cancelled());
  temp_tables_.push_back(name);
  return session().run(
      fmt::format("CREATE OR REPLACE TEMP TABLE {} AS {}", sql_identifier(name), select));
}

Status TaskEnv::temp_rows(const std::string& name, std::shared_ptr<RowSource> rows) {
  POLYSOME_TRY(register_row_source(session()));
  const std::uint64_t handle = session().hold(std::move(rows));
  const Status made = temp_table(name, fmt::format("SELECT * FROM ps_rows({}::UBIGINT)", handle));
  session().release(handle);
  return made;
}

Status TaskEnv::drop_table(const std::string& name) {
  std::erase(temp_tables_, name);
  return session().run("DROP TABLE IF EXISTS " + sql_identifier(name));
}

Result<std::uint64_t> TaskEnv::write_parquet(const std::string& select, const std::string& role) {
  POLYSOME_ASSIGN(const std::uint64_t rows, copy_parquet(select, path_of(role)));
  note_file(role, rows);
  return rows;
}

Result<std::uint64_t> TaskEnv::copy_parquet(const std::string& select, const std::string& path) {
  POLYSOME_TRY(check_cancelled());
  // A writer holds a row group: one that is short of memory makes them smaller.
  std::string group;
  const std::uint32_t most = spec.split > 1 ? std::max(2048U, 122'880U / spec.split) : 122'880U;
  if (row_group > 0 || spec.split > 1)
    group = fmt::format(", ROW_GROUP_SIZE {}", row_group > 0 ? std::min(row_group, most) : most);
  POLYSOME_ASSIGN(const std::int64_t rows,
                  session().integer(fmt::format("COPY ({}) TO {} (FORMAT parquet{})", select,
                                                sql_text(path), group)));
  return static_cast<std::uint64_t>(rows);
}

Result<std::string> TaskEnv::scratch_parquet(const std::string& select) {
  // A name that never comes back: DuckDB keeps what it read of a file under the file's name.
  std::string path = fmt::format("{}/{}.{}.{}.piece{}.parquet", context.scratch, spec.stage_name,
                                 spec.task.index, spec.attempt.text(), scratch_files_.size());
  scratch_files_.push_back(path);
  POLYSOME_TRY(copy_parquet(select, path));
  return path;
}

Result<std::string> TaskEnv::scratch_rows(std::shared_ptr<RowSource> rows,
                                          const std::string& select) {
  POLYSOME_TRY(register_row_source(session()));
  const std::uint64_t handle = session().hold(std::move(rows));
  auto path =
      scratch_parquet(fmt::format("SELECT {} FROM ps_rows({}::UBIGINT) AS rows", select, handle));
  session().release(handle);
  return path;
}

std::string TaskEnv::path_of(const std::string& role) const {
  return output_path(spec, role).string();
}

void TaskEnv::note_file(const std::string& role, std::uint64_t rows, std::string hash) {
  output.files.push_back(output_file(spec, role, rows));
  output.files.back().xxhash = std::move(hash);
  output.result.bytes_out += output.files.back().bytes;
}

bool TaskEnv::cancelled() const {
  return context.cancelled != nullptr && context.cancelled->load(std::memory_order_relaxed);
}

Status TaskEnv::check_cancelled() const {
  if (cancelled()) return fail(Code::kCancelled, "the task was cancelled");
  return {};
}

std::string read_parquet_sql(const std::vector<std::string>& paths) {
  std::string list;
  for (const auto& p : paths) {
    if (!list.empty()) list += ", ";
    list += sql_text(p);
  }
  return "read_parquet([" + list + "])";
}

std::string read_parquet_sql(const std::vector<StageFile>& files) {
  std::vector<std::string> paths;
  for (const auto& f : files) paths.push_back(f.path);
  return read_parquet_sql(paths);
}

}  // namespace polysome
