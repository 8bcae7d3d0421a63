#include "model/submit_batch.h"

#include <gtest/gtest.h>

namespace polysome {
namespace {

OperationCatalog catalog() {
  OperationCatalog out;
  OperationDescription noop;
  noop.name = "noop";
  noop.type = "diagnostic";
  noop.min_datasets = noop.max_datasets = 0;
  Parameter tasks;
  tasks.name = "tasks";
  tasks.type = ParamType::kInteger;
  tasks.least = 1;
  Parameter sleep = tasks;
  sleep.name = "sleep_ms";
  noop.parameters = {tasks, sleep};
  out.add(noop);
  return out;
}

TEST(SubmitBatch, AJobsOwnMembersWinAndParametersMerge) {
  const Json body = {
      {"defaults",
       {{"operation", "noop"}, {"name", "all"}, {"parameters", {{"tasks", 3}, {"sleep_ms", 5}}}}},
      {"jobs", {Json::object(), {{"name", "own"}, {"parameters", {{"tasks", 7}}}}}}};
  const auto batch = parse_batch(body, catalog(), {});
  ASSERT_TRUE(batch) << batch.error().message;
  ASSERT_EQ(batch->size(), 2u);
  EXPECT_EQ((*batch)[0].spec.name, "all");
  EXPECT_EQ((*batch)[0].spec.parameters["tasks"], 3);
  EXPECT_EQ((*batch)[1].spec.name, "own");
  EXPECT_EQ((*batch)[1].spec.parameters["tasks"], 7);
  EXPECT_EQ((*batch)[1].spec.parameters["sleep_ms"], 5);
}

TEST(SubmitBatch, ErrorsPointIntoTheirJobs) {
  Json body = {{"defaults", {{"operation", "noop"}}}, {"jobs", Json::array()}};
  for (int i = 0; i < 20; ++i) body["jobs"].push_back(Json::object());
  body["jobs"][17] = {{"parameters", {{"taskz", 1}}}};
  body["jobs"][18] = {{"priorty", 1}};
  body["jobs"][19] = 5;
  const auto batch = parse_batch(body, catalog(), {});
  ASSERT_FALSE(batch);
  const Error& error = batch.error();
  EXPECT_EQ(error.code, Code::kInvalid);
  ASSERT_EQ(error.errors.size(), 3u);
  EXPECT_EQ(error.errors[0].pointer, "/jobs/17/parameters/taskz");
  EXPECT_EQ(error.errors[1].pointer, "/jobs/18/priorty");
  EXPECT_EQ(error.errors[2].pointer, "/jobs/19");
  EXPECT_NE(error.message.find("job 17"), std::string::npos) << error.message;
}

TEST(SubmitBatch, RefusesABodyThatIsNoBatch) {
  for (const char* text : {"{}", R"({"jobs": []})", R"({"jobs": {}})", R"({"jobs": [{}], "x": 1})",
                           R"({"defaults": [], "jobs": [{}]})"}) {
    const auto batch = parse_batch(*parse_json(text), catalog(), {});
    ASSERT_FALSE(batch) << text;
    EXPECT_EQ(batch.error().code, Code::kInvalid) << text;
    EXPECT_FALSE(batch.error().errors.empty()) << text;
  }
}

}  // namespace
}  // namespace polysome
