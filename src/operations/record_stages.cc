#include "operations/record_stages.h"

#include <fmt/format.h>

#include <algorithm>
#include <filesystem>
#include <memory>
#include <system_error>

#include "operations/table_stages.h"

namespace polysome {
namespace {

constexpr double kSortingShare = 0.3;
constexpr double kMergingShare = 0.2;
// A writer holds a row group, before and after it is encoded.
constexpr double kRowGroupShare = 1.0 / 16;
constexpr std::uint64_t kMemoryUnlimited = 1'000'000'000;
// Input below this is not worth a second task.
constexpr std::uint64_t kWorthSharing = 16'000'000;
constexpr std::uint32_t kMostParts = 512;

std::size_t share_of(const TaskEnv& env, double share) {
  const std::uint64_t memory = env.context.memory > 0 ? env.context.memory : kMemoryUnlimited;
  return static_cast<std::size_t>(static_cast<double>(memory) * share /
                                  (env.spec.split > 1 ? 2 : 1));
}

std::string_view blob_at(duckdb_vector vector, std::size_t row) {
  auto& text = static_cast<duckdb_string_t*>(duckdb_vector_get_data(vector))[row];
  return {duckdb_string_t_data(&text), duckdb_string_t_length(text)};
}

bool has_key(duckdb_vector vector, std::size_t row) {
  const auto* validity = duckdb_vector_get_validity(vector);
  return validity == nullptr || ((validity[row / 64] >> (row % 64)) & 1U) != 0;
}

// Parquet holds no integers of 128 bits.
std::string parquet_list(const std::vector<RowSource::Column>& columns) {
  std::string out;
  for (const auto& c : columns) {
    const std::string name = sql_identifier(c.name);
    const duckdb_type type = duckdb_get_type_id(c.exact.get());
    const bool wide = type == DUCKDB_TYPE_HUGEINT || type == DUCKDB_TYPE_UHUGEINT;
    out += fmt::format(fmt::runtime(wide ? "{}CAST({} AS DECIMAL(38,0)) AS {}" : "{}{}"),
                       out.empty() ? "" : ", ", name, name);
  }
  return out;
}

}  // namespace

std::size_t sorting_memory(const TaskEnv& env) { return share_of(env, kSortingShare); }
std::size_t merging_memory(const TaskEnv& env) { return share_of(env, kMergingShare); }

std::string scratch_name(const TaskEnv& env, const std::string& role) {
  return fmt::format("{}/{}.{}.{}.{}", env.context.scratch, env.spec.stage_name,
                     env.spec.task.index, env.spec.attempt.text(), role);
}

void append_position(std::uint32_t task, std::uint64_t row, std::string* out) {
  for (int shift = 24; shift >= 0; shift -= 8) out->push_back(static_cast<char>(task >> shift));
  for (int shift = 56; shift >= 0; shift -= 8) out->push_back(static_cast<char>(row >> shift));
}

Status each_record(
    TaskEnv& env, const std::string& select,
    const std::function<Status(std::string_view key, std::string_view record)>& row) {
  POLYSOME_ASSIGN(RowStream stream, env.session().stream(select));
  POLYSOME_ASSIGN(const RowCodec codec, RowCodec::of(stream, 1));
  std::string record;
  for (;;) {
    POLYSOME_ASSIGN(duckdb_data_chunk chunk, stream.fetch());
    if (chunk == nullptr) return {};
    POLYSOME_TRY(env.check_cancelled());
    const auto view = codec.view(chunk, 1);
    duckdb_vector keys = duckdb_data_chunk_get_vector(chunk, 0);
    const std::size_t rows = duckdb_data_chunk_get_size(chunk);
    for (std::size_t i = 0; i < rows; ++i) {
      record.clear();
      codec.encode(view, i, &record);
      POLYSOME_TRY(row(has_key(keys, i) ? blob_at(keys, i) : std::string_view(), record));
    }
  }
}

namespace {

Result<std::uint64_t> sort_rows(TaskEnv& env, const std::string& select, const SortRules& rules) {
  RecordSorter sorter(sorting_memory(env), scratch_name(env, kRunRole), rules.limit);
  std::string placed;
  std::uint64_t position = 0;
  POLYSOME_TRY(each_record(env, select, [&](std::string_view key, std::string_view record) {
    if (!rules.positions) return sorter.add(key, record);
    placed.clear();
    append_position(env.spec.task.index, position++, &placed);
    placed.append(record);
    return sorter.add(key, placed);
  }));
  POLYSOME_ASSIGN(const std::uint64_t rows, sorter.finish(env.path_of(kRunRole)));
  env.note_file(kRunRole, rows);
  return rows;
}

}  // namespace

Status sort_partition(TaskEnv& env, const std::string& select, const SortRules& rules) {
  const auto rows = sort_rows(env, select, rules);
  if (!rows) {
    if (env.dispute(rows.error())) return {};
    return std::unexpected(rows.error());
  }
  env.finish_scan();
  env.output.result.rows = *rows;
  return {};
}

Result<StageRuns> stage_runs(const TaskEnv& env, const std::string& stage, std::uint32_t tasks,
                             const std::string& role) {
  POLYSOME_ASSIGN(const auto manifests, stage_manifests(env.spec.job_folder, stage, 0, tasks));
  StageRuns out;
  for (const auto& file : files_of(env.spec.job_folder, stage, manifests, 0, role)) {
    POLYSOME_ASSIGN(out.runs.emplace_back(), read_run_index(file.path));
    out.paths.push_back(file.path);
    out.records += out.runs.back().records;
    out.bytes += out.runs.back().end;
  }
  return out;
}

Result<RunMerge> merge_part(const TaskEnv& env, const StageRuns& runs, std::uint32_t part,
                            std::uint32_t parts) {
  const auto cuts = cut_runs(runs.runs, parts, false);
  return merge_between(runs.paths, runs.runs, part > 0 ? &cuts[part - 1] : nullptr,
                       part + 1 < parts ? &cuts[part] : nullptr, merging_memory(env));
}

Result<RowCodec> codec_of(TaskEnv& env, const std::string& select, std::size_t first) {
  POLYSOME_ASSIGN(RowStream stream, env.session().stream(select + " LIMIT 0"));
  POLYSOME_TRY(stream.fetch());  // to its end: what is made in a query that goes on is lost
  return RowCodec::of(stream, first);
}

namespace {

// Rows of a Parquet file that fit into the writer's share.
std::uint32_t row_group_for(const TaskEnv& env, std::uint64_t bytes, std::uint64_t rows) {
  const std::uint64_t fit =
      share_of(env, kRowGroupShare) / (bytes / std::max<std::uint64_t>(rows, 1) + 1);
  return static_cast<std::uint32_t>(std::clamp<std::uint64_t>(fit, 2048, 122'880) / 2048 * 2048);
}

Result<std::uint64_t> write_merged(TaskEnv& env, RunMerge& merge, RecordShape& shape,
                                   const std::string& role, std::optional<std::uint64_t> limit) {
  auto rows = std::make_shared<RowSource>();
  const auto columns = shape.columns();
  rows->columns = columns;
  std::uint64_t written = 0, bytes = 0;
  rows->fill = [&](duckdb_data_chunk chunk) -> Result<std::size_t> {
    POLYSOME_TRY(env.check_cancelled());
    shape.begin(chunk);
    std::size_t row = 0;
    for (; row < duckdb_vector_size() && written < limit.value_or(UINT64_MAX); ++row, ++written) {
      POLYSOME_ASSIGN(const bool more, merge.next());
      if (!more) break;
      shape.put(merge.body(), row);
      bytes += merge.body().size();
    }
    if (env.context.progress) env.context.progress(bytes);
    return row;
  };
  POLYSOME_TRY(env.write_rows(std::move(rows), parquet_list(columns), role));
  return written;
}

}  // namespace

Status write_merged_part(TaskEnv& env, RunMerge merge, RecordShape& shape, const StageRuns& runs,
                         std::optional<std::uint64_t> limit) {
  env.row_group = row_group_for(env, runs.bytes, runs.records);
  POLYSOME_ASSIGN(const std::uint64_t rows, write_merged(env, merge, shape, kTablePart, limit));
  return leave_part(env, rows);
}

Result<std::uint64_t> write_in_order(TaskEnv& env, const std::string& select,
                                     const std::string& role) {
  const std::string path = scratch_name(env, role + ".run");
  const auto gone = std::shared_ptr<void>(nullptr, [&path](void*) {
    std::error_code ec;
    std::filesystem::remove(path, ec);
  });
  {
    RecordSorter sorter(sorting_memory(env), path);
    POLYSOME_TRY(each_record(env, select, [&](std::string_view key, std::string_view record) {
      return sorter.add(key, record);
    }));
    POLYSOME_TRY(sorter.finish(path));
  }
  POLYSOME_ASSIGN(const RunIndex run, read_run_index(path));
  POLYSOME_ASSIGN(RowCodec codec, codec_of(env, select, 1));
  PlainRows shape(std::move(codec));
  POLYSOME_ASSIGN(RunMerge merge,
                  merge_between({path}, {run}, nullptr, nullptr, merging_memory(env)));
  env.row_group = row_group_for(env, run.end, run.records);
  return write_merged(env, merge, shape, role, std::nullopt);
}

std::uint32_t parts_for(const JobDescription& job, std::uint64_t bytes) {
  const std::uint64_t slots = bytes > kWorthSharing ? std::max(job.slots, 1) : 1;
  const std::uint64_t parts = std::max(bytes / std::max<std::uint64_t>(job.bucket_size, 1), slots);
  return static_cast<std::uint32_t>(std::clamp<std::uint64_t>(parts, 1, kMostParts));
}

std::string sort_key_sql(const std::vector<SortKey>& keys) {
  std::string out = "create_sort_key(";
  for (const auto& key : keys)
    out += fmt::format("{}, '{} NULLS LAST', ", key.sql, key.descending ? "DESC" : "ASC");
  // The empty text makes it a BLOB also where all values are of fixed width.
  return out + "'', 'ASC NULLS LAST')";
}

}  // namespace polysome
