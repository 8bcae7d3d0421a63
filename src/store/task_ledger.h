// The writer's memory of finished tasks: small records merge here into ranges, and a commit writes
// only the rows that changed. Holds what the file holds plus the open transaction; after a rollback
// it forgets everything and reads again. Writer's thread only.
#pragma once

#include <cstdint>
#include <map>
#include <unordered_map>

#include "store/range_set.h"
#include "store/sqlite.h"

namespace polysome {

class TaskLedger {
 public:
  Status record(Database& db, const JobId& job, std::uint32_t stage, std::uint32_t first,
                std::uint32_t last);
  Status forget(Database& db, const JobId& job, std::uint32_t stage, std::uint32_t index);
  Status drop(Database& db, const JobId& job);
  // Writes the changed rows; to be called before COMMIT.
  Status write(Database& db);
  void rolled_back();
  // Rows `write` would touch, about.
  std::size_t changed_rows() const { return changed_rows_; }

 private:
  struct StageRanges {
    RangeSet set;
    RangeSet::Touched touched;
  };
  using JobRanges = std::map<std::uint32_t, StageRanges>;

  Result<JobRanges*> ranges_of(Database& db, const JobId& job);
  template <class Change>
  void change(const JobId& job, StageRanges& stage, Change apply);

  std::unordered_map<JobId, JobRanges> jobs_;
  std::set<JobId> changed_;
  std::size_t changed_rows_ = 0;
};

}  // namespace polysome
