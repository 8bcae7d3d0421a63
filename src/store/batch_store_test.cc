// What every store promises of jobs handed in together, and of what the scheduler learns.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <memory>

#include "store/loop_for_tests.h"
#include "store/memory_store.h"
#include "store/sqlite_store.h"

namespace polysome {
namespace {

using testing::ElementsAre;

constexpr WallTime kNow = 1'800'000'000'000;

JobId id_of(std::uint32_t n) {
  return JobId::make(kNow, {0, 0, static_cast<std::uint8_t>(n >> 16),
                            static_cast<std::uint8_t>(n >> 8), static_cast<std::uint8_t>(n)});
}

struct Batch {
  StoredBatch record;
  std::vector<StoredJob> jobs;
};

Batch batch_of(std::size_t n, std::uint64_t first_sequence) {
  Batch out;
  out.record = {id_of(0xFFFFFF), "ada", n, id_of(1), id_of(static_cast<std::uint32_t>(n)), kNow};
  for (std::size_t i = 0; i < n; ++i) {
    StoredJob job;
    job.spec.id = id_of(static_cast<std::uint32_t>(i + 1));
    job.spec.operation = "noop";
    job.spec.user = "ada";
    job.spec.parameters = {{"tasks", i}};
    job.spec.batch = out.record.id;
    job.spec.created_at = kNow;
    if (i == 1) {
      job.spec.held = true;
      job.state.phase = Phase::kHeld;
    }
    job.sequence = first_sequence + i;
    out.jobs.push_back(std::move(job));
  }
  return out;
}

enum class Kind { kSqlite, kMemory };

class AnyBatchStore : public testing::TestWithParam<Kind> {
 protected:
  void SetUp() override { open(); }
  void open() {
    if (GetParam() == Kind::kMemory) {
      if (!store_) store_ = std::make_unique<MemoryStore>(loop_.post());
      return;
    }
    store_.reset();
    auto opened = open_sqlite_store(folder_.path(), loop_.post());
    ASSERT_TRUE(opened) << opened.error().message;
    store_ = std::move(*opened);
  }
  Status insert(const Batch& b, const std::string& key = "", const std::string& hash = "") {
    std::optional<Status> status;
    store_->insert_batch(b.record, b.jobs, key, hash, [&status](const Status& s) { status = s; });
    EXPECT_TRUE(loop_.run_until([&] { return status.has_value(); }));
    return *status;
  }
  std::vector<std::uint64_t> unfinished() {
    std::vector<std::uint64_t> out;
    for (const auto& job : store_->unfinished_jobs()) out.push_back(job.sequence);
    return out;
  }

