#include "operations/flat_table.h"

#include <algorithm>
#include <cmath>
#include <memory>
#include <optional>
#include <span>
#include <utility>

#include "base/files.h"
#include "data/raw_file.h"
#include "operations/flat_lines.h"
#include "operations/transposed_text.h"

namespace polysome {
namespace {

// DuckDB binds so many columns in a tenth of a second.
constexpr std::size_t kWorthIt = 1000;
constexpr std::uint64_t kBaseMemory = 40'000'000;  // the program, the plan
constexpr std::uint64_t kColumnMemory = 1500;
constexpr std::uint64_t kFooterBytes = 150;      // of a chunk, beside its column's name
constexpr std::uint64_t kLetters = 4;            // of a value, at least, with its separator
constexpr std::uint64_t kLeastRows = 16;         // in a row group
constexpr std::uint64_t kTileBytes = 4'000'000;  // of rows that are parsed at once
constexpr std::size_t kMostTileRows = 64;
constexpr std::uint64_t kTextBytes = sizeof(MatrixReader::Label);  // beside its letters
constexpr std::size_t kFlushBytes = 1'000'000;
constexpr std::size_t kFirstRows = 20;
constexpr std::size_t kFirstColumns = 50;
constexpr std::size_t kFirstBytes = 16'000;

const char* sql_type(const std::string& type) {
  if (type == "int64") return "BIGINT";
  return type == "double" ? "DOUBLE" : "VARCHAR";
}

// Row groups of a part: rows, and of each its chunks, one behind another in the file.
struct FlatGroup {
  std::uint64_t rows = 0;
  std::vector<ColumnChunk> chunks;
};

std::uint64_t rows_of(const std::vector<FlatGroup>& groups) {
  std::uint64_t rows = 0;
  for (const auto& g : groups) rows += g.rows;
  return rows;
}

// One row group, column after column.
class GroupBuffer {
 public:
  // Of at most so many rows, and about so many bytes of texts.
  GroupBuffer(const FlatColumns& columns, std::size_t most, std::uint64_t text_bytes)
      : columns_(columns),
        most_(most),
        most_text_(text_bytes),
        labels_(columns.labels.size()),
        values_(most * columns.values.size()) {}

  std::size_t room() const { return text_ < most_text_ ? most_ - rows_ : 0; }
  void add(Tile* tile) {
    for (std::size_t r = 0; r < tile->rows; ++r)
      for (std::size_t l = 0; l < labels_.size(); ++l) {
        auto& label = tile->labels[r * labels_.size() + l];
        if (label) text_ += label->size();
        labels_[l].push_back(std::move(label));
      }
    const std::size_t width = columns_.values.size();
    // A line of the cache from each row at a time.
    constexpr std::size_t kLine = 8;
    for (std::size_t first = 0; first < width; first += kLine) {
      const std::size_t n = std::min(kLine, width - first);
      for (std::size_t r = 0; r < tile->rows; ++r)
        for (std::size_t i = 0; i < n; ++i)
          values_[(first + i) * most_ + rows_ + r] = tile->values[r * width + first + i];
    }
    for (const auto& b : tile->beyond) beyond_.push_back({rows_ + b.row, b.value, b.number});
    rows_ += tile->rows;
  }

  Result<FlatGroup> encode(ChunkEncoder* encoder, RawFile* file) {
    FlatGroup out;
    out.rows = rows_;
    out.chunks.reserve(columns_.all.size());
    std::ranges::sort(beyond_, {}, &MatrixReader::Beyond::value);
    std::string bytes;
    for (const auto& c : columns_.all) {
      POLYSOME_ASSIGN(const ColumnChunk chunk, encode_column(c, encoder, &bytes));
      out.chunks.push_back(chunk);
      if (bytes.size() < kFlushBytes) continue;
      POLYSOME_TRY(file->write(bytes));
      bytes.clear();
    }
    POLYSOME_TRY(file->write(bytes));
    rows_ = 0;
    text_ = 0;
    for (auto& labels : labels_) labels.clear();
    beyond_.clear();
    return out;
  }
  bool empty() const { return rows_ == 0; }

