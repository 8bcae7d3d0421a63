#include "store/task_ledger.h"

namespace polysome {

Result<TaskLedger::JobRanges*> TaskLedger::ranges_of(Database& db, const JobId& job) {
  const auto known = jobs_.find(job);
  if (known != jobs_.end()) return &known->second;
  JobRanges read;
  RangeSet::Touched unchanged;
  Query query(db, "SELECT stage, first, last FROM task_ranges WHERE job = ?");
  query.with(job);
  while (query.next())
    read[static_cast<std::uint32_t>(query.integer(0))].set.add(
        static_cast<std::uint32_t>(query.integer(1)), static_cast<std::uint32_t>(query.integer(2)),
        &unchanged);
  POLYSOME_TRY(query.status());
  return &jobs_.emplace(job, std::move(read)).first->second;
}

template <class Change>
void TaskLedger::change(const JobId& job, StageRanges& stage, Change apply) {
  const auto before = stage.touched.size();
  apply();
  if (stage.touched.size() == before) return;
  changed_rows_ += stage.touched.size() - before;
  changed_.insert(job);
}

Status TaskLedger::record(Database& db, const JobId& job, std::uint32_t stage, std::uint32_t first,
                          std::uint32_t last) {
  POLYSOME_ASSIGN(JobRanges* const ranges, ranges_of(db, job));
  StageRanges& of_stage = (*ranges)[stage];
  change(job, of_stage, [&] { of_stage.set.add(first, last, &of_stage.touched); });
  return {};
}

Status TaskLedger::forget(Database& db, const JobId& job, std::uint32_t stage,
                          std::uint32_t index) {
  POLYSOME_ASSIGN(JobRanges* const ranges, ranges_of(db, job));
  StageRanges& of_stage = (*ranges)[stage];
  change(job, of_stage, [&] { of_stage.set.remove(index, &of_stage.touched); });
  return {};
}

Status TaskLedger::drop(Database& db, const JobId& job) {
  jobs_.erase(job);
  changed_.erase(job);
  return Query(db, "DELETE FROM task_ranges WHERE job = ?").with(job).run();
}

Status TaskLedger::write(Database& db) {
  for (const JobId& job : changed_) {
    for (auto& [stage, ranges] : jobs_[job]) {
      for (const auto first : ranges.touched) {
        const auto range = ranges.set.ranges().find(first);
        if (range == ranges.set.ranges().end())
          POLYSOME_TRY(
              Query(db, "DELETE FROM task_ranges WHERE job = ? AND stage = ? AND first = ?")
                  .with(job, stage, first)
                  .run());
        else
          POLYSOME_TRY(
              Query(db,
                    "INSERT INTO task_ranges (job, stage, first, last) VALUES (?, ?, ?, ?) "
                    "ON CONFLICT DO UPDATE SET last = excluded.last")
                  .with(job, stage, first, range->second)
                  .run());
      }
      ranges.touched.clear();
    }
  }
  changed_.clear();
  changed_rows_ = 0;
  return {};
}

void TaskLedger::rolled_back() {
  jobs_.clear();
  changed_.clear();
  changed_rows_ = 0;
}

}  // namespace polysome
