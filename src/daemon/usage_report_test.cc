#include "daemon/usage_report.h"

#include <gtest/gtest.h>

#include <random>

#include "daemon/active_job.h"
#include "daemon/fault_ledger.h"

namespace polysome {
namespace {

StoredUsage usage(const std::string& user, const std::string& operation, double cpu, double wait) {
  StoredUsage u;
  u.user = user;
  u.operation = operation;
  u.cpu_seconds = cpu;
  u.wait_seconds = wait;
  u.bytes_read = 10;
  u.completed = true;
  return u;
}

TEST(Quantile, IsTheSmallestValueThatSoManyDoNotExceed) {
  std::vector<double> values;
  for (int i = 1; i <= 100; ++i) values.push_back(101 - i);
  EXPECT_EQ(quantile(values, 0.95), 95);
  EXPECT_EQ(quantile(values, 0.5), 50);
  EXPECT_EQ(quantile({7}, 0.95), 7);
  EXPECT_EQ(quantile({}, 0.5), 0);
}

TEST(UsageReport, SumsByUserTheBusiestFirst) {
  UsageReport report(false);
  report.add(usage("ada", "noop", 1, 5));
  report.add(usage("bob", "noop", 9, 1));
  report.add(usage("ada", "sql", 2, 1));
  report.add(usage("ada", "sql", 3, 3));
  const Json rows = report.rows();
  ASSERT_EQ(rows.size(), 2u);
  EXPECT_EQ(rows[0]["user"], "bob");
  EXPECT_EQ(rows[1]["user"], "ada");
  EXPECT_EQ(rows[1]["jobs"], 3);
  EXPECT_EQ(rows[1]["cpu_seconds"], 6.0);
  EXPECT_EQ(rows[1]["bytes_read"], 30);
  EXPECT_EQ(rows[1]["wait_seconds_p50"], 3.0);
}

TEST(RunsLearned, TellsSizesApartAndRestsOnCompletedRuns) {
  RunsLearned learned;
  for (int i = 1; i <= 20; ++i) {
    StoredUsage u = usage("ada", "aggregate", i, 0);
    u.input_bytes = 3'000'000;
    u.peak_memory = static_cast<std::uint64_t>(i) * 10'000'000;
    u.seconds = i;
    learned.add(u);
    u.completed = false;
    u.peak_memory = 900'000'000'000;
    learned.add(u);
  }
  StoredUsage large = usage("ada", "aggregate", 1, 0);
  large.input_bytes = 5'000'000'000;
  large.peak_memory = 1'900'000'000;
  learned.add(large);
  const Json rows = learned.operations(1'000'000'000);
  ASSERT_EQ(rows.size(), 2u);
  EXPECT_EQ(rows[0]["runs"], 20);
  EXPECT_EQ(rows[0]["peak_memory_p95_bytes"], 190'000'000);
  EXPECT_EQ(rows[0]["seconds_p95"], 19.0);
  EXPECT_LE(rows[0]["input"]["from_bytes"], 3'000'000);
  EXPECT_GT(rows[0]["input"]["to_bytes"], 3'000'000);
  EXPECT_TRUE(rows[0]["advice"].is_null()) << "the default grant is enough";
  EXPECT_EQ(rows[1]["runs"], 1);
  EXPECT_GT(rows[1]["memory_per_worker_bytes"], 1'900'000'000);
  EXPECT_NE(rows[1]["advice"].get<std::string>().find("memory_per_worker"), std::string::npos);
}

TEST(RunsLearned, SizeClassesGrowByFour) {
  EXPECT_EQ(RunsLearned::size_class(0), 0);
  EXPECT_EQ(RunsLearned::size_class(999'999), 0);
  EXPECT_EQ(RunsLearned::size_class(1'000'000), 1);
  EXPECT_EQ(RunsLearned::size_class(3'999'999), 1);
  EXPECT_EQ(RunsLearned::size_class(4'000'000), 2);
}

TEST(ScalingAdvice, FollowsQueueAndUtilisation) {
  Load load;
  load.pending_jobs = 2;
  EXPECT_NE(scaling_advice(load)["advice"].get<std::string>().find("cluster/start"),
            std::string::npos);
  load.running = true;
  load.n_workers = 2;
  load.threads_per_worker = 2;
  load.total_cores = load.used_cores = 4;
  load.active_tasks = 4;
  load.queued_tasks = 100;
  EXPECT_EQ(scaling_advice(load)["suggested_n_workers"], 4) << "at most twice as many in one step";
  load.queued_tasks = 1;
  EXPECT_EQ(scaling_advice(load)["suggested_n_workers"], 3);
  load.n_workers = 32;
  EXPECT_EQ(scaling_advice(load)["suggested_n_workers"], 32);
  load = {};
  load.running = true;
  load.n_workers = 8;
  load.threads_per_worker = 2;
  load.total_cores = 16;
  load.recent_utilisation = 0.1;
  EXPECT_EQ(scaling_advice(load)["suggested_n_workers"], 2);
  load.recent_utilisation = 0.8;
  EXPECT_EQ(scaling_advice(load)["suggested_n_workers"], 8);
}

TEST(FaultLedger, ComesBackWithWhatTheCoreCountedBefore) {
  FaultLedger first;
  first.restore(Json());
  first.attempt_started("noop", "w1");
  first.attempt_started("noop", "w2");
  first.attempt_failed(FaultClass::kWorkerLost, "noop", "w2");
  core::FaultCounts counts;
  counts.retries = 3;
  EXPECT_TRUE(first.changed(counts));
  const Json stored = first.to_store(counts);
  EXPECT_FALSE(first.changed(counts));

  FaultLedger second;
  second.restore(stored);
  EXPECT_FALSE(second.changed({}));
  counts.retries = 1;
  EXPECT_TRUE(second.changed(counts));
  second.attempt_failed(FaultClass::kUser, "sql", "w1");
  const Json told = second.statistics(counts);
  EXPECT_EQ(told["attempts"], 2);
  EXPECT_EQ(told["failed"], 2);
  EXPECT_EQ(told["retries"], 4);
  EXPECT_EQ(told["by_class"]["worker_lost"], 1);
  EXPECT_EQ(told["by_class"]["user"], 1);
  EXPECT_EQ(told["by_class"]["io"], 0);
  ASSERT_EQ(told["by_operation"].size(), 2u);
  EXPECT_EQ(told["by_operation"][1]["operation"], "sql");
  EXPECT_EQ(told["by_worker"][1]["by_class"]["worker_lost"], 1);
}

TEST(JobIds, SortByTheOrderTheyWereMadeIn) {
  std::mt19937_64 random(1);
  JobIds ids;
  JobId last;
  const auto follows = [&](WallTime at, bool close) {
    const JobId id = ids.next(at, close, random);
    EXPECT_GT(id, last);
    EXPECT_EQ(id.text()[14], '7');
    last = id;
  };
  for (int i = 0; i < 10'000; ++i) follows(1000, false);  // more than fit in one millisecond
  for (int i = 0; i < 300'000; ++i) follows(1000, true);
  follows(1000, false);
  follows(900, false);  // the clock went back
  follows(5000, true);
  follows(5000, false);
}

}  // namespace
}  // namespace polysome