  FolderForTests folder_;
  LoopForTests loop_;
  std::unique_ptr<Store> store_;
};

INSTANTIATE_TEST_SUITE_P(Stores, AnyBatchStore, testing::Values(Kind::kSqlite, Kind::kMemory),
                         [](const auto& param) {
                           return param.param == Kind::kSqlite ? "Sqlite" : "Memory";
                         });

TEST_P(AnyBatchStore, GivesABatchBackAfterAReopen) {
  const Batch b = batch_of(2500, 11);
  ASSERT_TRUE(insert(b));
  open();
  EXPECT_EQ(store_->last_sequence(), 2510u);
  const auto jobs = store_->unfinished_jobs();
  ASSERT_EQ(jobs.size(), 2500u);
  for (std::size_t i = 0; i < jobs.size(); ++i) {
    EXPECT_EQ(jobs[i].spec.to_json(), b.jobs[i].spec.to_json());
    EXPECT_EQ(jobs[i].sequence, b.jobs[i].sequence);
    EXPECT_FALSE(jobs[i].written);
  }
  EXPECT_EQ(jobs[1].state.phase, Phase::kHeld);
  const auto record = store_->batch(b.record.id);
  ASSERT_TRUE(record);
  EXPECT_EQ(record->n_jobs, 2500u);
  EXPECT_EQ(record->first, b.record.first);
  EXPECT_EQ(record->last, b.record.last);
  EXPECT_FALSE(store_->batch(id_of(5)));
}

TEST_P(AnyBatchStore, AJobHasARowFromItsFirstChangeOn) {
  const Batch b = batch_of(3, 1);
  ASSERT_TRUE(insert(b));
  EXPECT_FALSE(store_->job(b.jobs[1].spec.id));
  StoredJob changed = b.jobs[1];
  changed.state.status = JobStatus::kRunning;
  changed.state.phase = Phase::kRunning;
  store_->put_job(changed, {});
  settle(loop_, *store_);
  ASSERT_TRUE(store_->job(changed.spec.id));
  EXPECT_EQ(store_->job(changed.spec.id)->state.status, JobStatus::kRunning);
  open();
  EXPECT_THAT(unfinished(), ElementsAre(1, 2, 3));
  EXPECT_TRUE(store_->unfinished_jobs()[1].written);
  JobFilter filter;
  filter.batch = b.record.id;
  EXPECT_EQ(store_->list_jobs(filter).second, 1u);
  for (const auto& job : b.jobs) {
    StoredJob end = job;
    end.state.status = JobStatus::kCompleted;
    store_->put_job(end, {});
  }
  settle(loop_, *store_);
  EXPECT_EQ(store_->list_jobs(filter).second, 3u);
  open();
  EXPECT_TRUE(unfinished().empty()) << "an ended job must not come back from the array";
}

TEST_P(AnyBatchStore, AKeyFindsItsBatchAndIsTakenOnce) {
  const Batch b = batch_of(2, 1);
  ASSERT_TRUE(insert(b, "k", "h"));
  const auto known = store_->find_key("ada", "k");
  ASSERT_TRUE(known);
  EXPECT_EQ(known->first, b.record.id);
  Batch again = batch_of(2, 3);
  again.record.id = id_of(0xFFFFFE);
  const auto status = insert(again, "k", "h");
  ASSERT_FALSE(status);
  EXPECT_EQ(status.error().code, Code::kConflict);
  EXPECT_FALSE(store_->batch(again.record.id));
  EXPECT_EQ(unfinished().size(), 2u) << "nothing of a batch that was refused";
}

TEST_P(AnyBatchStore, PutChangesLabelsNameAndPriority) {
  StoredJob job = batch_of(1, 1).jobs.front();
  job.spec.batch.reset();
  job.spec.tags = {"old"};
  store_->insert_job(job, "", "", {});
  job.spec.tags = {"new"};
  job.spec.name = "renamed";
  job.spec.priority = Priority::kCritical;
  job.spec.keep = true;
  store_->put_job(job, {});
  settle(loop_, *store_);
  JobFilter filter;
  filter.tag = "old";
  EXPECT_EQ(store_->list_jobs(filter).second, 0u);
  filter.tag = "new";
  filter.name = "renamed";
  filter.priority = Priority::kCritical;
  ASSERT_EQ(store_->list_jobs(filter).second, 1u);
  EXPECT_TRUE(store_->job(job.spec.id)->spec.keep);
}

TEST_P(AnyBatchStore, UsageComesFromATimeOn) {
  for (std::uint32_t i = 0; i < 3; ++i) {
    StoredUsage u;
    u.job = id_of(i);
    u.ended_at = kNow + i * 1000;
    u.user = "ada";
    u.operation = "noop";
    u.cpu_seconds = i + 0.5;
    u.peak_memory = 100 + i;
    u.completed = i != 1;
    store_->record_usage(u);
  }
  settle(loop_, *store_);
  open();
  std::vector<std::uint64_t> peaks;
  store_->each_usage(kNow + 1000, [&](const StoredUsage& u) {
    peaks.push_back(u.peak_memory);
    EXPECT_EQ(u.completed, u.peak_memory != 101);
    EXPECT_EQ(u.cpu_seconds, static_cast<double>(u.peak_memory) - 100 + 0.5);
  });
  EXPECT_THAT(peaks, ElementsAre(101, 102));
}

TEST_P(AnyBatchStore, DecisionsComeNewestFirstInPages) {
  for (int i = 1; i <= 5; ++i)
    store_->append_decision({0, kNow + i, i, i + 1, "reason " + std::to_string(i), {{"n", i}}});
  settle(loop_, *store_);
  open();
  const auto page = store_->decisions(std::nullopt, 2);
  ASSERT_EQ(page.size(), 2u);
  EXPECT_EQ(page[0].reason, "reason 5");
  EXPECT_EQ(page[1].numbers["n"], 4);
  const auto next = store_->decisions(page[1].id, 10);
  ASSERT_EQ(next.size(), 3u);
  EXPECT_EQ(next[0].from, 3);
}

TEST(JobSpec, WhatABatchSaysOfAJobIsEveryMemberThatDiffers) {
  JobSpec base;
  base.id = id_of(1);
  base.created_at = kNow;
  JobSpec other;
  other.id = id_of(2);
  other.operation = "aggregate";
  other.dataset_ids = {"d"};
  other.datasets = {{"d", "/d.csv", {}, "csv", {{"header", true}}}};
  other.parameters = {{"column", "x"}};
  other.output = {{"path", "o.csv"}};
  other.priority = Priority::kCritical;
  other.limits.max_cores = 3;
  other.partition_size = 7;
  other.partition_size_given = true;
  other.type = "table";
  other.user = "ada";
  other.name = "n";
  other.tags = {"t"};
  other.depends_on = {id_of(9)};
  other.on_bad_value = "null";
  other.max_bad_values = 5;
  other.held = other.keep = true;
  other.batch = id_of(8);
  other.retry_of = id_of(7);
  other.created_at = kNow + 1;
  const Json from = base.to_json();
  const Json to = other.to_json();
  for (const auto& [key, value] : to.items())
    EXPECT_TRUE(!from.contains(key) || from[key] != value)
        << key << " must differ in this test, so that changes_from is tried on it";
  Json told = from;
  told.update(other.changes_from(base));
  EXPECT_EQ(nlohmann::json(told), nlohmann::json(to));
}

}  // namespace
}  // namespace polysome
