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
  GroupBuffer(const FlatColumns& columns, std::size_t most)
      : columns_(columns),
        most_(most),
        labels_(columns.labels.size()),
        values_(most * columns.values.size()) {}

  std::size_t room() const { return most_ - rows_; }
  void add(Tile* tile) {
    for (std::size_t r = 0; r < tile->rows; ++r)
      for (std::size_t l = 0; l < labels_.size(); ++l)
        labels_[l].push_back(std::move(tile->labels[r * labels_.size() + l]));
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
  std::size_t rows_ = 0;
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

void add_preview(const Tile& tile, const FlatColumns& columns, Json* rows) {
  for (std::size_t r = 0; r < tile.rows && rows->size() < kFirstRows; ++r) {
    Json row = Json::object();
    for (std::size_t i = 0; i < std::min(columns.all.size(), kFirstColumns); ++i)
      row[columns.all[i].name] = preview_cell(tile, columns, r, columns.all[i]);
    rows->push_back(std::move(row));
  }
}

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
  POLYSOME_ASSIGN(out.preview, parse_json(in.left()));
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

// Rows of the row groups with which a task over `bytes` needs least: what it holds of groups that
// are written is as much as the one that it fills.
std::uint64_t least_group(std::uint64_t bytes, std::size_t columns) {
  const auto rows = static_cast<double>(bytes) / static_cast<double>(columns * kLetters);
  return std::max<std::uint64_t>(
      kLeastRows, static_cast<std::uint64_t>(
                      std::sqrt(rows * static_cast<double>(sizeof(ColumnChunk)) / sizeof(double))));
}

// Rows of a row group: as many as the task has memory for, and not more than a reader should hold.
std::size_t group_rows(const TaskEnv& env, const FlatColumns& columns, std::uint64_t bytes) {
  std::vector<ResultColumn> types;
  for (const auto& c : columns.all) types.push_back({c.name, c.is_label() ? "VARCHAR" : "DOUBLE"});
  const std::uint64_t most = row_group_of(types);
  if (env.context.memory == 0) return most;
  const std::uint64_t taken = fixed_memory(env.plan().inputs.front().source);
  const std::uint64_t room =
      env.context.memory > taken ? (env.context.memory - taken) / 2 / env.spec.split : 0;
  return std::clamp<std::uint64_t>(room / (columns.all.size() * sizeof(double)),
                                   std::min(most, least_group(bytes, columns.all.size())), most);
}

}  // namespace

bool is_flat(const TableSource& source, const std::vector<std::uint32_t>& columns) {
  return columns.size() >= kWorthIt && is_delimited(source.format) && reads_alike(source) &&
         std::ranges::all_of(columns, [&](std::uint32_t c) {
           const std::string& type = source.columns[c].type;
           return type == "int64" || type == "double" || type == "string";
         });
}

std::uint64_t flat_grant(const TableSource& source, const std::vector<std::uint32_t>& columns,
                         std::uint64_t bytes) {
  return fixed_memory(source) +
         3 * least_group(bytes, columns.size()) * columns.size() * sizeof(double);
}

std::uint64_t flat_result_grant(const TableSource& source,
                                const std::vector<std::uint32_t>& columns, std::uint32_t tasks) {
  // A group or two of each task: its index, and its place in the footer.
  constexpr std::uint64_t kChunkMemory = 2 * (sizeof(ColumnChunk) + kFooterBytes);
  return kBaseMemory + source.columns.size() * kColumnMemory +
         std::uint64_t{tasks} * columns.size() * kChunkMemory;
}