 private:
  Result<ColumnChunk> encode_column(const FlatColumn& c, ChunkEncoder* encoder,
                                    std::string* bytes) const {
    if (c.is_label()) return encoder->texts(labels_[c.place], bytes);
    const auto values = std::span(values_).subspan(c.place * most_, rows_);
    const auto beyond =
        std::ranges::equal_range(beyond_, c.place, {}, &MatrixReader::Beyond::value);
    if (beyond.empty())
      return encoder->numbers(values, c.type == ParquetFooter::Type::kInt64, bytes);
    std::vector<std::optional<std::int64_t>> exact(rows_);
    for (std::size_t r = 0; r < rows_; ++r)
      if (!std::isnan(values[r]) && std::abs(values[r]) <= 0x1p53)
        exact[r] = static_cast<std::int64_t>(values[r]);
    for (const auto& b : beyond) exact[b.row] = b.number;
    return encoder->wholes(exact, bytes);
  }

  const FlatColumns& columns_;
  std::size_t most_;
  std::uint64_t most_text_;
  std::size_t rows_ = 0;
  std::uint64_t text_ = 0;  // letters
  std::vector<std::vector<MatrixReader::Label>> labels_;
  std::vector<double> values_;
  std::vector<MatrixReader::Beyond> beyond_;
};

Json preview_cell(const Tile& tile, const FlatColumns& columns, std::size_t row,
                  const FlatColumn& c) {
  if (c.is_label()) {
    const auto& text = tile.labels[row * columns.labels.size() + c.place];
    return text ? Json(*text) : Json();
  }
  if (const auto beyond = tile.beyond_at(row, c.place)) return std::to_string(*beyond);
  return number_json(tile.values[row * columns.values.size() + c.place],
                     c.type == ParquetFooter::Type::kInt64);
}

// The first rows, until there are enough or they get too long.
class Preview {
 public:
  void add(const Tile& tile, const FlatColumns& columns) {
    for (std::size_t r = 0; r < tile.rows; ++r) {
      if (full_) return;
      Json row = Json::object();
      for (std::size_t i = 0; i < std::min(columns.all.size(), kFirstColumns); ++i)
        row[columns.all[i].name] = preview_cell(tile, columns, r, columns.all[i]);
      add(std::move(row));
    }
  }
  void add(Json row) {
    bytes_ += dump(row).size();
    full_ = full_ || rows_.size() == kFirstRows || bytes_ > kFirstBytes;
    if (!full_) rows_.push_back(std::move(row));
  }
  bool full() const { return full_; }
  Json take() { return std::move(rows_); }

 private:
  Json rows_ = Json::array();
  std::size_t bytes_ = 0;
  bool full_ = false;
};

Status write_index(const std::string& path, const std::vector<FlatGroup>& groups,
                   const Json& preview) {
  std::string out;
  put_raw(&out, static_cast<std::uint64_t>(groups.size()));
  for (const auto& group : groups) {
    put_raw(&out, group.rows);
    for (const auto& chunk : group.chunks) put_raw(&out, chunk);
  }
  out += dump(preview);
  return write_file(path, out, false);
}

struct FlatIndex {
  std::vector<FlatGroup> groups;
  Json preview;
};

Result<FlatIndex> read_index(const std::string& path, std::size_t columns) {
  POLYSOME_ASSIGN(const std::string text, read_file(path));
  const auto damaged = [&] { return fail(Code::kIo, "output lost: " + path + " is damaged"); };
  RawTaker in(text);
  FlatIndex out;
  std::uint64_t groups = 0;
  if (!in.take(&groups)) return damaged();
  for (std::uint64_t g = 0; g < groups; ++g) {
    FlatGroup group;
    if (!in.take(&group.rows) || in.left().size() / sizeof(ColumnChunk) < columns) return damaged();
    group.chunks.resize(columns);
    for (auto& chunk : group.chunks)
      if (!in.take(&chunk)) return damaged();
    out.groups.push_back(std::move(group));
  }
  POLYSOME_ASSIGN(out.preview, parse_trusted_json(in.left()));
  return out;
}

Status join_flat_parts(const FlatColumns& columns, const std::vector<StageFile>& files,
                       const std::vector<FlatIndex>& indexes, const std::string& path) {
  JoinedFile out;
  out.head = kParquetMagic;
  std::uint64_t rows = 0;
  std::size_t groups = 0;
  for (const auto& index : indexes) {
    rows += rows_of(index.groups);
    groups += index.groups.size();
  }
  out.tail.reserve((groups + 1) * columns.all.size() * kFooterBytes);
  ParquetFooter footer(columns.in_parquet(), rows, groups);
  std::uint64_t at = out.head.size();
  for (std::size_t i = 0; i < files.size(); ++i) {
    const std::uint64_t begin = at;
    for (const auto& group : indexes[i].groups) {
      footer.add_group(group.rows, group.chunks, &at);
      out.tail += footer.take();
    }
    out.parts.push_back({files[i].path, kParquetMagic.size(), at - begin});
  }
  footer.end();
  out.tail += footer.take();
  POLYSOME_TRY(out.write(path, false));
  return {};
}

// Of a task, whatever its row groups are.
std::uint64_t fixed_memory(const TableSource& source) {
  return kBaseMemory + source.columns.size() * kColumnMemory + kTileBytes;
}

std::uint64_t row_bytes(const FlatColumns& columns) {
  return columns.values.size() * sizeof(double) + columns.labels.size() * kTextBytes;
}

// Rows of the row groups with which a task over `bytes` needs least: what it holds of groups that
// are written is as much as the one that it fills.
std::uint64_t least_group(std::uint64_t bytes, const FlatColumns& columns) {
  const auto n = static_cast<double>(columns.all.size());
  const double rows = static_cast<double>(bytes) / (n * kLetters);
  const double held = n * sizeof(ColumnChunk) / static_cast<double>(row_bytes(columns));
  return std::max(kLeastRows, static_cast<std::uint64_t>(std::sqrt(rows * held)));
}

// Rows of a row group of a task over `bytes`: as many as there is memory for, and not more than a
// reader should hold.
std::uint64_t group_rows(const TableSource& source, const FlatColumns& columns, std::uint64_t bytes,
                         std::uint64_t memory, std::uint32_t split) {
  std::vector<ResultColumn> types;
  for (const auto& c : columns.all) types.push_back({c.name, c.is_label() ? "VARCHAR" : "DOUBLE"});
  const std::uint64_t most = row_group_of(types);
  if (memory == 0) return most;
  const std::uint64_t taken = fixed_memory(source);
  const std::uint64_t room = memory > taken ? (memory - taken) / 2 / split : 0;
  return std::clamp<std::uint64_t>(room / row_bytes(columns),
                                   std::min(most, least_group(bytes, columns)), most);
}

// The files of a task.
class FlatPart {
 public:
  FlatPart(TaskEnv& env, const FlatColumns& columns) : env_(env), columns_(columns) {}

