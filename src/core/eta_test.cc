// The time left of a job, as a model of what is still to be done.
#include "core/eta.h"

#include <gmock/gmock.h>

#include <cmath>

#include "core/core_story.h"

namespace polysome::core {
namespace {

using story::final_stage;
using story::stage;
using story::TestCore;

TasksAhead tasks(std::uint64_t waiting, double mean, double deviation,
                 std::vector<double> rests = {}, std::uint32_t samples = 64) {
  return {waiting, std::move(rests), mean, deviation, samples};
}

double mean_of(const TasksAhead& ahead, int cores) { return level_time({{ahead}}, cores).mean; }

TEST(Eta, EvenTasksComeInWaves) {
  EXPECT_DOUBLE_EQ(mean_of(tasks(8, 1000, 0), 4), 2000);
  EXPECT_DOUBLE_EQ(mean_of(tasks(9, 1000, 0), 4), 3000);
  EXPECT_DOUBLE_EQ(mean_of(tasks(100'001, 1000, 0), 10), 10'001'000);
}

TEST(Eta, RunningTasksFreeTheirCoresWhenTheyEnd) {
  EXPECT_DOUBLE_EQ(mean_of(tasks(1, 1000, 0, {300, 700}), 2), 1300);
  EXPECT_DOUBLE_EQ(mean_of(tasks(0, 1000, 0, {300, 700}), 2), 700);
}

TEST(Eta, TheLastWaveOfUnevenTasksTakesLonger) {
  EXPECT_GT(mean_of(tasks(64, 1000, 500), 16), 4300);
  EXPECT_GT(level_time({{tasks(64, 1000, 500)}}, 16).variance, 0);
}

TEST(Eta, FewSamplesMakeItWiderAndMoreTasksRelativelySharper) {
  const auto width = [](const TasksAhead& t) {
    const LevelTime time = level_time({{t}}, 8);
    return std::sqrt(time.variance) / time.mean;
  };
  EXPECT_GT(width(tasks(800, 1000, 400, {}, 3)), 2 * width(tasks(800, 1000, 400)));
  EXPECT_GT(width(tasks(40, 1000, 400)), width(tasks(4000, 1000, 400)));
}

TEST(Eta, AGuessedStageIsWideAndAChangingRateToo) {
  WorkAhead work;
  work.cores = 4;
  work.levels = {{{tasks(100, 1000, 100)}}};
  const Eta known = estimate(work);
  work.drift = 0.4;
  const Eta changing = estimate(work);
  EXPECT_GT(changing.p90_seconds / changing.p50_seconds, known.p90_seconds / known.p50_seconds);
  work.drift = 0;
  work.levels = {{{tasks(100, 1000, 1000, {}, 0)}}};
  const Eta guessed = estimate(work);
  EXPECT_GT(guessed.p90_seconds / guessed.p50_seconds, 1.5);
  EXPECT_LT(known.p90_seconds / known.p50_seconds, 1.2);
}

TEST(Eta, AttemptsThatFailAreDoneAgain) {
  const LevelAhead level{{tasks(100, 1000, 100)}};
  EXPECT_GT(level_time(level, 4, 0.1).mean, 1.1 * level_time(level, 4).mean);
  EXPECT_GT(level_time(level, 4, 0.1).variance, level_time(level, 4).variance);
}

TEST(Eta, LaterLevelsComeOnTop) {
  WorkAhead work;
  work.cores = 4;
  work.levels = {{{tasks(40, 1000, 0)}}, {{tasks(1, 5000, 0)}}};
  EXPECT_NEAR(estimate(work).p50_seconds, 15, 0.2);
}

TEST(Eta, ATaskThatTellsHowFarItIsGoesBySelf) {
  EXPECT_DOUBLE_EQ(rest_ms(1000, 0.25, 10, 1), 3000);
  EXPECT_DOUBLE_EQ(rest_ms(400, 0, 1000, 100), 600);
}

TEST(Eta, TheRestOfATaskThatOutlivesTheOthersGrows) {
  double last = rest_ms(1000, 0, 1000, 200);
  for (double age = 2000; age < 20'000; age += 1000) {
    const double rest = rest_ms(age, 0, 1000, 200);
    EXPECT_GT(rest, last);
    last = rest;
  }
  // One that tells, and does not move any more, too.
  EXPECT_GT(rest_ms(20'000, 0.5, 1000, 200), rest_ms(10'000, 0.5, 1000, 200));
}

// ---- in the core ----

class EtaOfAJob : public testing::Test {
 protected:
  void run(std::uint32_t tasks, int workers = 2) {
    t.start_cluster(workers, 1);
    t.step(t.job('a'));
    Stage scan = stage("scan", tasks);
    scan.bytes = 1000ULL * tasks;
    t.plan('a', {scan, final_stage({"scan"})});
  }
  // Each worker's task takes a second.
  void second() {
    t.now += 1000;
    for (const auto& w : t.ready) t.step(WorkerHeard{w, 1, 1});
    const auto before = t.started;
    for (const auto& s : before)
      if (s.stage_name == "scan" && done_.insert(s.attempt).second) t.finish(s.attempt, 1);
  }
  TestCore t;
  std::set<AttemptId> done_;
};

TEST_F(EtaOfAJob, IsUnknownUntilItMeansSomething) {
  run(100);
  EXPECT_FALSE(t.view('a').eta_seconds);
  second();
  EXPECT_FALSE(t.view('a').eta_seconds);
  second();
  ASSERT_TRUE(t.view('a').eta_seconds);
  ASSERT_TRUE(t.view('a').eta_p90_seconds);
}

TEST_F(EtaOfAJob, IsWhatIsLeftByTheMeasuredRate) {
  run(100);
  for (int i = 0; i < 10; ++i) second();
  EXPECT_NEAR(t.view('a').eta_seconds.value(), 41, 3);
  EXPECT_GE(t.view('a').eta_p90_seconds.value(), t.view('a').eta_seconds.value());
  EXPECT_LT(t.view('a').eta_p90_seconds.value(), 55);
}

TEST_F(EtaOfAJob, GrowsOnAStallInsteadOfStandingStill) {
  run(40);
  for (int i = 0; i < 19; ++i) second();
  double last = t.view('a').eta_seconds.value();
  for (int i = 0; i < 10; ++i) {
    t.now += 5000;
    for (const auto& w : t.ready) t.step(WorkerHeard{w, 1, 1});
    const double eta = t.view('a').eta_seconds.value();
    EXPECT_GT(eta, last);
    last = eta;
  }
}

TEST_F(EtaOfAJob, OneTaskTellsByItsBytes) {
  t.start_cluster(1, 1);
  t.step(t.job('a'));
  Stage only = final_stage({}, "convert");
  only.bytes = 1000;
  t.plan('a', {only});
  t.step(TaskStarted{t.attempt('a', "convert")});
  t.now += 10'000;
  t.step(WorkerHeard{t.ready[0], 1, 1});
  EXPECT_FALSE(t.view('a').eta_seconds);
  t.step(TaskProgressed{t.attempt('a', "convert"), 200, 0});
  EXPECT_NEAR(t.view('a').eta_seconds.value(), 40, 12);
}

TEST_F(EtaOfAJob, IsUnknownWhileNothingRuns) {
  run(100);
  for (int i = 0; i < 10; ++i) second();
  t.step(ClusterStopped{true});
  EXPECT_FALSE(t.view('a').eta_seconds);
}

}  // namespace
}  // namespace polysome::core
