// What every store promises, run on the SQLite one and on the fake.
#include "store/store.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <memory>
#include <random>

#include "store/loop_for_tests.h"
#include "store/memory_store.h"
#include "store/sqlite_store.h"

namespace polysome {
namespace {

using testing::ElementsAre;
using testing::IsEmpty;

enum class Kind { kSqlite, kMemory };

class AnyStore : public testing::TestWithParam<Kind> {
 protected:
  void SetUp() override {
    if (GetParam() == Kind::kMemory) {
      store_ = std::make_unique<MemoryStore>(loop_.post());
      return;
    }
    auto opened = open_sqlite_store(folder_.path(), loop_.post());
    ASSERT_TRUE(opened) << opened.error().message;
    store_ = std::move(*opened);
  }
  void insert(const StoredJob& job) { store_->insert_job(job, "", "", {}); }
  void settle() { polysome::settle(loop_, *store_); }
  std::vector<std::uint64_t> listed(const JobFilter& filter) {
    std::vector<std::uint64_t> sequences;
    for (const auto& job : store_->list_jobs(filter).first) sequences.push_back(job.sequence);
    return sequences;
  }
  std::vector<std::string> ranges(JobId job) {
    std::vector<std::string> text;
    for (const auto& r : store_->finished_tasks(job))
      text.push_back(std::to_string(r.stage) + ":" + std::to_string(r.first) + "-" +
                     std::to_string(r.last));
    return text;
  }

