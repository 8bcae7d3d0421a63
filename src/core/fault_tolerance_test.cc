#include "core/fault_tolerance.h"

#include <gtest/gtest.h>

namespace polysome::core {
namespace {

Fault fault_of(Code code) {
  Fault fault;
  fault.error = Error(code, "it went wrong");
  fault.fault_class = fault_class_of(code);
  return fault;
}

FaultLimits limits_of(std::uint64_t grant = 1'000, std::uint64_t most = 4'000) {
  FaultLimits limits;
  limits.grant = grant;
  limits.most_grant = most;
  return limits;
}

TEST(FaultTolerance, AUserErrorIsNeverTriedAgain) {
  TaskTrouble trouble;
  const auto decision = charge(trouble, fault_of(Code::kUserData), limits_of(), "scan/1", 0.5);
  EXPECT_EQ(decision.verdict, Verdict::kGiveUp);
  EXPECT_EQ(decision.error.message, "it went wrong");
}

TEST(FaultTolerance, ThreeAttemptsThenTheJobFailsWithTheLastError) {
  TaskTrouble trouble;
  for (int i = 0; i < 2; ++i)
    EXPECT_EQ(charge(trouble, fault_of(Code::kIo), limits_of(), "scan/1", 0.5).verdict,
              Verdict::kRetryLater);
  const auto decision = charge(trouble, fault_of(Code::kIo), limits_of(), "scan/1", 0.5);
  EXPECT_EQ(decision.verdict, Verdict::kGiveUp);
  EXPECT_EQ(decision.error.message, "task scan/1 failed 3 times; last: it went wrong");
  EXPECT_EQ(decision.error.code, Code::kIo);
}

TEST(FaultTolerance, ALossIsNotAnAttemptButTwentyAreEnough) {
  TaskTrouble trouble;
  Fault fault = fault_of(Code::kWorkerLost);
  fault.lost = true;
  for (int i = 0; i < 20; ++i)
    EXPECT_EQ(charge(trouble, fault, limits_of(), "scan/1", 0.5).verdict, Verdict::kRetryNow);
  EXPECT_EQ(trouble.counted, 0);
  EXPECT_EQ(charge(trouble, fault, limits_of(), "scan/1", 0.5).verdict, Verdict::kGiveUp);
}

TEST(FaultTolerance, OutOfMemoryDoublesTheGrantUpToTheMost) {
  TaskTrouble trouble;
  EXPECT_EQ(charge(trouble, fault_of(Code::kOutOfMemory), limits_of(1'000), "scan/1", 0).verdict,
            Verdict::kRetryNow);
  EXPECT_EQ(trouble.grant, 2'000U);
  EXPECT_EQ(charge(trouble, fault_of(Code::kOutOfMemory), limits_of(2'000), "scan/1", 0).verdict,
            Verdict::kRetryNow);
  EXPECT_EQ(trouble.grant, 4'000U);
  const auto decision =
      charge(trouble, fault_of(Code::kOutOfMemory), limits_of(4'000), "scan/1", 0);
  EXPECT_EQ(decision.verdict, Verdict::kGiveUp);
  EXPECT_EQ(decision.error.message,
            "task scan/1 needed more than 4kB of memory; the most it can be given is 4kB");
}

TEST(FaultTolerance, OutOfMemoryGivesWhatWasAskedForAndAHalf) {
  TaskTrouble trouble;
  Fault fault = fault_of(Code::kOutOfMemory);
  fault.needed_memory = 2'000;
  charge(trouble, fault, limits_of(), "scan/1", 0);
  EXPECT_EQ(trouble.grant, 3'000U);
}

TEST(FaultTolerance, OutOfMemoryGivesOneAndAHalfTimesWhatWasMeasuredWhenThatIsMoreThanDouble) {
  TaskTrouble trouble;
  Fault fault = fault_of(Code::kOutOfMemory);
  fault.peak_memory = 1'600;
  charge(trouble, fault, limits_of(), "scan/1", 0);
  EXPECT_EQ(trouble.grant, 2'400U);
  // A peak far below the grant tells only that one large request failed.
  TaskTrouble other;
  fault.peak_memory = 300;
  charge(other, fault, limits_of(), "scan/1", 0);
  EXPECT_EQ(other.grant, 2'000U);
}

TEST(FaultTolerance, TheThirdGrantIsAllThereIs) {
  TaskTrouble trouble;
  const Fault fault = fault_of(Code::kOutOfMemory);
  charge(trouble, fault, limits_of(1'000, 90'000), "scan/1", 0);
  EXPECT_EQ(trouble.grant, 2'000U);
  charge(trouble, fault, limits_of(2'000, 90'000), "scan/1", 0);
  EXPECT_EQ(trouble.grant, 90'000U);
  EXPECT_EQ(charge(trouble, fault, limits_of(90'000, 90'000), "scan/1", 0).verdict,
            Verdict::kGiveUp);
}

TEST(FaultTolerance, WhenNoLargerGrantIsToBeHadTheWorkIsCut) {
  TaskTrouble trouble;
  const Fault fault = fault_of(Code::kOutOfMemory);
  FaultLimits limits = limits_of(4'000);
  limits.can_split = true;
  EXPECT_EQ(charge(trouble, fault, limits, "scan/1", 0).verdict, Verdict::kRetryNow);
  EXPECT_EQ(trouble.split, 8U);
  EXPECT_EQ(charge(trouble, fault, limits, "scan/1", 0).verdict, Verdict::kRetryNow);
  EXPECT_EQ(trouble.split, 64U);
  const auto decision = charge(trouble, fault, limits, "scan/1", 0);
  EXPECT_EQ(decision.verdict, Verdict::kGiveUp);
  EXPECT_EQ(decision.error.message,
            "task scan/1 needed more than 4kB of memory, also when cut into 64 pieces; the most it "
            "can be given is 4kB");
}

TEST(FaultTolerance, AKnownNeedAboveAllThereIsIsCutAtOnceOrFails) {
  Fault fault = fault_of(Code::kOutOfMemory);
  fault.needed_memory = 9'000;
  TaskTrouble cut;
  FaultLimits limits = limits_of(1'000);
  limits.can_split = true;
  EXPECT_EQ(charge(cut, fault, limits, "scan/1", 0).verdict, Verdict::kRetryNow);
  EXPECT_EQ(cut.split, 8U);
  EXPECT_EQ(cut.grant, 0U);
  TaskTrouble whole;
  const auto decision = charge(whole, fault, limits_of(1'000), "scan/1", 0);
  EXPECT_EQ(decision.verdict, Verdict::kGiveUp);
  EXPECT_EQ(decision.error.message,
            "task scan/1 needed 9kB of memory; the most it can be given is 4kB");
}

TEST(FaultTolerance, ATaskThatTheSystemEndedBelowItsGrantIsTriedAgainAsItWas) {
  TaskTrouble trouble;
  Fault fault = fault_of(Code::kOutOfMemory);
  fault.peak_memory = 400;
  fault.ended_by_system = true;
  for (int i = 0; i < 2; ++i)
    EXPECT_EQ(charge(trouble, fault, limits_of(4'000), "scan/1", 0).verdict, Verdict::kRetryNow);
  const auto decision = charge(trouble, fault, limits_of(4'000), "scan/1", 0);
  EXPECT_EQ(decision.verdict, Verdict::kGiveUp);
  EXPECT_EQ(decision.error.message,
            "task scan/1 was ended by the system 3 times for want of memory, the last time with "
            "400B in use of the 4kB granted");
}

TEST(FaultTolerance, OutOfMemoryWithNothingMoreToGiveFailsAtOnceAndSaysTheNeed) {
  TaskTrouble trouble;
  Fault fault = fault_of(Code::kOutOfMemory);
  fault.needed_memory = 9'000;
  const auto decision = charge(trouble, fault, limits_of(4'000), "scan/1", 0);
  EXPECT_EQ(decision.verdict, Verdict::kGiveUp);
  EXPECT_EQ(decision.error.message,
            "task scan/1 needed 9kB of memory; the most it can be given is 4kB");
}

TEST(Backoff, GrowsTwofoldToAMinuteAndIsUniformBelow) {
  EXPECT_EQ(backoff_ms(5'000, 1, 0.0), 0);
  EXPECT_EQ(backoff_ms(5'000, 1, 0.5), 2'500);
  EXPECT_EQ(backoff_ms(5'000, 2, 0.5), 5'000);
  EXPECT_EQ(backoff_ms(5'000, 4, 0.5), 20'000);
  EXPECT_EQ(backoff_ms(5'000, 9, 0.5), 30'000);
  EXPECT_EQ(backoff_ms(90'000, 1, 0.5), 30'000);
}

}  // namespace
}  // namespace polysome::core
