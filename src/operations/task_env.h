// What a stage body works with: its task, the job, the plan, the DuckDB session, and the place to
// leave its files and result. Made for one attempt by the task runner; temporary tables made
// through it end with it. The slot's thread.
#pragma once

#include <functional>
#include <memory>
#include <string>
#include <vector>

#include "data/text_pieces.h"
#include "kernels/row_source.h"
#include "kernels/session.h"
#include "operations/task_runner.h"
#include "plan/job_description.h"
#include "plan/plan_document.h"
#include "plan/stage_files.h"

namespace polysome {

class TaskEnv {
 public:
  TaskEnv(const TaskSpec& spec, TaskContext& context, const JobDescription& job, const Json& body,
          std::shared_ptr<const PlanDocument> plan, Session* session);
  ~TaskEnv();
  TaskEnv(const TaskEnv&) = delete;
  TaskEnv& operator=(const TaskEnv&) = delete;

  const TaskSpec& spec;
  TaskContext& context;
  const JobDescription& job;
  const Json& body;
  TaskOutput output;
  std::uint32_t row_group = 0;  // rows, of Parquet files to be written; 0: the usual

  const PlanDocument& plan() const { return *plan_; }
  Session& session() { return *session_; }
  // A member of the stage's body; kInternal when absent.
  Result<std::string> body_text(const char* key) const;
  Result<std::uint32_t> body_number(const char* key) const;

  // Makes `view` read this task's own partition of input `index`. `passes`: how often the view will
  // be read from begin to end, for the progress.
  Status open_partition(const std::string& view, int passes, std::size_t index = 0);
  // The same, once, for files that know their rows: how many the view has.
  Result<std::uint64_t> open_counted(const std::string& view);
  // The same for a task that may have to cut its work (spec.split): `read` is called with `view`
  // open on each piece in turn, numbered from 0; borders join up as those of one scan.
  Status each_piece(const std::string& view, int passes,
                    const std::function<Status(std::size_t piece)>& read);
  // The same partition, for reading it without SQL: null when it is no delimited text. Whoever has
  // read it calls note_scan, if its rows are to count.
  Result<std::shared_ptr<TextScan>> open_text(std::size_t index = 0);
  void note_scan(const std::shared_ptr<TextScan>& scan);
  // Rows that our own code makes, to a Parquet file of this attempt; `select` reads them FROM rows.
  Status write_rows(std::shared_ptr<RowSource> rows, const std::string& select,
                    const std::string& role);
  // A view with the columns of input `i` and no rows.
  Status open_nothing(const std::string& view, std::size_t input);
  // Makes a view of the whole of input `i`, named as said.
  Status open_whole(const std::string& view, std::size_t input);
  // Takes over borders and counts of the scans after the queries over their views; call once.
  void finish_scan();
  // An error of a scan whose start inside or outside quotes is not confirmed yet is kept aside, not
  // reported as a failure (architecture.md, decision 10). True: it was; the task ends well.
  bool dispute(const Error& error);

  // CREATE TEMP TABLE name AS select; dropped at the end of the task.
  Status temp_table(const std::string& name, const std::string& select);
  // The same of rows that our own code makes.
  Status temp_rows(const std::string& name, std::shared_ptr<RowSource> rows);
  Status drop_table(const std::string& name);
  // COPY (select) TO a Parquet file of this attempt, and notes it. Returns its rows.
  Result<std::uint64_t> write_parquet(const std::string& select, const std::string& role);
  // COPY (select) TO a Parquet file that is this task's own business and goes with it.
  Result<std::string> scratch_parquet(const std::string& select);
  // The same of rows that our own code makes; `select` as with write_rows.
  Result<std::string> scratch_rows(std::shared_ptr<RowSource> rows, const std::string& select);
  // The path of a file that this task is about to write; note_file afterwards.
  std::string path_of(const std::string& role) const;
  // `hash`: as manifests have it, where the writer knows it.
  void note_file(const std::string& role, std::uint64_t rows, std::string hash = {});
  bool cancelled() const;
  Status check_cancelled() const;

  // This task's ranges of an input, for whoever reads them by itself: how, and what they weigh.
  struct OwnPartition {
    std::vector<Partition> pieces;
    ScanOptions options;
    std::uint64_t bytes = 0;
  };
  Result<OwnPartition> own_partition(int passes, std::size_t index);

 private:
  Result<std::uint64_t> copy_parquet(const std::string& select, const std::string& path);
  ScanOptions scan_options(std::uint64_t bytes_before, int passes, std::uint64_t bytes);
  // Of the operation's details: what the reader of the first input may leave out (row_tests.h).
  Json row_tests() const;

  std::shared_ptr<const PlanDocument> plan_;
  Session* session_;
  std::vector<std::string> temp_tables_;
  std::vector<std::string> views_;
  std::vector<std::shared_ptr<ScanReport>> reports_;
  std::vector<std::shared_ptr<ScanReport>> piece_reports_;  // their ends are not the task's
  std::vector<std::string> scratch_files_;
  bool unconfirmed_start_ = false;
};

// ['/a', '/b'] as a SQL list of file names, and read_parquet over it.
std::string read_parquet_sql(const std::vector<StageFile>& files);
std::string read_parquet_sql(const std::vector<std::string>& paths);

}  // namespace polysome
