#include "operations/transpose.h"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <future>
#include <system_error>

#include "base/bytes.h"
#include "data/dataset_layout.h"
#include "data/matrix_reader.h"
#include "data/pieces.h"
#include "data/text_header.h"
#include "data/text_pieces.h"
#include "data/text_source.h"
#include "operations/dataset_facts.h"
#include "operations/matrix_tiles.h"
#include "operations/table_result.h"
#include "operations/transposed_text.h"

namespace polysome {
namespace {

constexpr const char* kTilesStage = "tiles";
constexpr const char* kTextStage = "text";
constexpr const char* kTable = "table.parquet";
constexpr const char* kView = "matrix";
// Beyond this many columns neither we nor those who read the file are of use.
constexpr std::uint64_t kMostColumns = 1'000'000;
constexpr std::size_t kSqlColumns = 256;  // read at once: what DuckDB holds is by column
// What a task takes beside its matrix: the program, the plan and the list of columns.
constexpr std::uint64_t kBaseMemory = 40'000'000;
constexpr std::uint64_t kColumnMemory = 1500;
constexpr std::uint64_t kListedMemory = 700;  // of a column of the answer, where all are listed
constexpr std::uint64_t kLeastTile = 4'000'000;

struct Details {
  std::uint32_t label = 0;
  std::vector<std::uint32_t> values;
  std::string side;  // what the rows of the answer are: "sample" or "feature"
  TilePlan tiles;
  std::optional<Delivery> delivery;

