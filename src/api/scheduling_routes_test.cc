// The routes that steer queue, cluster and limits, over a real socket.
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <unistd.h>

#include "api/api_fixture.h"
#include "api/caller.h"
#include "api/routes.h"

namespace polysome::api {
namespace {

using testing::HasSubstr;

class SchedulingRoutes : public ApiTest {
 protected:
  SchedulingRoutes() {
    backend.jobs[job_number(1)] = {{"status", "pending"}, {"version", 3}, {"user", "ada"}};
    start();
  }
  Json asked(const RawAnswer& answer) {
    EXPECT_EQ(answer.status, 200) << answer.body;
    return answer.json();
  }
  Json refused(int status, const RawAnswer& answer) {
    EXPECT_EQ(answer.status, status) << answer.body;
    const Json out = answer.json();
    EXPECT_FALSE(out.value("detail", "").empty()) << answer.body;
    return out;
  }
  std::string me() const { return login_name(::geteuid()); }
};

TEST_F(SchedulingRoutes, ABatchIsReadJobByJobForItsCaller) {
  const char* body =
      R"({"defaults":{"operation":"aggregate","dataset_id":"d"},"jobs":[{},{"user":"bob"}]})";
  const Json with = asked(ask("POST", "jobs/batch", body, "Idempotency-Key: k\r\n"))["asked"];
  EXPECT_EQ(with["n_jobs"], 2);
  EXPECT_EQ(with["users"], Json({me(), "bob"}));
  EXPECT_EQ(with["key"], "k");
  EXPECT_EQ(with["hash"].get<std::string>().size(), 32u);
  EXPECT_EQ(
      ask("POST", "jobs/batch", body, "Idempotency-Key: again\r\n").header("Idempotency-Replayed"),
      "true");
  const Json problem = refused(
      422, ask("POST", "jobs/batch", R"({"jobs":[{"operation":"aggregate","dataset_id":1}]})"));
  EXPECT_EQ(problem["errors"][0]["pointer"], "/jobs/0/dataset_id");
}

TEST_F(SchedulingRoutes, OnlyABatchMayBeOver1MB) {
  std::string jobs = "[";
  for (int i = 0; i < 20'000; ++i)
    jobs +=
        std::string(i > 0 ? "," : "") + R"({"operation":"aggregate","dataset_id":"d","name":"x"})";
  const std::string body = R"({"jobs":)" + jobs + "]}";
  ASSERT_GT(body.size(), 1'000'000u);
  EXPECT_EQ(asked(ask("POST", "jobs/batch", body))["asked"]["n_jobs"], 20'000);
  EXPECT_EQ(ask("POST", "jobs/submit", body).status, 413);
  const auto too_large = ask("POST", "jobs/batch", std::string(16'000'001, ' '));
  EXPECT_THAT(refused(413, too_large)["detail"].get<std::string>(), HasSubstr("16MB"));
}

TEST_F(SchedulingRoutes, PatchPassesOnWhatIsGiven) {
  const std::string path = "jobs/" + job_number(1).text();
  Json with = asked(ask("PATCH", path, R"({"priority":"HIGH","held":true,"tags":"t"})"))["with"];
  EXPECT_EQ(with["priority"], "HIGH");
  EXPECT_EQ(with["held"], true);
  EXPECT_EQ(with["tags"], Json({"t"}));
  EXPECT_TRUE(with["name"].is_null());
  refused(422, ask("PATCH", path, "{}"));
  EXPECT_THAT(refused(422, ask("PATCH", path, R"({"hold":1})"))["detail"].get<std::string>(),
              HasSubstr("held"));
  refused(404, ask("PATCH", "jobs/nonsense", R"({"held":true})"));
}

TEST_F(SchedulingRoutes, CancelOfManyNeedsAFilter) {
  const Json with = asked(
      ask("POST", "jobs/cancel", R"({"user":"bob","status":"pending","reason":"r"})"))["with"];
  EXPECT_EQ(with["user"], "bob");
  EXPECT_EQ(with["status"], "pending");
  EXPECT_EQ(with["reason"], "r");
  EXPECT_EQ(asked(ask("POST", "jobs/cancel",
                      R"({"job_ids":[")" + job_number(1).text() + R"("]})"))["with"]["job_ids"],
            1);
  for (const char* body : {"{}", R"({"reason":"r"})", R"({"status":"failed"})",
                           R"({"job_ids":["x"]})", R"({"batch_id":"x"})"})
    refused(422, ask("POST", "jobs/cancel", body));
}

TEST_F(SchedulingRoutes, QueueAndLimits) {
  EXPECT_EQ(asked(ask("POST", "queue/pause", R"({"reason":"r"})"))["with"], "r");
  EXPECT_EQ(asked(ask("POST", "queue/resume"))["asked"], "resume_queue");
  refused(422, ask("POST", "queue/resume", R"({"reason":"r"})"));
  const Json limits = asked(ask("PUT", "resources/limits", R"({"max_pending_jobs":7})"));
  EXPECT_EQ(limits["max_pending_jobs"], 7);
  EXPECT_EQ(asked(ask("GET", "resources/limits")), limits);
  EXPECT_EQ(refused(422, ask("PUT", "resources/limits",
                             R"({"per_user":{"max_cores":0}})"))["errors"][0]["pointer"],
            "/per_user/max_cores");
}

TEST_F(SchedulingRoutes, WorkersAndAutoscale) {
  const Json with = asked(
      ask("POST", "cluster/workers/w1/exclude", R"({"reason":"slow","for_seconds":2.5})"))["with"];
  EXPECT_EQ(with["action"], static_cast<int>(WorkerAction::kExclude));
  EXPECT_EQ(with["seconds"], 2.5);
  asked(ask("POST", "cluster/workers/w1/drain"));
  asked(ask("POST", "cluster/workers/w1/readmit"));
  refused(404, ask("POST", "cluster/workers/w2/drain"));
  refused(422, ask("POST", "cluster/workers/w1/readmit", R"({"reason":"r"})"));
  refused(422, ask("POST", "cluster/workers/w1/exclude", R"({"for_seconds":0})"));
  EXPECT_EQ(asked(ask("PUT", "cluster/autoscale", R"({"min":2})"))["with"]["min"], 2);
  EXPECT_EQ(asked(ask("GET", "cluster/autoscale/decisions?limit=5&page_token=9"))["before"], 9);
  refused(400, ask("GET", "cluster/autoscale/decisions?page_token=x"));
}

TEST_F(SchedulingRoutes, WhatWasLearned) {
  EXPECT_EQ(asked(ask("GET", "resources/usage?by=operation"))["by_operation"], true);
  EXPECT_EQ(asked(ask("GET", "resources/usage?since=1970-01-01T00:00:01Z"))["since"], 1000);
  refused(422, ask("GET", "resources/usage?by=colour"));
  EXPECT_EQ(asked(ask("GET", "resources/recommendations?operation=aggregate"))["operation"],
            "aggregate");
  EXPECT_THAT(refused(422, ask("GET", "resources/recommendations?operation=agregate"))["detail"]
                  .get<std::string>(),
              HasSubstr("aggregate"));
  EXPECT_EQ(asked(ask("GET", "faults/statistics"))["attempts"], 0);
  EXPECT_EQ(asked(ask("GET", "jobs/" + job_number(1).text() + "/explain"))["job_id"],
            job_number(1).text());
  refused(404, ask("GET", "jobs/" + job_number(5).text() + "/explain"));
}

}  // namespace
}  // namespace polysome::api
