#include "operations/result_text.h"

#include <fcntl.h>
#include <fmt/format.h>

#include <algorithm>
#include <cerrno>
#include <optional>

#include "base/files.h"
#include "base/unique_fd.h"
#include "kernels/arrow_library.h"
#include "operations/cells.h"
#include "operations/row_text.h"
#include "operations/task_env.h"

namespace polysome {
namespace {

constexpr std::size_t kBlockBytes = 1 << 18;
// From here on DuckDB's chunks of 2048 rows are too large, and binding takes too long.
constexpr std::uint64_t kWide = 2000;
// Of a wide table: what is read at once, and what a cell takes meanwhile.
constexpr std::uint64_t kMostCells = 8'000'000;
constexpr std::uint64_t kBytesPerCell = 10;

// The file that the text goes to, in blocks.
class TextFile {
 public:
  static Result<TextFile> create(std::string path) {
    const int fd = ::open(path.c_str(), O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0600);
    if (fd < 0) return fail(errno_error("cannot create", path, errno));
    return TextFile(std::move(path), fd);
  }
  // Takes what is in the buffer once it is a block.
  Status take(std::string* text) { return text->size() < kBlockBytes ? Status{} : flush(text); }
  Status flush(std::string* text) {
    POLYSOME_TRY(write_all(fd_.get(), *text, path_));
    bytes_ += text->size();
    text->clear();
    return {};
  }
  std::uint64_t bytes() const { return bytes_; }

 private:
  TextFile(std::string path, int fd) : path_(std::move(path)), fd_(fd) {}
  std::string path_;
  UniqueFd fd_;
  std::uint64_t bytes_ = 0;
};

struct ResultFile {
  std::string path;
  std::uint64_t rows = 0;
};

// Where the writing stands.
struct Writing {
  RowText* rows;
  TextFile* file;
  std::uint64_t max_bytes;
  std::uint64_t written = 0;  // rows
  const std::atomic<bool>* cancelled;

  bool full() const { return file->bytes() + rows->buffer().size() >= max_bytes; }
  Status end_row() {
    rows->end_row();
    ++written;
    return file->take(&rows->buffer());
  }
  Status check_cancelled() const {
    if (cancelled != nullptr && cancelled->load(std::memory_order_relaxed))
      return fail(Code::kCancelled, "the question was cancelled");
    return {};
  }
};

// ---- through DuckDB ----

void add_cell(duckdb_vector vector, Fetch fetch, idx_t row, RowText* out) {
  auto* validity = duckdb_vector_get_validity(vector);
  if (validity != nullptr && !duckdb_validity_row_is_valid(validity, row)) return out->missing();
  void* data = duckdb_vector_get_data(vector);
  switch (fetch) {
    case Fetch::kBoolean: return out->boolean(static_cast<bool*>(data)[row]);
    case Fetch::kInteger: return out->whole(static_cast<std::int64_t*>(data)[row]);
    case Fetch::kDouble: return out->real(static_cast<double*>(data)[row]);
    default: break;
  }
  duckdb_string_t& raw = static_cast<duckdb_string_t*>(data)[row];
  const std::string_view text(duckdb_string_t_data(&raw), duckdb_string_t_length(raw));
  if (fetch == Fetch::kBigNumber) return out->whole(text);
  if (fetch != Fetch::kTimestamp || text.size() <= 10 || text[10] != ' ') return out->text(text);
  std::string with_t(text);
  with_t[10] = 'T';
  out->text(with_t);
}

// The rows of one file from `first` on.
Status write_rows(Session& session, const std::vector<ResultColumn>& columns,
                  const ResultFile& file, std::uint64_t first, Writing* to) {
  // A filter on the row number skips row groups; an OFFSET would read them. One thread reads, so
  // the rows come in the file's order.
  const std::string from =
      first == 0
          ? read_parquet_sql(std::vector{file.path})
          : fmt::format("read_parquet({}, file_row_number = true) WHERE file_row_number >= {}",
                        sql_text(file.path), first);
  POLYSOME_ASSIGN(RowStream stream,
                  session.stream(fmt::format("SELECT {} FROM {}", fetch_list(columns), from)));
  std::vector<Fetch> fetches;
  for (const auto& c : columns) fetches.push_back(c.fetch());
  std::vector<duckdb_vector> vectors(columns.size());
  while (!to->full()) {
    POLYSOME_TRY(to->check_cancelled());
    POLYSOME_ASSIGN(duckdb_data_chunk chunk, stream.fetch());
    if (chunk == nullptr) break;
    for (std::size_t c = 0; c < columns.size(); ++c)
      vectors[c] = duckdb_data_chunk_get_vector(chunk, c);
    const idx_t n = duckdb_data_chunk_get_size(chunk);
    for (idx_t row = 0; row < n && !to->full(); ++row) {
      for (std::size_t c = 0; c < columns.size(); ++c)
        add_cell(vectors[c], fetches[c], row, to->rows);
      POLYSOME_TRY(to->end_row());
    }
  }
  return {};
}

// ---- wide tables, a column at a time ----

// Rows [first, first + n) of all columns, then row by row as text.
class WideBlock {
 public:
  WideBlock(ParquetReader& reader, std::uint64_t first, std::uint64_t n)
      : reader_(reader), first_(first), n_(n), width_(reader.columns().size()) {}

