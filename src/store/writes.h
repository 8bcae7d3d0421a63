// What one call of the store does to the file, ready to be run by the writer: each function makes
// the `apply` of a Write. Text is made on the caller's thread, statements run on the writer's; an
// apply may run again after a rollback, so it keeps what it holds.
#pragma once

#include <cstdint>
#include <functional>
#include <string>
#include <vector>

#include "store/sqlite.h"
#include "store/store.h"
#include "store/task_ledger.h"

namespace polysome {

struct WriteContext {
  Database& db;
  TaskLedger& tasks;
  std::int64_t jobs_added = 0;  // by the open transaction
};

using Apply = std::move_only_function<Status(WriteContext&)>;

namespace writes {

Apply raise_epoch();
Apply insert_job(const StoredJob& job, const std::string& key, const std::string& body_hash);
// The row, documents and labels as they are now; inserted when the job has none.
Apply put_job(const StoredJob& job);
Apply update_job(const JobId& id, const JobState& state);
Apply record_tasks(const JobId& job, std::vector<StoredTaskRange> finished);
Apply forget_task(const JobId& job, std::uint32_t stage, std::uint32_t index);
Apply drop_tasks(const JobId& job);
Apply append_events(std::vector<StoredEvent> events);
Apply put_dataset(const StoredDataset& dataset);
Apply remove_dataset(const std::string& id);
Apply put_setting(const std::string& key, const Json& value);
Apply append_metrics(WallTime timestamp, const Json& fields);

}  // namespace writes
}  // namespace polysome
