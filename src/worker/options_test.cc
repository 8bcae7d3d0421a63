#include "worker/options.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "model/task.h"
#include "worker/frame_key.h"

namespace polysome {
namespace {
using ::testing::HasSubstr;

TEST(WorkerOptions, ParseToWhatTheyWereWrittenFrom) {
  WorkerOptions in;
  in.mode = WorkerMode::kSupervisor;
  in.fd = 3;
  in.slots = 4;
  in.memory = 2'000'000'000;
  in.worker = "w3";
  in.lock_file = "/state/workers/w3.lock";
  in.read = {"/data", "/more data"};
  in.write = {"/work"};
  in.scratch = "/scratch";
  in.prepare = true;
  const auto out = parse_worker_options(worker_arguments(in));
  ASSERT_TRUE(out) << out.error().message;
  EXPECT_EQ(out->mode, WorkerMode::kSupervisor);
  EXPECT_EQ(out->slots, 4);
  EXPECT_EQ(out->memory, 2'000'000'000u);
  EXPECT_EQ(out->worker, "w3");
  EXPECT_EQ(out->lock_file, in.lock_file);
  EXPECT_EQ(out->read, in.read);
  EXPECT_EQ(out->write, in.write);
  EXPECT_EQ(out->scratch, in.scratch);
  EXPECT_TRUE(out->prepare);
}

TEST(WorkerOptions, WrongOnesAreNamed) {
  EXPECT_THAT(parse_worker_options({"--supervisor"}).error().message, HasSubstr("--fd"));
  EXPECT_THAT(parse_worker_options({"--slots", "0"}).error().message, HasSubstr("\"0\""));
  EXPECT_THAT(parse_worker_options({"--slots", "65"}).error().message, HasSubstr("\"65\""));
  EXPECT_THAT(parse_worker_options({"--memory", "2GB"}).error().message, HasSubstr("\"2GB\""));
  EXPECT_THAT(parse_worker_options({"--memory"}).error().message, HasSubstr("--memory"));
  EXPECT_THAT(parse_worker_options({"--sluts"}).error().message, HasSubstr("--sluts"));
}

TEST(FrameKey, IsTheAttemptOrTheRequestsNumber) {
  EXPECT_EQ(frame_key(R"({"attempt":"3-17"})"), "3-17");
  TaskSpec spec;
  spec.attempt = {3, 18};
  EXPECT_EQ(frame_key(dump(spec.to_json())), "3-18");
  TaskResult result;
  result.attempt = {4, 1};
  result.payload = {{"attempt", "9-9"}};
  EXPECT_EQ(frame_key(dump(result.to_json())), "4-1");
  TaskFailure failure;
  failure.attempt = {4, 2};
  EXPECT_EQ(frame_key(dump(failure.to_json())), "4-2");
  EXPECT_EQ(frame_key(R"({"id":12,"ok":{"attempt":"3-17"}})"), "12");
}

TEST(FrameKey, IsEmptyWhenThereIsNone) {
  EXPECT_EQ(frame_key(""), "");
  EXPECT_EQ(frame_key("{}"), "");
  EXPECT_EQ(frame_key(R"({"attempt":"3-17)"), "");
  EXPECT_EQ(frame_key(R"({"id":)"), "");
}

}  // namespace
}  // namespace polysome