  Status read(const Writing& to) {
    cells_.resize(n_ * width_);
    there_.resize(n_ * width_);
    for (std::size_t c = 0; c < width_; ++c) {
      if (c % 512 == 0) POLYSOME_TRY(to.check_cancelled());
      const auto& column = reader_.columns()[c];
      if (column.real) {
        POLYSOME_ASSIGN(const auto values, reader_.read_reals(c, first_, n_));
        place(c, values, [](double v) { return std::bit_cast<std::uint64_t>(v); });
      } else if (column.whole) {
        POLYSOME_ASSIGN(const auto values, reader_.read_wholes(c, first_, n_));
        place(c, values, [](std::int64_t v) { return static_cast<std::uint64_t>(v); });
      } else {
        POLYSOME_ASSIGN(const auto values, reader_.read_texts(c, first_, n_));
        place(c, values, [this](std::string_view v) {
          texts_.emplace_back(v);
          return static_cast<std::uint64_t>(texts_.size() - 1);
        });
      }
    }
    return {};
  }

  Status write(Writing* to) const {
    const auto& columns = reader_.columns();
    for (std::uint64_t r = 0; r < n_; ++r) {
      const std::uint64_t* cell = cells_.data() + r * width_;
      const std::uint8_t* there = there_.data() + r * width_;
      for (std::size_t c = 0; c < width_; ++c) {
        if (there[c] == 0)
          to->rows->missing();
        else if (columns[c].real)
          to->rows->real(std::bit_cast<double>(cell[c]));
        else if (columns[c].whole)
          to->rows->whole(static_cast<std::int64_t>(cell[c]));
        else
          to->rows->text(texts_[cell[c]]);
      }
      POLYSOME_TRY(to->end_row());
    }
    return {};
  }

 private:
  // Puts what was read of column `c` to its rows.
  template <class Values, class Bits>
  void place(std::size_t c, const Values& values, const Bits& bits) {
    const auto rows = reader_.rows_there();
    for (std::size_t i = 0; i < values.size(); ++i) {
      const std::size_t at = (rows.empty() ? i : rows[i]) * width_ + c;
      cells_[at] = bits(values[i]);
      there_[at] = 1;
    }
  }

