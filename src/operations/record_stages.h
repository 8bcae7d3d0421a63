// What operations share that bring rows into an order: rows of a query sorted into a run, runs of a
// stage found again, and a merge of them written as a part of the answer. Memory is bounded
// whatever the number of rows: a share of the grant for sorting, a buffer a run for merging. The
// slot's thread.
#pragma once

#include <cstdint>
#include <functional>
#include <optional>
#include <string>
#include <vector>

#include "kernels/record_sorter.h"
#include "kernels/row_record.h"
#include "operations/task_env.h"

namespace polysome {

inline constexpr const char* kRunRole = "run";

// Calls `row` with each row of `select`, in order: its first column, a key as BLOB (empty where
// missing), and the others as a record.
Status each_record(TaskEnv& env, const std::string& select,
                   const std::function<Status(std::string_view key, std::string_view record)>& row);

struct SortRules {
  std::optional<std::uint64_t> limit =
      std::nullopt;        // only the first rows in the order of the key are kept
  bool positions = false;  // each record begins with its row's position
};
// The rest of a task that has opened its partition: `select` (as above) over it becomes the run
// kRunRole of this attempt, and its rows are the task's.
Status sort_partition(TaskEnv& env, const std::string& select, const SortRules& rules);

// Where a row is in its dataset, as bytes that compare like it.
inline constexpr std::size_t kPositionBytes = 12;
void append_position(std::uint32_t task, std::uint64_t row, std::string* out);

// Memory that a task may sort in, and that the buffers of a merge may take.
std::size_t sorting_memory(const TaskEnv& env);
std::size_t merging_memory(const TaskEnv& env);
// Where what is set aside goes; the beginning of names.
std::string scratch_name(const TaskEnv& env, const std::string& role);

struct StageRuns {
  std::vector<std::string> paths;
  std::vector<RunIndex> runs;
  std::uint64_t records = 0;
  std::uint64_t bytes = 0;
};
// Those that tasks of a stage left under `role`, in the order of the tasks. Errors: output lost.
Result<StageRuns> stage_runs(const TaskEnv& env, const std::string& stage, std::uint32_t tasks,
                             const std::string& role = kRunRole);
// Part `part` of `parts`.
Result<RunMerge> merge_part(const TaskEnv& env, const StageRuns& runs, std::uint32_t part,
                            std::uint32_t parts);

// Names and types of the columns of `select` from `first` on; it is not run.
Result<RowCodec> codec_of(TaskEnv& env, const std::string& select, std::size_t first = 0);

// What records become in the answer's table.
class RecordShape {
 public:
  virtual ~RecordShape() = default;
  virtual std::vector<RowSource::Column> columns() const = 0;
  virtual void begin(duckdb_data_chunk chunk) = 0;
  virtual void put(std::string_view record, std::size_t row) = 0;
};
// Records that are rows.
class PlainRows final : public RecordShape {
 public:
  explicit PlainRows(RowCodec codec) : codec_(std::move(codec)) {}
  std::vector<RowSource::Column> columns() const override { return codec_.columns(); }
  void begin(duckdb_data_chunk chunk) override { place_ = codec_.place(chunk, 0); }
  void put(std::string_view record, std::size_t row) override {
    codec_.decode(record, place_, row);
  }

 private:
  RowCodec codec_;
  RowCodec::Place place_;
};
// The rows of `select` (its first column is the key, which is left out) in the order of the key, as
// Parquet file `role` of this attempt. Returns how many there are.
Result<std::uint64_t> write_in_order(TaskEnv& env, const std::string& select,
                                     const std::string& role);
// Writes the merged records as the part of this task and leaves it (table_stages.h).
Status write_merged_part(TaskEnv& env, RunMerge merge, RecordShape& shape, const StageRuns& runs,
                         std::optional<std::uint64_t> limit);

// Reduce tasks for so many bytes of input: large enough to be worth a task, at least one a slot
// once there is something to share.
std::uint32_t parts_for(const JobDescription& job, std::uint64_t bytes);

// create_sort_key over SQL values, missing ones last.
struct SortKey {
  std::string sql;
  bool descending = false;
};
std::string sort_key_sql(const std::vector<SortKey>& keys);

}  // namespace polysome