Result<std::uint64_t> write_flat_part(TaskEnv& env, const std::vector<std::uint32_t>& chosen,
                                      const std::string& part, const FileFormat* text) {
  const FlatColumns columns(env.plan().inputs.front().source, chosen);
  POLYSOME_ASSIGN(const auto scan, env.open_text());
  if (scan == nullptr) return fail(Code::kInternal, "a flat table is not delimited text");
  MatrixReader reader(scan, columns.labels, columns.values);
  POLYSOME_ASSIGN(auto file, RawFile::create(env.path_of(part), true));
  std::unique_ptr<ByteSink> lines_to;
  std::optional<FlatLines> lines;
  const std::string text_role = text != nullptr ? "part" + text->extension() : "";
  if (text != nullptr) {
    // Parts of a JSON array are joined before they are compressed.
    POLYSOME_ASSIGN(lines_to,
                    ByteSink::create(env.path_of(text_role),
                                     text->format == "json" ? "none" : text->compression));
    lines.emplace(columns, *text);
  }
  std::uint64_t bytes = 0;
  for (const auto& piece : scan->pieces) bytes += piece.limit - piece.begin;
  GroupBuffer group(columns, group_rows(env, columns, bytes));
  ChunkEncoder encoder;
  std::vector<FlatGroup> groups;
  Json preview = Json::array();
  std::uint64_t rows = 0;
  Tile tile;
  const std::size_t width = std::max<std::size_t>(1, columns.values.size());
  const std::size_t tile_rows =
      std::clamp<std::size_t>(kTileBytes / (width * sizeof(double)), 1, kMostTileRows);
  tile.values.resize(tile_rows * width);
  POLYSOME_TRY(file->write(kParquetMagic));
  for (bool more = true; more;) {
    const std::size_t most = std::min(tile_rows, group.room());
    tile.labels.clear();
    tile.beyond.clear();
    const auto n = reader.read(most, tile.values.data(), &tile.labels, &tile.beyond);
    if (!n) {
      env.note_scan(scan);
      return std::unexpected(n.error());
    }
    tile.rows = *n;
    rows += tile.rows;
    more = tile.rows == most;
    add_preview(tile, columns, &preview);
    if (lines) POLYSOME_TRY(lines->write(tile, lines_to.get()));
    if (lines && !env.job.keep_table) continue;  // the text is all that is wanted
    group.add(&tile);
    if (group.empty() || (more && group.room() > 0)) continue;
    POLYSOME_ASSIGN(FlatGroup encoded, group.encode(&encoder, file.get()));
    groups.push_back(std::move(encoded));
  }
  env.note_scan(scan);
  ParquetFooter footer(columns.in_parquet(), rows_of(groups), groups.size());
  std::uint64_t at = kParquetMagic.size();
  for (const auto& g : groups) {
    footer.add_group(g.rows, g.chunks, &at);
    POLYSOME_TRY(file->write(footer.take()));
  }
  footer.end();
  POLYSOME_TRY(file->write(footer.take()));
  env.note_file(part, rows, file->hash());
  POLYSOME_TRY(write_index(env.path_of(kFlatIndex), groups, preview));
  env.note_file(kFlatIndex, rows);
  if (lines) {
    POLYSOME_TRY(lines_to->finish());
    env.note_file(text_role, rows);
  }
  return rows;
}

Status describe_flat_parts(TaskEnv& env, const std::vector<std::uint32_t>& chosen,
                           const std::vector<StageFile>& indexes, TableResult* result) {
  auto columns = std::make_shared<const FlatColumns>(env.plan().inputs.front().source, chosen);
  auto all = std::make_shared<std::vector<FlatIndex>>();
  if (indexes.size() != result->files.size())
    return fail(Code::kIo, "output lost: parts without their index");
  result->known.emplace();
  Json& preview = result->known->preview = Json::array();
  for (const auto& c : chosen) {
    const SourceColumn& column = env.plan().inputs.front().source.columns[c];
    result->known->columns.push_back({column.name, sql_type(column.type)});
  }
  std::size_t bytes = 0;
  for (const auto& file : indexes) {
    POLYSOME_ASSIGN(FlatIndex index, read_index(file.path, chosen.size()));
    for (auto& row : index.preview) {
      bytes += dump(row).size();
      if (preview.size() == kFirstRows || bytes > kFirstBytes) break;
      preview.push_back(std::move(row));
    }
    index.preview = Json();
    all->push_back(std::move(index));
  }
  result->join = [columns, all](const std::vector<StageFile>& files, const std::string& path) {
    return join_flat_parts(*columns, files, *all, path);
  };
  return {};
}

}  // namespace polysome