  Json to_json() const {
    return {{"label", label},
            {"values", values},
            {"side", side},
            {"whole", tiles.whole},
            {"tiles", tiles.tiles},
            {"block", tiles.block},
            {"delivery", delivery ? delivery->to_json() : Json()}};
  }
  static Details from(const TaskEnv& env) {
    const Json& j = env.plan().details;
    Details out;
    out.label = j.at("label").get<std::uint32_t>();
    out.values = j.at("values").get<std::vector<std::uint32_t>>();
    out.side = j.at("side").get<std::string>();
    out.delivery = Delivery::from_json(j.at("delivery"));
    out.tiles.columns = out.values.size();
    out.tiles.whole = j.at("whole").get<bool>();
    out.tiles.tiles = j.at("tiles").get<bool>();
    out.tiles.block = j.at("block").get<std::size_t>();
    out.tiles.memory = std::max(kLeastTile, env.context.memory / 4);
    return out;
  }
};

// ---- rows of a partition ----

Status read_text(TaskEnv& env, const Details& d, const std::shared_ptr<TextScan>& text,
                 TileWriter* writer) {
  MatrixReader reader(text, {d.label}, d.values);
  const std::size_t rows = std::max<std::size_t>(
      1, env.context.memory / 32 / std::max<std::size_t>(1, d.values.size() * sizeof(double)));
  const std::size_t most = std::min<std::size_t>(rows, 1024);
  std::vector<double> values(most * d.values.size());
  std::vector<MatrixReader::Label> labels;
  for (;;) {
    labels.clear();
    const auto n = reader.read(most, values.data(), &labels);
    if (!n) {
      env.note_scan(text);
      return std::unexpected(n.error());
    }
    for (std::size_t r = 0; r < *n; ++r)
      POLYSOME_TRY(writer->add(std::move(labels[r]).value_or(std::string()),
                               std::span(values).subspan(r * d.values.size(), d.values.size())));
    if (*n < most) break;
  }
  env.note_scan(text);
  return {};
}

// Some columns of the view, into `out` from column `at` of each row on.
Status read_columns(TaskEnv& env, const TableSource& source, std::span<const std::uint32_t> columns,
                    std::size_t width, std::size_t at, std::uint64_t rows,
                    std::vector<double>* out) {
  std::string list;
  for (const auto c : columns)
    list += fmt::format("{}CAST({} AS {})", list.empty() ? "" : ", ",
                        sql_identifier(source.columns[c].name),
                        source.columns[c].type == "int64" ? "BIGINT" : "DOUBLE");
  POLYSOME_ASSIGN(QueryResult result,
                  env.session().query(fmt::format("SELECT {} FROM {}", list, kView)));
  std::uint64_t row = 0;
  while (duckdb_data_chunk chunk = result.fetch()) {
    const idx_t n = duckdb_data_chunk_get_size(chunk);
    if (row + n > rows) return fail(Code::kIo, "the dataset was changed while the job ran");
    for (std::size_t i = 0; i < columns.size(); ++i) {
      duckdb_vector vector = duckdb_data_chunk_get_vector(chunk, i);
      auto* validity = duckdb_vector_get_validity(vector);
      const bool whole = source.columns[columns[i]].type == "int64";
      for (idx_t r = 0; r < n; ++r) {
        double& cell = (*out)[(row + r) * width + at + i];
        if (validity != nullptr && !duckdb_validity_row_is_valid(validity, r)) {
          cell = std::nan("");
        } else if (whole) {
          const auto v = static_cast<const std::int64_t*>(duckdb_vector_get_data(vector))[r];
          cell = static_cast<double>(v);
          if (std::abs(cell) > 0x1p53)
            return fail(Code::kUserData,
                        fmt::format("column \"{}\" holds {}, a whole number beyond 2^53, which a "
                                    "matrix can't hold exactly",
                                    source.columns[columns[i]].name, v),
                        "declare the column a label, or its type double: layout.types");
        } else {
          cell = static_cast<const double*>(duckdb_vector_get_data(vector))[r];
        }
      }
    }
    row += n;
    POLYSOME_TRY(env.check_cancelled());
  }
  return {};
}

// What the view reads, in the columns' own blocks.
Status read_view(TaskEnv& env, const Details& d, const TableSource& source, TileWriter* writer) {
  POLYSOME_ASSIGN(const std::int64_t counted,
                  env.session().integer(fmt::format("SELECT count(*) FROM {}", kView)));
  const auto rows = static_cast<std::uint64_t>(counted);
  const std::size_t width = d.values.size();
  std::vector<double> values(rows * width);
  for (std::size_t at = 0; at < width; at += kSqlColumns)
    POLYSOME_TRY(read_columns(env, source,
                              std::span(d.values).subspan(at, std::min(kSqlColumns, width - at)),
                              width, at, rows, &values));
  POLYSOME_ASSIGN(QueryResult result, env.session().query(fmt::format(
                                          "SELECT CAST({} AS VARCHAR) FROM {}",
                                          sql_identifier(source.columns[d.label].name), kView)));
  std::uint64_t row = 0;
  while (duckdb_data_chunk chunk = result.fetch()) {
    duckdb_vector vector = duckdb_data_chunk_get_vector(chunk, 0);
    auto* validity = duckdb_vector_get_validity(vector);
    auto* texts = static_cast<duckdb_string_t*>(duckdb_vector_get_data(vector));
    for (idx_t r = 0; r < duckdb_data_chunk_get_size(chunk) && row < rows; ++r, ++row) {
      std::string label;
      if (validity == nullptr || duckdb_validity_row_is_valid(validity, r))
        label.assign(duckdb_string_t_data(&texts[r]), duckdb_string_t_length(texts[r]));
      POLYSOME_TRY(writer->add(std::move(label), std::span(values).subspan(row * width, width)));
    }
  }
  return {};
}

// Parquet knows its rows: partitions are read in pieces that fit. Others are read as they are cut.
Status read_by_sql(TaskEnv& env, const Details& d, TileWriter* writer) {
  const auto& input = env.plan().inputs.at(0);
  if (input.source.format != "parquet" || !reads_alike(input.source)) {
    POLYSOME_TRY(env.open_partition(kView, 1));
    return read_view(env, d, input.source, writer);
  }
  POLYSOME_ASSIGN(const auto ranges, input.partition(env.spec.job_folder, env.spec.task.index));
  const std::uint64_t room = std::max<std::uint64_t>(
      1, env.context.memory / 4 / std::max<std::size_t>(1, d.values.size() * sizeof(double)));
  std::uint64_t bytes = 0;
  for (const auto& range : ranges) {
    const auto pieces = static_cast<std::uint32_t>((range.rows + room - 1) / room);
    POLYSOME_ASSIGN(const auto cut, cut_again(input.source, range, std::max(pieces, 1U)));
    for (const auto& piece : cut) {
      ScanOptions options;
      options.cancelled = env.context.cancelled;
      POLYSOME_TRY(open_view(env.session(), kView, input.source, {piece}, options));
      POLYSOME_TRY(read_view(env, d, input.source, writer));
      bytes += piece.bytes;
      if (env.context.progress) env.context.progress(bytes);
    }
  }
  env.output.result.bytes_in += bytes;
  return env.session().run(fmt::format("DROP VIEW IF EXISTS {}", kView));
}

Status tiles_body(TaskEnv& env) {
  const Details d = Details::from(env);
  POLYSOME_ASSIGN(auto writer, TileWriter::create(env, d.tiles));
  POLYSOME_ASSIGN(const auto text, env.open_text());
  const Status read =
      text != nullptr ? read_text(env, d, text, writer.get()) : read_by_sql(env, d, writer.get());
  if (!read) {
    if (env.dispute(read.error())) return {};
    return read;
  }
  POLYSOME_TRY(writer->finish(env));
  env.finish_scan();
  return {};
}

// ---- what all tasks left ----

struct AllTiles {
  std::vector<Manifest> manifests;
  std::vector<std::string> chunks, tiles;  // files
  std::vector<TileIndex> indexes;
  std::vector<std::string> names;  // of the answer's columns, the label first
  Json warnings = Json::array();
};

Result<AllTiles> all_tiles(TaskEnv& env, const Details& d) {
  AllTiles out;
  POLYSOME_ASSIGN(const std::uint32_t tasks, env.body_number("tasks"));
  const std::string& folder = env.spec.job_folder;
  POLYSOME_ASSIGN(out.manifests, stage_manifests(folder, kTilesStage, 0, tasks));
  for (const auto& f : files_of(folder, kTilesStage, out.manifests, 0, kChunksRole))
    out.chunks.push_back(f.path);
  for (const auto& f : files_of(folder, kTilesStage, out.manifests, 0, kTilesRole))
    out.tiles.push_back(f.path);
  out.names.push_back(d.side);
  for (const auto& f : files_of(folder, kTilesStage, out.manifests, 0, kIndexRole)) {
    POLYSOME_ASSIGN(auto index, read_tile_index(f.path, d.tiles));
    out.names.insert(out.names.end(), index.labels.begin(), index.labels.end());
    index.labels.clear();
    index.labels.shrink_to_fit();
    out.indexes.push_back(std::move(index));
  }
  if (out.indexes.size() != tasks || out.chunks.size() != tasks)
    return fail(Code::kIo, "output lost: the tasks left no tiles");
  make_unique_names(&out.names, &out.warnings);
  return out;
}

std::vector<std::string> row_labels(const TaskEnv& env, const Details& d) {
  std::vector<std::string> out;
  for (const auto c : d.values) out.push_back(env.plan().inputs.at(0).source.columns[c].name);
  return out;
}

Status text_body(TaskEnv& env) {
  const Details d = Details::from(env);
  POLYSOME_ASSIGN(const AllTiles all, all_tiles(env, d));
  const std::size_t blocks = (d.tiles.columns + d.tiles.block - 1) / d.tiles.block;
  POLYSOME_ASSIGN(const std::uint32_t tasks, env.body_number("text_tasks"));
  const auto bound = [&](std::size_t i) { return blocks * i / tasks; };
  const TileReader reader(d.tiles, all.tiles, all.indexes);
  const std::string role = "part" + d.delivery->format.extension();
  TransposedText text;
  text.format = d.delivery->format;
  text.names = all.names;
  text.labels = row_labels(env, d);
  text.whole = d.tiles.whole;
  POLYSOME_ASSIGN(const std::uint64_t rows,
                  write_transposed(env, text, reader, d.tiles, bound(env.spec.task.index),
                                   bound(env.spec.task.index + 1), env.path_of(role)));
  env.note_file(role, rows);
  env.output.result.rows = rows;
  env.output.durable = env.job.keep_table;
  return {};
}

Json preview_rows(const AllTiles& all, const std::vector<std::string>& labels, bool whole) {
  Json out = Json::array();
  const std::size_t rows = std::min(labels.size(), kPreviewValues);
  for (std::size_t r = 0; r < rows; ++r) {
    Json row = {{all.names[0], labels[r]}};
    std::size_t column = 1;
    for (const auto& index : all.indexes)
      for (std::size_t i = 0; i * index.preview_values < index.preview.size() &&
                              column < std::min(all.names.size(), kPreviewRows);
           ++i, ++column)
        row[all.names[column]] = number_json(index.preview[i * index.preview_values + r], whole);
    // At most 16 kB of it (contract.md, Results).
    out.push_back(std::move(row));
    if (dump(out).size() > 16'000) {
      out.erase(out.size() - 1);
      break;
    }
  }
  return out;
}

// Our own copy of the answer, written while the caller's is: both wait for the disk.
class TableWriting {
 public:
  TableWriting(TaskEnv& env, const JoinedFile& joined, std::uint64_t rows)
      : env_(env), joined_(joined), rows_(rows) {}