  Status open(const FlatOutput& output) {
    role_ = output.part;
    POLYSOME_ASSIGN(file_, RawFile::create(env_.path_of(role_), true));
    POLYSOME_TRY(file_->write(kParquetMagic));
    if (output.text == nullptr) return {};
    text_role_ = "part" + output.text->extension();
    // Parts of a JSON array are joined before they are compressed.
    const bool plain = output.text->format == "json";
    POLYSOME_ASSIGN(lines_to_, ByteSink::create(env_.path_of(text_role_),
                                                plain ? "none" : output.text->compression));
    lines_.emplace(columns_, *output.text);
    return {};
  }
  // Rows go to the table too, in row groups of at most so many.
  void hold(std::uint64_t rows) {
    group_.emplace(columns_, rows, std::max(kTileBytes, rows * row_bytes(columns_)));
  }
  std::size_t room() const { return group_ ? group_->room() : SIZE_MAX; }
  Status add(Tile* tile, bool last) {
    rows_ += tile->rows;
    preview_.add(*tile, columns_);
    if (lines_) POLYSOME_TRY(lines_->write(*tile, lines_to_.get()));
    if (!group_) return {};
    group_->add(tile);
    if (group_->empty() || (!last && group_->room() > 0)) return {};
    POLYSOME_ASSIGN(FlatGroup encoded, group_->encode(&encoder_, file_.get()));
    groups_.push_back(std::move(encoded));
    return {};
  }
  // Notes the files; answers the rows.
  Result<std::uint64_t> finish() {
    ParquetFooter footer(columns_.in_parquet(), rows_of(groups_), groups_.size());
    std::uint64_t at = kParquetMagic.size();
    for (const auto& g : groups_) {
      footer.add_group(g.rows, g.chunks, &at);
      POLYSOME_TRY(file_->write(footer.take()));
    }
    footer.end();
    POLYSOME_TRY(file_->write(footer.take()));
    env_.note_file(role_, rows_, file_->hash());
    POLYSOME_TRY(write_index(env_.path_of(kFlatIndex), groups_, preview_.take()));
    env_.note_file(kFlatIndex, rows_);
    if (!lines_) return rows_;
    POLYSOME_TRY(lines_to_->finish());
    env_.note_file(text_role_, rows_);
    return rows_;
  }

