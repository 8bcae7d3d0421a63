#include <gtest/gtest.h>

#include <random>

#include "base/bytes.h"
#include "base/clock.h"
#include "base/nearest.h"
#include "model/frames.h"
#include "model/ids.h"
#include "model/job.h"
#include "model/plan.h"
#include "model/task.h"

namespace polysome {
namespace {

TEST(JobId, SortsByTimeAndReadsBackItsText) {
  const JobId a =
      JobId::make(1'700'000'000'000, {255, 255, 255, 255, 255, 255, 255, 255, 255, 255});
  const JobId b = JobId::make(1'700'000'000'001, {});
  EXPECT_LT(a, b);
  EXPECT_LT(a.text(), b.text());
  EXPECT_EQ(JobId::parse(a.text()), a);
  EXPECT_EQ(a.text()[14], '7');
  EXPECT_FALSE(JobId::parse("not-an-id"));
  EXPECT_FALSE(JobId::parse(a.text() + "0"));
}

TEST(AttemptId, ReadsBackItsText) {
  EXPECT_EQ(AttemptId::parse("3-17"), (AttemptId{3, 17}));
  EXPECT_FALSE(AttemptId::parse("3-"));
  EXPECT_FALSE(AttemptId::parse("3"));
}

TEST(Bytes, ReadsSizesAsDaskDoes) {
  EXPECT_EQ(parse_bytes("2GB"), 2'000'000'000u);
  EXPECT_EQ(parse_bytes("512MiB"), 536'870'912u);
  EXPECT_EQ(parse_bytes("1.5 kB"), 1500u);
  EXPECT_EQ(parse_bytes("7"), 7u);
  for (const char* bad : {"", "GB", "-1GB", "2XB", "1e400", "nan"})
    EXPECT_FALSE(parse_bytes(bad)) << bad;
}

TEST(Bytes, WritesThreeDigitsAtMost) {
  EXPECT_EQ(format_bytes(2'000'000'000), "2GB");
  EXPECT_EQ(format_bytes(1'234'567), "1.23MB");
  EXPECT_EQ(format_bytes(999), "999B");
  EXPECT_EQ(format_bytes(999'999), "1MB");
}

TEST(Nearest, FindsSlipsAndNothingFarAway) {
  const std::vector<std::string> names{"expression", "sample", "gene"};
  EXPECT_EQ(nearest("expresion", names), "expression");
  EXPECT_EQ(nearest("Gene", names), "gene");
  EXPECT_EQ(nearest("smaple", names), "sample");
  EXPECT_FALSE(nearest("zzzzzz", names));
}

TEST(Clock, TimesReadBack) {
  EXPECT_EQ(format_time(1'700'000'000'123), "2023-11-14T22:13:20.123Z");
  EXPECT_EQ(parse_time("2023-11-14T22:13:20.123Z"), 1'700'000'000'123);
  EXPECT_FALSE(parse_time("yesterday"));
}

TEST(JobStatus, FinalStatesNeverChange) {
  using enum JobStatus;
  for (const auto from : {kCompleted, kFailed, kCancelled})
    for (const auto to : {kPending, kRunning, kCompleted, kFailed, kCancelled})
      EXPECT_FALSE(may_change(from, to));
  EXPECT_TRUE(may_change(kPending, kRunning));
  EXPECT_TRUE(may_change(kRunning, kPending));
  EXPECT_FALSE(may_change(kPending, kCompleted));
}

TEST(JobSpec, ReadsBackWhatItWrote) {
  JobSpec spec;
  spec.id = JobId::make(5, {1, 2, 3});
  spec.operation = "aggregate";
  spec.dataset_ids = {"a", "b"};
  spec.datasets = {{"a", "/data/a.csv", {}, "csv", {{"header", true}}},
                   {"b", "", {"/x", "/y"}, "", Json::object()}};
  spec.parameters = {{"column", "x"}};
  spec.priority = Priority::kHigh;
  spec.limits.max_memory = 4'000'000'000;
  spec.depends_on = {JobId::make(4, {})};
  spec.created_at = 1'700'000'000'123;
  const auto back = JobSpec::from_json(spec.to_json());
  ASSERT_TRUE(back);
  EXPECT_EQ(dump(back->to_json()), dump(spec.to_json()));
  EXPECT_EQ(back->datasets[1].files, (std::vector<std::string>{"/x", "/y"}));
}

TEST(JobState, ReadsBackWhatItWrote) {
  JobState state;
  state.status = JobStatus::kFailed;
  state.phase = Phase::kDone;
  state.progress = 59.9;
  state.stages = {{"scan", 10, 6, 100, 60}};
  state.attempts = {{"scan/7", 2, "w1", "internal", "broke", 1'700'000'000'000}};
  state.error = problem_json(Error(Code::kUserData, "bad value", "repair it"));
  const auto back = JobState::from_json(state.to_json());
  ASSERT_TRUE(back);
  EXPECT_EQ(dump(back->to_json()), dump(state.to_json()));
}

TEST(Problem, ReadsBackCodeHintAndPlaces) {
  Error e(Code::kUserData, "what", "hint");
  e.errors.push_back({"", "not a number", "counts.tsv", 17, "S1", "1.2.3"});
  const Error back = error_from_problem(problem_json(e));
  EXPECT_EQ(back.code, Code::kUserData);
  EXPECT_EQ(back.hint, "hint");
  EXPECT_EQ(back.errors.at(0).line, 17u);
  EXPECT_EQ(back.errors.at(0).value, "1.2.3");
}

TEST(Fragment, RefusesBadStages) {
  const auto with = [](Json stage) {
    return Fragment::from_json({{"stages", Json::array({std::move(stage)})}}, "f.json");
  };
  EXPECT_TRUE(with({{"name", "scan"}, {"kind", "map"}, {"tasks", 3}}));
  EXPECT_FALSE(with({{"name", "../scan"}, {"kind", "map"}, {"tasks", 3}}));
  EXPECT_FALSE(with({{"name", "scan"}, {"kind", "mop"}, {"tasks", 3}}));
  EXPECT_FALSE(with({{"name", "scan"}, {"kind", "map"}, {"tasks", 0}}));
}

TEST(TaskResult, ReadsBackWhatItWrote) {
  TaskResult r;
  r.attempt = {3, 17};
  r.rows = 5;
  r.cpu_seconds = 0.25;
  r.ends_inside_if_inside = true;
  r.payload = {{"value", 4.5}};
  const auto back = TaskResult::from_json(r.to_json());
  ASSERT_TRUE(back);
  EXPECT_EQ(dump(back->to_json()), dump(r.to_json()));
}

TEST(Frames, ArriveWholeHoweverTheyAreCut) {
  std::string wire;
  append_frame(&wire, FrameKind::kStart, 3, "{\"a\":1}");
  append_frame(&wire, FrameKind::kHealth, kNoSlot, "");
  append_frame(&wire, FrameKind::kReply, 65534, std::string(kMaxFrameBytes, 'x'));
  std::mt19937 random(7);
  for (int round = 0; round < 50; ++round) {
    FrameReader reader;
    std::vector<Frame> got;
    for (std::size_t at = 0; at < wire.size();) {
      const std::size_t n =
          std::min<std::size_t>(wire.size() - at, 1 + random() % (round < 5 ? 9000 : 300'000));
      reader.feed(std::string_view(wire).substr(at, n));
      at += n;
      for (;;) {
        auto frame = reader.next();
        ASSERT_TRUE(frame);
        if (!*frame) break;
        got.push_back(std::move(**frame));
      }
    }
    ASSERT_EQ(got.size(), 3u);
    EXPECT_EQ(got[0].slot, 3);
    EXPECT_EQ(got[0].payload, "{\"a\":1}");
    EXPECT_EQ(got[1].kind, FrameKind::kHealth);
    EXPECT_EQ(got[2].payload.size(), kMaxFrameBytes);
  }
}

TEST(Frames, HostileHeadersAreErrors) {
  for (const std::string& bad :
       {std::string("\xff\xff\xff\xff\x01\x50\0\0", 8), std::string("\x01\0\0\0\x63\x50\0\0", 8),
        std::string("\x01\0\0\0\x01\x51\0\0", 8)}) {
    FrameReader reader;
    reader.feed(bad);
    EXPECT_FALSE(reader.next());
  }
}

}  // namespace
}  // namespace polysome
