#include <gtest/gtest.h>

#include <atomic>
#include <chrono>
#include <filesystem>
#include <thread>

#include "base/files.h"
#include "operations/job_driver.h"
#include "operations/operation.h"
#include "operations/test_folder.h"

namespace polysome {
namespace {

TEST(Noop, RunsItsTasksAndAnswersTheirNumber) {
  TestFolder folder;
  JobDriver driver(folder.path());
  const auto result = driver.run("noop", {{"tasks", 25}, {"memory_mb", 3}}, {});
  ASSERT_TRUE(result.has_value()) << result.error().message;
  EXPECT_EQ(result->at("value"), 25);
  ASSERT_EQ(driver.stages.size(), 3U);
  EXPECT_EQ(driver.stages[1].tasks, 25U);
}

TEST(Noop, FailRateOfOneFailsAndOfNoneDoesNot) {
  TestFolder folder;
  JobDriver driver(folder.path());
  const auto failed = driver.run("noop", {{"fail_rate", 1}}, {});
  ASSERT_FALSE(failed.has_value());
  EXPECT_EQ(failed.error().code, Code::kInternal);
  EXPECT_TRUE(driver.run("noop", {{"fail_rate", 0}, {"tasks", 100}}, {}).has_value());
}

TEST(Noop, AnotherAttemptMaySucceed) {
  TestFolder folder;
  JobDriver driver(folder.path());
  ASSERT_TRUE(driver.run("noop", {{"fail_rate", 0.5}, {"tasks", 1}}, {}).has_value() ||
              driver.stages.size() == 1U);
  // The plan of that job: its only task under many attempts.
  TaskSpec spec;
  spec.task = {driver.description.spec.id, 1, 0};
  spec.stage_name = "noop";
  spec.job_folder = driver.job_folder();
  for (const auto& entry : std::filesystem::directory_iterator(driver.job_folder() + "/plan"))
    if (entry.path().string().ends_with("fragment.json"))
      spec.fragment_file = "plan/" + entry.path().filename().string();
  TaskRunner runner;
  int failed = 0;
  for (std::uint64_t n = 0; n < 400; ++n) {
    spec.attempt = {1, n};
    TaskContext context = driver.context();
    failed += runner.run(spec, context).has_value() ? 0 : 1;
  }
  EXPECT_GT(failed, 150);
  EXPECT_LT(failed, 250);
}

TEST(Noop, CancelEndsASleepAtOnce) {
  TestFolder folder;
  JobDriver driver(folder.path());
  ASSERT_TRUE(driver.run("noop", {{"sleep_ms", 0}}, {}).has_value());
  const Operation* noop = find_operation("noop");
  const Json body = {{"sleep_ms", 60'000}};
  std::atomic<bool> cancelled = false;
  TaskContext context = driver.context();
  context.cancelled = &cancelled;
  const TaskSpec spec;
  TaskEnv env(spec, context, driver.description, body, std::make_shared<PlanDocument>(), nullptr);
  std::thread other([&] {
    std::this_thread::sleep_for(std::chrono::milliseconds(50));
    cancelled = true;
  });
  const auto start = std::chrono::steady_clock::now();
  const Status status = noop->bodies.at(0).body(env);
  other.join();
  ASSERT_FALSE(status.has_value());
  EXPECT_EQ(status.error().code, Code::kCancelled);
  EXPECT_LT(std::chrono::steady_clock::now() - start, std::chrono::seconds(20));
}

TEST(Operations, DescriptionsAcceptTheirOwnExamples) {
  for (const auto& d : describe_operations()) {
    const auto checked = d.validate(d.example.value("parameters", Json::object()));
    EXPECT_TRUE(checked.has_value()) << d.name;
    EXPECT_FALSE(d.text.empty());
    EXPECT_EQ(d.example.at("operation"), d.name);
    for (const auto& p : d.parameters) EXPECT_FALSE(p.text.empty()) << d.name << "." << p.name;
    const auto back = OperationDescription::from_json(d.to_json());
    ASSERT_TRUE(back.has_value()) << d.name;
    EXPECT_EQ(dump(back->to_json()), dump(d.to_json()));
  }
}

TEST(Operations, ForeignNamesAreTranslated) {
  const auto& d = find_operation("aggregate")->description;
  const auto checked = d.validate({{"column", "x"}, {"operation", "average"}});
  ASSERT_TRUE(checked.has_value());
  EXPECT_EQ(checked->at("operation"), Json::array({"mean"}));
  EXPECT_FALSE(d.validate({{"column", "x"}, {"agg", "mean"}}).has_value());
}

}  // namespace
}  // namespace polysome
