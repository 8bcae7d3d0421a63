// What a planner task works out once and every later task of the job reads: the inspected datasets,
// where their partition tables lie, and the operation's resolved parameters. A file beside the
// fragment, so stage bodies stay small however many columns a dataset has. Paths are relative to
// the job's work folder.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "data/table_source.h"

namespace polysome {

struct InputTable {
  TableSource source;
  std::string files_file;        // of its files, when they are many; else they are with the source
  std::string partitions_file;   // partition table; empty when there are no partitions
  std::uint32_t partitions = 0;  // 0: the dataset has no rows

  // Tasks of a stage that maps over this table: one even for an empty dataset, so that there is a
  // result with the right columns.
  std::uint32_t tasks() const { return partitions == 0 ? 1 : partitions; }
  // Delimited text cut within its files: tasks report their end states (architecture.md, decision
  // 10).
  bool open_borders = false;
  bool has_borders() const { return open_borders; }
  // A task's own partition; none for an empty dataset.
  Result<std::vector<Partition>> partition(const std::string& job_folder,
                                           std::uint32_t index) const;
  Result<std::vector<Partition>> all_partitions(const std::string& job_folder) const;
};

struct PlanDocument {
  std::vector<InputTable> inputs;
  Json details = Json::object();  // the operation's own
  Json warnings = Json::array();  // of the planning: [{code, count, message}]

  Json to_json() const;
  static Result<PlanDocument> from_json(Json j);
};

// Errors: kIo ("output lost: …") when the file is gone.
Result<PlanDocument> read_plan_document(const std::string& job_folder, const std::string& name);

}  // namespace polysome