 private:
  TaskEnv& env_;
  const FlatColumns& columns_;
  std::string role_, text_role_;
  std::unique_ptr<RawFile> file_;
  std::unique_ptr<ByteSink> lines_to_;
  std::optional<FlatLines> lines_;
  std::optional<GroupBuffer> group_;
  ChunkEncoder encoder_;
  std::vector<FlatGroup> groups_;
  Preview preview_;
  std::uint64_t rows_ = 0;
};

}  // namespace

bool is_flat(const TableSource& source, const std::vector<std::uint32_t>& columns) {
  return columns.size() >= kWorthIt && is_delimited(source.format) && reads_alike(source) &&
         std::ranges::all_of(columns, [&](std::uint32_t c) {
           const std::string& type = source.columns[c].type;
           return type == "int64" || type == "double" || type == "string";
         });
}

std::uint64_t flat_grant(const TableSource& source, const std::vector<std::uint32_t>& chosen,
                         std::uint64_t bytes) {
  const FlatColumns columns(source, chosen);
  return fixed_memory(source) + 3 * least_group(bytes, columns) * row_bytes(columns);
}

std::uint64_t flat_result_grant(const TableSource& source, const std::vector<std::uint32_t>& chosen,
                                const FlatTasks& tasks) {
  const FlatColumns columns(source, chosen);
  const std::uint64_t bytes = tasks.bytes / tasks.n;
  const std::uint64_t groups = 1 + bytes / (columns.all.size() * kLetters) /
                                       group_rows(source, columns, bytes, tasks.memory, 1);
  // Of each chunk its index, and its place in the footer.
  return kBaseMemory + source.columns.size() * kColumnMemory +
         tasks.n * groups * columns.all.size() * (sizeof(ColumnChunk) + kFooterBytes);
}

Result<std::uint64_t> write_flat_part(TaskEnv& env, const std::vector<std::uint32_t>& chosen,
                                      const FlatOutput& output) {
  const TableSource& source = env.plan().inputs.front().source;
  const FlatColumns columns(source, chosen);
  POLYSOME_ASSIGN(const auto scan, env.open_text());
  if (scan == nullptr) return fail(Code::kInternal, "a flat table is not delimited text");
  if (env.plan().details.contains("row_tests") && scan->tests == nullptr)
    return fail(Code::kInternal, "the rows that are wanted cannot be told without SQL");
  MatrixReader reader(scan, columns.labels, columns.values);
  FlatPart part(env, columns);
  POLYSOME_TRY(part.open(output));

  std::uint64_t bytes = 0;
  for (const auto& piece : scan->pieces) bytes += piece.limit - piece.begin;
  if (!output.text_only)
    // A row has a separator for each field.
    part.hold(std::min(group_rows(source, columns, bytes, env.context.memory, env.spec.split),
                       bytes / scan->expected_fields + scan->pieces.size()));
  Tile tile;
  const std::size_t tile_rows =
      std::clamp<std::size_t>(kTileBytes / row_bytes(columns), 1, kMostTileRows);
  tile.values.resize(tile_rows * columns.values.size());
  for (bool more = true; more;) {
    const std::size_t most = std::min(tile_rows, part.room());
    tile.labels.clear();
    tile.beyond.clear();
    const auto n = reader.read(most, tile.values.data(), &tile.labels, &tile.beyond);
    if (!n) {
      env.note_scan(scan);
      return std::unexpected(n.error());
    }
    tile.rows = *n;
    more = tile.rows == most;
    POLYSOME_TRY(part.add(&tile, !more));
  }
  env.note_scan(scan);
  return part.finish();
}

Status describe_flat_parts(TaskEnv& env, const std::vector<std::uint32_t>& chosen,
                           const std::vector<StageFile>& indexes, TableResult* result) {
  auto columns = std::make_shared<const FlatColumns>(env.plan().inputs.front().source, chosen);
  auto all = std::make_shared<std::vector<FlatIndex>>();
  if (indexes.size() != result->files.size())
    return fail(Code::kIo, "output lost: parts without their index");
  result->known.emplace();
  result->wide = true;
  for (const auto& c : chosen) {
    const SourceColumn& column = env.plan().inputs.front().source.columns[c];
    result->known->columns.push_back({column.name, sql_type(column.type)});
  }
  Preview preview;
  for (const auto& file : indexes) {
    POLYSOME_ASSIGN(FlatIndex index, read_index(file.path, chosen.size()));
    for (auto& row : index.preview) preview.add(std::move(row));
    index.preview = Json();
    all->push_back(std::move(index));
  }
  result->known->preview = preview.take();
  result->join = [columns, all](const std::vector<StageFile>& files, const std::string& path) {
    return join_flat_parts(*columns, files, *all, path);
  };
  return {};
}

}  // namespace polysome
