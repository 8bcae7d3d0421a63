// The store as a fake for tests: the same answers, order and timing towards the loop as the SQLite
// one (writes of a turn are applied when the posted end of the turn runs, so reads right after a
// write miss it), nothing on disk. Can be told to refuse writes as a full disk does. Loop thread
// only.
#pragma once

#include <deque>
#include <map>
#include <memory>

#include "store/range_set.h"
#include "store/store.h"

namespace polysome {

class MemoryStore final : public Store {
 public:
  using Post = std::function<void(std::function<void()>)>;
  explicit MemoryStore(Post post_to_loop);
  ~MemoryStore() override;

  // Every write fails with this until it is called with nullopt, as when the disk is full.
  void refuse_writes(std::optional<Error> error);

  Result<std::uint32_t> next_epoch() override;
  std::uint64_t last_event_id() override;
  std::uint64_t last_sequence() override;
  std::optional<std::pair<JobId, std::string>> find_key(const std::string& user,
                                                        const std::string& key) override;
  void insert_job(const StoredJob& job, const std::string& idempotency_key,
                  const std::string& body_hash, Done done) override;
  void update_job(JobId id, const JobState& state, Done done) override;
  std::optional<StoredJob> job(JobId id) override;
  void put_job(const StoredJob& job, Done done) override;
  void insert_batch(const StoredBatch& batch, const std::vector<StoredJob>& jobs,
                    const std::string& idempotency_key, const std::string& body_hash,
                    Done done) override;
  std::optional<StoredBatch> batch(JobId id) override;
  std::vector<StoredJob> unfinished_jobs() override;
  std::pair<std::vector<StoredJob>, std::uint64_t> list_jobs(const JobFilter& filter,
                                                             std::vector<JobId>* perhaps) override;
  std::uint64_t count_jobs() override;
  void record_tasks(JobId job, std::vector<StoredTaskRange> finished) override;
  void forget_task(JobId job, std::uint32_t stage, std::uint32_t index) override;
  std::vector<StoredTaskRange> finished_tasks(JobId job) override;
  void drop_tasks(JobId job) override;
  void append_events(std::vector<StoredEvent> events, Done committed) override;
  std::vector<StoredEvent> events(std::uint64_t after, std::optional<JobId> job,
                                  std::size_t limit) override;
  std::uint64_t last_event_seq(JobId job) override;
  std::uint64_t first_event_id() override;
  void put_dataset(const StoredDataset& dataset, Done done) override;
  void remove_dataset(const std::string& id, Done done) override;
  std::vector<StoredDataset> datasets() override;
  void put_setting(const std::string& key, const Json& value, Done done) override;
  std::optional<Json> setting(const std::string& key) override;
  void append_metrics(WallTime timestamp, const Json& fields) override;
  std::vector<StoredMetrics> metrics(WallTime since, std::size_t limit) override;
  std::optional<StoredMetrics> newest_metrics() override;
  void record_usage(const StoredUsage& usage) override;
  void each_usage(WallTime since, const std::function<void(const StoredUsage&)>& visit) override;
  void append_decision(const StoredDecision& decision) override;
  std::vector<StoredDecision> decisions(std::optional<std::int64_t> before,
                                        std::size_t limit) override;
  void flush(Done done) override;
  std::optional<Error> trouble() override { return refusal_; }

 private:
  struct PendingWrite {
    std::function<Status()> apply;
    Done done;
    bool refusable = false;
  };
  void put(std::function<Status()> apply, Done done, bool refusable);
  void end_turn();

  const Post post_;
  // Tells posted ends of turns whether the store is still there.
  const std::shared_ptr<bool> alive_ = std::make_shared<bool>(true);
  std::deque<PendingWrite> turn_;
  bool turn_open_ = false;
  std::optional<Error> refusal_;

  std::uint32_t epoch_ = 0;
  std::map<JobId, StoredJob> jobs_;
  std::map<JobId, StoredJob> unwritten_;  // of batches, without a row of their own
  std::map<JobId, StoredBatch> batches_;
  std::map<std::pair<std::string, std::string>, std::pair<JobId, std::string>> keys_;
  std::map<JobId, std::map<std::uint32_t, RangeSet>> tasks_;
  std::map<std::uint64_t, StoredEvent> events_;
  std::map<std::string, StoredDataset> datasets_;
  std::map<std::string, Json> settings_;
  std::vector<StoredMetrics> metrics_;
  std::vector<StoredUsage> usage_;
  std::vector<StoredDecision> decisions_;
};

}  // namespace polysome