  void begin() {
    const auto write = [&joined = joined_, path = env_.path_of(kTable)] {
      return joined.write(path, true);
    };
    try {
      hash_ = std::async(std::launch::async, write);
    } catch (const std::system_error&) {  // no memory for another thread: end() does it
      hash_ = std::async(std::launch::deferred, write);
    }
  }
  // Waits for it, if it was begun.
  Status end() {
    if (!hash_.valid()) return {};
    POLYSOME_ASSIGN(const std::string hash, hash_.get());
    env_.note_file(kTable, rows_, hash);
    return {};
  }

 private:
  TaskEnv& env_;
  const JoinedFile& joined_;
  std::uint64_t rows_;
  std::future<Result<std::string>> hash_;
};

Status result_body(TaskEnv& env) {
  const Details d = Details::from(env);
  POLYSOME_ASSIGN(AllTiles all, all_tiles(env, d));
  const auto labels = row_labels(env, d);
  POLYSOME_ASSIGN(const JoinedFile joined,
                  transposed_parquet(d.tiles, all.names, labels, all.chunks, all.indexes));
  TableWriting table(env, joined, labels.size());
  TableResult result;
  result.delivery = d.delivery;
  const bool joins =
      d.delivery->format.format == "parquet" && d.delivery->database.empty() && !d.delivery->parts;
  const bool only_delivered = joins && !env.job.keep_table && !d.delivery->path.empty();
  result.files = {
      {only_delivered ? d.delivery->path : env.path_of(kTable), 0, joined.size(), labels.size()}};
  if (!only_delivered) table.begin();
  if (joins)
    result.join = [&](const auto&, const std::string& path) -> Status {
      POLYSOME_TRY(joined.write(path, false));
      return {};
    };
  else if (!d.tiles.tiles)
    POLYSOME_TRY(table.end());  // it is read
  if (d.tiles.tiles) {
    POLYSOME_ASSIGN(const std::uint32_t tasks, env.body_number("text_tasks"));
    POLYSOME_ASSIGN(const auto manifests,
                    stage_manifests(env.spec.job_folder, kTextStage, 0, tasks));
    for (const auto& f : files_of(env.spec.job_folder, kTextStage, manifests, 0,
                                  "part" + d.delivery->format.extension())) {
      result.text_parts.push_back(f.path);
      result.text_rows.push_back(f.rows);
    }
  }
  result.known.emplace();
  result.known->columns.push_back({all.names[0], "VARCHAR"});
  for (std::size_t i = 1; i < all.names.size(); ++i)
    result.known->columns.push_back({all.names[i], d.tiles.whole ? "BIGINT" : "DOUBLE"});
  result.known->preview = preview_rows(all, labels, d.tiles.whole);
  result.summary = {{"format", d.delivery->format.format},
                    {"orientation", d.side == "sample" ? "samples_as_rows" : "features_as_rows"}};
  result.warnings = std::move(all.warnings);
  POLYSOME_TRY(check_bad_values(env, scan_totals(all.manifests), &result.warnings));
  const Status finished = finish_table(env, std::move(result));
  POLYSOME_TRY(table.end());
  return finished;
}

// ---- planning ----

Stage stage(const char* name, StageKind kind, std::uint32_t tasks, const char* run) {
  Stage out;
  out.name = name;
  out.kind = kind;
  out.tasks = tasks;
  out.body = {{"run", run}};
  return out;
}

}  // namespace

Result<OperationPlan> plan_transpose(const PlanRequest& request, const Delivery& delivery) {
  const auto& input = request.inputs.at(0);
  const TableSource& source = input.source;
  POLYSOME_ASSIGN(const MatrixShape shape, matrix_shape(source));
  TaskContext context;
  context.scratch = request.job_folder;
  POLYSOME_ASSIGN(const RowCount counted, count_rows(*request.session, source, context));
  const std::uint64_t rows = counted.rows.value_or(0);
  const std::string told = fmt::format("{}{}", counted.exact ? "" : "about ", with_thousands(rows));
  POLYSOME_ASSIGN(const std::string orientation, known_orientation(source, shape, told));
  if (rows > kMostColumns)
    return fail(Code::kUserData,
                fmt::format("dataset \"{}\" has {} rows, which would become columns; at most {} "
                            "are of use",
                            source.id, told, with_thousands(kMostColumns)),
                "take fewer rows first: the operation filter, with output.dataset_id");
  Details d;
  d.label = shape.labels.front();
  d.values = shape.values;
  d.side = orientation == "features_as_rows" ? "sample" : "feature";
  d.delivery = delivery;
  d.tiles.columns = d.values.size();
  d.tiles.whole = std::ranges::all_of(
      d.values, [&](std::uint32_t c) { return source.columns[c].type == "int64"; });
  const std::string& format = delivery.format.format;
  d.tiles.tiles = delivery.database.empty() && format != "parquet" && is_plain_text(format);
  // A block of the answer's rows is held whole by the task that writes it.
  const std::uint64_t row_bytes = std::max<std::uint64_t>(1, rows) * sizeof(double);
  d.tiles.block = static_cast<std::size_t>(
      std::clamp<std::uint64_t>(std::max(request.job.memory, 2 * kBaseMemory) / 8 / row_bytes, 1,
                                std::max<std::size_t>(1, d.tiles.columns)));
  const std::size_t blocks = (d.tiles.columns + d.tiles.block - 1) / d.tiles.block;

  OperationPlan out;
  Stage map = stage(kTilesStage, StageKind::kMap, input.tasks(), "transpose.tiles");
  map.bytes = source.total_bytes();
  map.borders = input.has_borders();
  map.grant = kBaseMemory + source.columns.size() * kColumnMemory +
              d.tiles.columns * 4 * sizeof(double) + (d.tiles.tiles ? 2 * kLeastTile : 0);
  const std::uint32_t tasks = map.tasks;
  Stage last = stage("result", StageKind::kSingle, 1, "transpose.result");
  last.after = {kTilesStage};
  last.final = true;
  last.body["tasks"] = tasks;
  last.grant = kBaseMemory + source.columns.size() * kColumnMemory + rows * kListedMemory;
  out.stages.push_back(std::move(map));
  if (d.tiles.tiles) {
    const auto slots = static_cast<std::uint32_t>(std::max(request.job.slots, 1));
    const auto text_tasks =
        static_cast<std::uint32_t>(std::clamp<std::size_t>(blocks, 1, std::size_t{4} * slots));
    Stage text = stage(kTextStage, StageKind::kReduce, text_tasks, "transpose.text");
    text.after = {kTilesStage};
    text.bytes = rows * d.tiles.columns * sizeof(double);
    text.body["tasks"] = tasks;
    text.body["text_tasks"] = text_tasks;
    text.grant = kBaseMemory + source.columns.size() * kColumnMemory + rows * kListedMemory +
                 2 * d.tiles.block * row_bytes;
    out.stages.push_back(std::move(text));
    last.after = {kTextStage};
    last.body["text_tasks"] = text_tasks;
  }
  out.stages.push_back(std::move(last));
  for (std::size_t i = 1; i < shape.labels.size(); ++i)
    out.warnings.push_back(
        {{"code", "label_left_out"},
         {"count", 1},
         {"message",
          fmt::format("the label \"{}\" is left out: columns have one name, which \"{}\" gives "
                      "(the first of layout.label_columns)",
                      source.columns[shape.labels[i]].name, source.columns[d.label].name)}});
  out.details = d.to_json();
  return out;
}

std::vector<StageBody> transpose_bodies() {
  return {{"transpose.tiles", tiles_body},
          {"transpose.text", text_body},
          {"transpose.result", result_body}};
}

}  // namespace polysome