  ParquetReader& reader_;
  std::uint64_t first_, n_;
  std::size_t width_;
  std::vector<std::uint64_t> cells_;  // row after row: bits of a number, or place of a text
  std::vector<std::uint8_t> there_;
  std::vector<std::string> texts_;
};

// False: some column can be read by DuckDB only; nothing was written then.
bool can_read(const ParquetReader& reader) {
  return std::ranges::all_of(reader.columns(),
                             [](const auto& c) { return c.real || c.whole || c.text; });
}

std::uint64_t rows_at_once(std::uint64_t columns, std::uint64_t memory) {
  std::uint64_t cells = kMostCells;
  if (memory > 0) cells = std::min(cells, memory / 4 / kBytesPerCell);
  return std::max<std::uint64_t>(1, cells / columns);
}

Status write_wide_rows(ParquetReader& reader, std::uint64_t first, std::uint64_t end,
                       std::uint64_t memory, Writing* to) {
  const std::uint64_t most = rows_at_once(reader.columns().size(), memory);
  while (first < end && !to->full()) {
    // What has been read is written, also past `max_bytes`: to read it again would take longer.
    WideBlock block(reader, first, std::min(most, end - first));
    POLYSOME_TRY(block.read(*to));
    POLYSOME_TRY(block.write(to));
    first += std::min(most, end - first);
  }
  return {};
}

// ---- ----

Result<std::vector<ResultFile>> files_of(const Json& request) {
  POLYSOME_ASSIGN(const auto paths, paths_of(request));
  std::vector<ResultFile> out;
  for (std::size_t i = 0; i < paths.size(); ++i)
    out.push_back({paths[i], request["files"][i].at("n_rows").get<std::uint64_t>()});
  return out;
}

// The readers of all files of a wide result; none when DuckDB has to read it.
Result<std::unique_ptr<ParquetReader>> open_wide(const ResultFile& file) {
  POLYSOME_ASSIGN(const ArrowLibrary* library, arrow_library());
  POLYSOME_ASSIGN(auto reader, library->open_parquet(file.path));
  if (!can_read(*reader)) reader.reset();
  return reader;
}

struct Table {
  std::vector<ResultFile> files;
  std::unique_ptr<ParquetReader> wide;  // of files[opened]
  AnswerSession session;
  std::vector<ResultColumn> columns;
};

// Opens the file that row `offset` lies in (the last one, when it lies behind all).
Result<Table> open_table(const Json& request, const TaskContext& context, const KeptSession& kept) {
  Table out;
  POLYSOME_ASSIGN(out.files, files_of(request));
  if (request.value("n_columns", std::uint64_t{0}) >= kWide) {
    POLYSOME_ASSIGN(out.wide, open_wide(out.files.front()));
    if (out.wide) {
      for (const auto& c : out.wide->columns()) out.columns.push_back({c.name, c.type});
      return out;
    }
  }
  std::vector<std::string> paths;
  for (const auto& f : out.files) paths.push_back(f.path);
  POLYSOME_ASSIGN(out.session, session_for(paths, context, kept));
  POLYSOME_ASSIGN(out.columns,
                  columns_of(*out.session.use,
                             "SELECT * FROM " + read_parquet_sql(std::vector{paths.front()})));
  return out;
}

}  // namespace

Result<Json> result_text(const Json& request, const TaskContext& context, const KeptSession& kept) {
  const auto format = request.value("format", std::string());
  if (format != "csv" && format != "ndjson")
    return fail(Code::kInvalid, fmt::format("rows are not given as {}", format), "csv or ndjson");
  const auto target = request.value("path", std::string());
  if (target.empty()) return fail(Code::kInvalid, "the request names no path to write to");
  POLYSOME_ASSIGN(Table table, open_table(request, context, kept));
  std::vector<std::string> names;
  for (const auto& c : table.columns) names.push_back(c.name);
  RowText rows(format == "csv" ? RowText::Format::kCsv : RowText::Format::kNdjson, names);
  POLYSOME_ASSIGN(TextFile file, TextFile::create(target));
  const auto offset = request.value("offset", std::uint64_t{0});
  Writing to{&rows, &file, request.at("max_bytes").get<std::uint64_t>(), 0, context.cancelled};
  if (offset == 0) rows.header();
  std::uint64_t before = 0;  // rows of the files passed
  for (std::size_t i = 0; i < table.files.size() && !to.full(); ++i) {
    const ResultFile& f = table.files[i];
    const std::uint64_t next = offset + to.written;
    if (next < before + f.rows) {
      if (table.wide) {
        if (i > 0) {
          POLYSOME_ASSIGN(table.wide, open_wide(f));
          if (!table.wide)
            return fail(Code::kInternal, f.path + " has other types than the files before it");
        }
        POLYSOME_TRY(write_wide_rows(*table.wide, next - before, f.rows, context.memory, &to));
      } else {
        POLYSOME_TRY(write_rows(*table.session.use, table.columns, f, next - before, &to));
      }
    }
    before += f.rows;
  }
  POLYSOME_TRY(file.flush(&rows.buffer()));
  std::uint64_t all = 0;
  for (const auto& f : table.files) all += f.rows;
  const std::uint64_t end = offset + to.written;
  return Json{{"bytes", file.bytes()},
              {"rows", to.written},
              {"next_offset", end < all && to.written > 0 ? Json(end) : Json()}};
}

}  // namespace polysome