  FolderForTests folder_;
  LoopForTests loop_;
  std::unique_ptr<Store> store_;
};

INSTANTIATE_TEST_SUITE_P(Stores, AnyStore, testing::Values(Kind::kSqlite, Kind::kMemory),
                         [](const auto& param) {
                           return param.param == Kind::kSqlite ? "Sqlite" : "Memory";
                         });

TEST_P(AnyStore, EpochsOnlyGrow) {
  EXPECT_EQ(store_->next_epoch(), 1u);
  EXPECT_EQ(store_->next_epoch(), 2u);
}

TEST_P(AnyStore, GivesBackTheJobItWasGiven) {
  auto job = job_number(3);
  job.spec.name = "liver";
  job.spec.tags = {"rna", "pilot"};
  job.spec.priority = Priority::kHigh;
  job.spec.limits.n_workers = 2;
  job.spec.limits.memory_per_worker = 2'000'000'000;
  job.state.warnings.push_back({{"code", "overcommitted"}});
  bool stored = false;
  store_->insert_job(job, "", "", [&](const Status& status) { stored = status.has_value(); });
  ASSERT_TRUE(loop_.run_until([&] { return stored; }));
  const auto found = store_->job(job.spec.id);
  ASSERT_TRUE(found);
  EXPECT_EQ(found->spec.to_json(), job.spec.to_json());
  EXPECT_EQ(found->state.to_json(), job.state.to_json());
  EXPECT_EQ(found->sequence, 3u);
  EXPECT_EQ(store_->count_jobs(), 1u);
  EXPECT_EQ(store_->last_sequence(), 3u);
  EXPECT_FALSE(store_->job(job_number(4).spec.id));
}

TEST_P(AnyStore, KeepsTheNewestState) {
  auto job = job_number(1);
  insert(job);
  job.state.status = JobStatus::kRunning;
  job.state.started_at = 1'767'225'600'500;
  store_->update_job(job.spec.id, job.state, {});
  job.state.status = JobStatus::kCompleted;
  job.state.phase = Phase::kDone;
  job.state.progress = 100;
  job.state.completed_at = 1'767'225'601'000;
  job.state.result = {{"value", 4.02}, {"rows", 1}};
  bool ended = false;
  store_->update_job(job.spec.id, job.state, [&](const Status& s) { ended = s.has_value(); });
  ASSERT_TRUE(loop_.run_until([&] { return ended; }));
  EXPECT_EQ(store_->job(job.spec.id)->state.to_json(), job.state.to_json());

  JobFilter short_view;
  short_view.full = false;
  EXPECT_TRUE(store_->list_jobs(short_view).first.at(0).state.result.is_null());
  EXPECT_EQ(store_->list_jobs({}).first.at(0).state.result, job.state.result);
}

TEST_P(AnyStore, DoneComesInTheOrderOfTheCalls) {
  std::vector<int> order;
  for (int i = 0; i < 50; ++i)
    store_->put_setting("n", i, [&order, i](const Status&) { order.push_back(i); });
  ASSERT_TRUE(loop_.run_until([&] { return order.size() == 50; }));
  EXPECT_TRUE(std::ranges::is_sorted(order));
  EXPECT_EQ(store_->setting("n"), Json(49));
}

TEST_P(AnyStore, ATakenJobIdIsAConflict) {
  insert(job_number(1));
  std::optional<Code> code;
  store_->insert_job(job_number(1), "", "", [&](const Status& s) { code = s.error().code; });
  ASSERT_TRUE(loop_.run_until([&] { return code.has_value(); }));
  EXPECT_EQ(code, Code::kConflict);
  EXPECT_EQ(store_->count_jobs(), 1u);
}

TEST_P(AnyStore, AnIdempotencyKeyIsOfOneUser) {
  auto job = job_number(1);
  store_->insert_job(job, "run-7", "hash-a", {});
  auto of_other_user = job_number(2);
  of_other_user.spec.user = "grace";
  store_->insert_job(of_other_user, "run-7", "hash-b", {});
  settle();
  EXPECT_EQ(store_->find_key("ada", "run-7"), std::pair(job.spec.id, std::string("hash-a")));
  EXPECT_EQ(store_->find_key("grace", "run-7"),
            std::pair(of_other_user.spec.id, std::string("hash-b")));
  EXPECT_EQ(store_->find_key("ada", "run-8"), std::nullopt);
}

TEST_P(AnyStore, TheSameKeyTwiceStoresOneJobAndNothingOfTheOther) {
  store_->insert_job(job_number(1), "k", "h", {});
  std::optional<Code> code;
  store_->insert_job(job_number(2), "k", "h", [&](const Status& s) { code = s.error().code; });
  store_->append_events({event_number(1)}, {});
  settle();
  EXPECT_EQ(code, Code::kConflict);
  EXPECT_FALSE(store_->job(job_number(2).spec.id));
  EXPECT_EQ(store_->count_jobs(), 1u);
  EXPECT_EQ(store_->last_event_id(), 1u);
}

TEST_P(AnyStore, UnfinishedJobsComeInTheOrderOfSubmission) {
  for (const std::uint64_t n : {5, 2, 9, 4}) {
    auto job = job_number(n);
    if (n == 9) job.state.status = JobStatus::kCancelled;
    if (n == 4) job.state.status = JobStatus::kRunning;
    insert(job);
  }
  settle();
  std::vector<std::uint64_t> sequences;
  for (const auto& job : store_->unfinished_jobs()) sequences.push_back(job.sequence);
  EXPECT_THAT(sequences, ElementsAre(2, 4, 5));
}

TEST_P(AnyStore, ListsNewestFirstAPageAtATime) {
  for (std::uint64_t n = 1; n <= 5; ++n) insert(job_number(n));
  settle();
  JobFilter filter;
  filter.limit = 2;
  EXPECT_THAT(listed(filter), ElementsAre(5, 4));
  EXPECT_EQ(store_->list_jobs(filter).second, 5u);
  filter.before = job_number(4).spec.id;
  EXPECT_THAT(listed(filter), ElementsAre(3, 2));
  EXPECT_EQ(store_->list_jobs(filter).second, 5u);
  filter.before = job_number(2).spec.id;
  EXPECT_THAT(listed(filter), ElementsAre(1));
}

// Every combination of filters on a random population, against a plain look at each job.
TEST_P(AnyStore, EveryCombinationOfFiltersFindsExactlyTheJobsThatMatch) {
  std::mt19937 random(11);
  const auto pick = [&](std::initializer_list<const char*> of) {
    return std::string(*(of.begin() + random() % of.size()));
  };
  std::vector<StoredJob> jobs;
  for (std::uint64_t n = 1; n <= 120; ++n) {
    auto job = job_number(n);
    job.spec.user = pick({"ada", "grace"});
    job.spec.operation = pick({"aggregate", "filter"});
    job.spec.name = pick({"", "liver"});
    job.spec.priority = static_cast<Priority>(1 + random() % 2);
    job.spec.dataset_ids = {pick({"a", "b"}), pick({"b", "c"})};
    if (random() % 2 == 0) job.spec.tags = {"pilot", pick({"rna", "dna"})};
    job.state.status = random() % 2 == 0 ? JobStatus::kPending : JobStatus::kCompleted;
    insert(job);
    jobs.push_back(job);
  }
  settle();
  for (unsigned mask = 0; mask < 512; ++mask) {
    JobFilter f;
    if (mask & 1) f.status = JobStatus::kCompleted;
    if (mask & 2) f.priority = Priority::kNormal;
    if (mask & 4) f.operation = "filter";
    if (mask & 8) f.user = "grace";
    if (mask & 16) f.name = "liver";
    if (mask & 32) f.tag = "rna";
    if (mask & 64) f.dataset_id = "b";
    if (mask & 128) f.since = jobs[20].spec.created_at;
    if (mask & 256) f.until = jobs[100].spec.created_at;
    std::vector<std::uint64_t> expected;
    for (auto it = jobs.rbegin(); it != jobs.rend(); ++it) {
      const auto& s = it->spec;
      if ((!f.status || it->state.status == *f.status) &&
          (!f.priority || s.priority == *f.priority) &&
          (f.operation.empty() || s.operation == f.operation) &&
          (f.user.empty() || s.user == f.user) && (f.name.empty() || s.name == f.name) &&
          (f.tag.empty() || std::ranges::count(s.tags, f.tag) > 0) &&
          (f.dataset_id.empty() || std::ranges::count(s.dataset_ids, f.dataset_id) > 0) &&
          (!f.since || s.created_at >= *f.since) && (!f.until || s.created_at < *f.until))
        expected.push_back(it->sequence);
    }
    f.limit = 3;
    EXPECT_EQ(store_->list_jobs(f).second, expected.size()) << "mask " << mask;
    std::vector<std::uint64_t> paged;
    for (;;) {
      const auto page = store_->list_jobs(f).first;
      for (const auto& job : page) paged.push_back(job.sequence);
      if (page.size() < f.limit) break;
      f.before = page.back().spec.id;
    }
    ASSERT_EQ(paged, expected) << "mask " << mask;
  }
}

TEST_P(AnyStore, FinishedTasksCollapseToRanges) {
  const auto job = job_number(1).spec.id;
  for (const std::uint32_t i : {4, 0, 1, 3, 9}) store_->record_tasks(job, {{1, i, i}});
  store_->record_tasks(job, {{0, 0, 0}, {1, 2, 2}});
  settle();
  EXPECT_THAT(ranges(job), ElementsAre("0:0-0", "1:0-4", "1:9-9"));
  store_->forget_task(job, 1, 2);
  settle();
  EXPECT_THAT(ranges(job), ElementsAre("0:0-0", "1:0-1", "1:3-4", "1:9-9"));
  store_->drop_tasks(job);
  settle();
  EXPECT_THAT(ranges(job), IsEmpty());
}

TEST_P(AnyStore, RecordsAfterADropInTheSameCommitStay) {
  const auto job = job_number(1).spec.id;
  store_->record_tasks(job, {{0, 0, 5}});
  store_->drop_tasks(job);
  store_->record_tasks(job, {{0, 7, 8}});
  settle();
  EXPECT_THAT(ranges(job), ElementsAre("0:7-8"));
}

TEST_P(AnyStore, EventsComeBackInOrderOfAllOrOfOneJob) {
  const auto a = job_number(1).spec.id, b = job_number(2).spec.id;
  store_->append_events({event_number(1, a, 1), event_number(2, b, 1), event_number(3)}, {});
  store_->append_events({event_number(4, a, 2)}, {});
  settle();
  const auto ids = [&](std::uint64_t after, std::optional<JobId> job, std::size_t limit) {
    std::vector<std::uint64_t> found;
    for (const auto& e : store_->events(after, job, limit)) found.push_back(e.id);
    return found;
  };
  EXPECT_THAT(ids(0, {}, 10), ElementsAre(1, 2, 3, 4));
  EXPECT_THAT(ids(1, {}, 2), ElementsAre(2, 3));
  EXPECT_THAT(ids(0, a, 10), ElementsAre(1, 4));
  EXPECT_THAT(ids(1, a, 10), ElementsAre(4));
  EXPECT_THAT(ids(0, job_number(3).spec.id, 10), IsEmpty());
  EXPECT_EQ(store_->last_event_id(), 4u);
  EXPECT_EQ(store_->first_event_id(), 1u);
  EXPECT_EQ(store_->last_event_seq(a), 2u);
  EXPECT_EQ(store_->last_event_seq(job_number(3).spec.id), 0u);
  EXPECT_EQ(store_->events(3, {}, 1).at(0).envelope(), event_number(4, a, 2).envelope());
}

TEST_P(AnyStore, AnEmptyJournalHasNoFirstAndNoLast) {
  EXPECT_EQ(store_->first_event_id(), 0u);
  EXPECT_EQ(store_->last_event_id(), 0u);
  EXPECT_EQ(store_->last_sequence(), 0u);
  EXPECT_FALSE(store_->newest_metrics());
}

TEST_P(AnyStore, RemembersDatasetsAndSettings) {
  auto set = dataset_named("counts", {{"rows", 3}}, 17);
  set.ref.source = "/data/counts.tsv";
  store_->put_dataset(set, {});
  store_->put_dataset(dataset_named("other", Json::object(), 18), {});
  set.record = {{"rows", 4}};
  store_->put_dataset(set, {});
  store_->put_setting("cluster", {{"n_workers", 4}}, {});
  settle();
  ASSERT_EQ(store_->datasets().size(), 2u);
  EXPECT_EQ(store_->datasets()[0].ref.source, "/data/counts.tsv");
  EXPECT_EQ(store_->datasets()[0].record, Json({{"rows", 4}}));
  EXPECT_EQ(store_->datasets()[0].created_at, 17);
  EXPECT_EQ(store_->setting("cluster"), Json({{"n_workers", 4}}));
  EXPECT_EQ(store_->setting("limits"), std::nullopt);
  store_->remove_dataset("counts", {});
  settle();
  EXPECT_EQ(store_->datasets().size(), 1u);
}

TEST_P(AnyStore, MetricsComeOldestFirstFromATimeOn) {
  for (const WallTime t : {100, 200, 300})
    store_->append_metrics(t, {{"n_workers", 4}, {"used_cores", t}});
  settle();
  const auto found = store_->metrics(150, 10);
  ASSERT_EQ(found.size(), 2u);
  EXPECT_EQ(found[0].timestamp, 200);
  EXPECT_EQ(found[1].fields["used_cores"], 300);
  EXPECT_EQ(store_->metrics(0, 1).at(0).timestamp, 100);
  EXPECT_EQ(store_->newest_metrics()->timestamp, 300);
}

TEST_P(AnyStore, AnEventIdTwiceIsLeftOutAloneAndSaid) {
  std::optional<Code> code;
  store_->append_events({event_number(1)}, {});
  store_->append_events({event_number(1)}, [&](const Status& s) { code = s.error().code; });
  store_->append_events({event_number(2)}, {});
  settle();
  EXPECT_EQ(code, Code::kConflict);
  EXPECT_EQ(store_->last_event_id(), 2u);
  EXPECT_FALSE(store_->trouble());
}

}  // namespace
}  // namespace polysome
