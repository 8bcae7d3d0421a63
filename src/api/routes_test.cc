// Each route over a real socket: what the backend is asked, what the client gets.
#include "api/routes.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <unistd.h>

#include "api/api_fixture.h"
#include "api/caller.h"

namespace polysome::api {
namespace {

using testing::HasSubstr;

class Routes : public ApiTest {
 protected:
  Routes() {
    backend.jobs[job_number(1)] = {{"status", "completed"}, {"version", 3}, {"user", "ada"}};
    backend.jobs[job_number(2)] = {{"status", "running"}, {"version", 9}, {"user", "ada"}};
    start();
  }
  Json get(const std::string& path) { return ask("GET", path).json(); }
  std::string me() const { return login_name(::geteuid()); }
  // The problem object of a refused request, after a look at its form.
  Json problem(int status, const RawAnswer& answer) {
    EXPECT_EQ(answer.status, status) << answer.body;
    EXPECT_EQ(answer.header("Content-Type"), "application/problem+json");
    const Json out = answer.json();
    EXPECT_EQ(out["status"], status);
    EXPECT_THAT(out["type"].get<std::string>(), HasSubstr("/docs/problems#"));
    EXPECT_FALSE(out["title"].get<std::string>().empty());
    EXPECT_FALSE(out["detail"].get<std::string>().empty());
    return out;
  }
  static constexpr const char* kSubmit =
      R"({"operation":"aggregate","dataset_id":"d","parameters":{"column":"x"},"priority":"HIGH"})";
};

TEST_F(Routes, ClusterRoutesPassBodyAndWaitOn) {
  EXPECT_EQ(ask("POST", "cluster/start").json()["with"],
            Json({{"body", Json::object()}, {"wait", 0.0}}));
  EXPECT_EQ(ask("POST", "cluster/start?wait=2.5", R"({"n_workers":3})").json()["with"],
            Json({{"body", {{"n_workers", 3}}}, {"wait", 2.5}}));
  EXPECT_EQ(ask("POST", "cluster/stop").json()["with"], Json({{"force", false}, {"wait", 0.0}}));
  EXPECT_EQ(ask("POST", "cluster/stop", R"({"mode":"force"})").json()["with"]["force"], true);
  EXPECT_EQ(ask("POST", "cluster/scale", R"({"n_workers":32})").json()["with"]["n_workers"], 32);
  EXPECT_EQ(get("cluster/status")["status"], "running");
  EXPECT_EQ(get("cluster/workers/w1")["id"], "w1");
  problem(404, ask("GET", "cluster/workers/w9"));
  EXPECT_EQ(get("metrics/cluster?since=1970-01-01T00:00:01Z&step=60")["since"], 1000);
}

TEST_F(Routes, ClusterRoutesRefuseWhatTheyDoNotKnow) {
  problem(422, ask("POST", "cluster/scale"));
  problem(422, ask("POST", "cluster/scale", R"({"n_workers":33})"));
  problem(422, ask("POST", "cluster/scale?wait=61", R"({"n_workers":3})"));
  EXPECT_THAT(
      problem(422, ask("POST", "cluster/scale", R"({"n_worker":3})"))["detail"].get<std::string>(),
      HasSubstr("n_workers"));
  EXPECT_THAT(problem(422, ask("POST", "cluster/stop", R"({"mode":"forced"})"))["detail"]
                  .get<std::string>(),
              HasSubstr("did you mean \"force\""));
  problem(422, ask("GET", "metrics/cluster?since=yesterday"));
}

TEST_F(Routes, SubmitAnswersTheJobAndWhereItIs) {
  const auto answer = ask("POST", "jobs/submit", kSubmit, "Idempotency-Key: k1\r\n");
  EXPECT_EQ(answer.status, 200);
  EXPECT_EQ(answer.header("Location"), "/api/processing/jobs/" + job_number(7).text());
  EXPECT_EQ(answer.header("Idempotency-Replayed"), "");
  const Json asked = answer.json()["asked"];
  EXPECT_EQ(asked["operation"], "aggregate");
  EXPECT_EQ(asked["key"], "k1");
  EXPECT_EQ(asked["caller"], me());
  EXPECT_EQ(asked["user"], me());
  EXPECT_EQ(ask("POST", "jobs/submit", kSubmit, "Idempotency-Key: again\r\n")
                .header("Idempotency-Replayed"),
            "true");
}

TEST_F(Routes, TheSameBodyHasTheSameHashHoweverItIsWritten) {
  const auto hash = [&](const std::string& body) {
    return ask("POST", "jobs/submit", body).json()["asked"]["hash"].get<std::string>();
  };
  const std::string first = hash(kSubmit);
  EXPECT_EQ(first.size(), 32u);
  EXPECT_EQ(
      hash(
          R"({ "dataset_id":"d","operation":"aggregate", "priority":"HIGH","parameters":{"column":"x"}})"),
      first);
  EXPECT_NE(
      hash(
          R"({"operation":"aggregate","dataset_id":"e","parameters":{"column":"x"},"priority":"HIGH"})"),
      first);
}

TEST_F(Routes, SubmitRefusesBadBodies) {
  const auto submit = [&](const std::string& body) { return ask("POST", "jobs/submit", body); };
  problem(400, submit("{"));
  problem(400, submit(R"({"operation":"aggregate","operation":"noop"})"));
  problem(400, submit("{\"a\":" + std::string(40, '[') + std::string(40, ']') + "}"));
  problem(422, submit("[]"));
  problem(422, submit(R"({"operation":"agregate"})"));
  const Json unknown =
      problem(422, submit(R"({"operation":"aggregate","dataset_id":"d","prioritty":1})"));
  EXPECT_THAT(unknown["detail"].get<std::string>(), HasSubstr("did you mean \"priority\""));
  EXPECT_EQ(unknown["errors"][0]["pointer"], "/prioritty");
  problem(422, ask("POST", "jobs/submit", kSubmit,
                   "Idempotency-Key: " + std::string(256, 'k') + "\r\n"));
  EXPECT_TRUE(from_loop([&] { return backend.asked.empty(); }));
}

TEST_F(Routes, SubmitForSomebodyElseIsForRootAndTheServicesAccount) {
  // The tests run as the service's own account, so any user may be named.
  const auto answer =
      ask("POST", "jobs/submit", R"({"operation":"aggregate","dataset_id":"d","user":"bob"})");
  EXPECT_EQ(answer.json()["asked"]["user"], "bob");
}

TEST_F(Routes, StatusHasAnETagAndKnowsWhatTheClientHas) {
  const std::string path = "jobs/" + job_number(1).text() + "/status";
  const auto first = ask("GET", path);
  EXPECT_EQ(first.status, 200);
  EXPECT_EQ(first.header("ETag"), "\"3\"");
  EXPECT_EQ(first.header("Cache-Control"), "no-store");
  for (const char* tags : {"\"3\"", "W/\"3\"", "\"1\", \"3\"", "*"}) {
    const auto same = ask("GET", path, "", std::string("If-None-Match: ") + tags + "\r\n");
    EXPECT_EQ(same.status, 304) << tags;
    EXPECT_EQ(same.header("ETag"), "\"3\"");
  }
  EXPECT_EQ(ask("GET", path, "", "If-None-Match: \"2\"\r\n").status, 200);
  EXPECT_EQ(get("jobs/" + job_number(1).text())["version"], 3);
}

TEST_F(Routes, StatusWaitsForAVersion) {
  const std::string path = "jobs/" + job_number(2).text() + "/status";
  EXPECT_EQ(get(path + "?wait=30&after=8")["version"], 9);
  EXPECT_EQ(from_loop([&] { return backend.asked.back().second; }),
            Json({{"wait", 30.0}, {"after", 8}}));
  for (const char* bad : {"?wait=61", "?wait=-1", "?wait=nan", "?wait=x", "?after=3",
                          "?wait=1&after=-1", "?wait=1&wait=2"})
    problem(422, ask("GET", path + bad));
}

TEST_F(Routes, UnknownJobsAre404AndNameTheNearest) {
  std::string mistyped = job_number(1).text();
  mistyped[10] = mistyped[10] == '0' ? '1' : '0';
  for (const char* rest : {"", "/status", "/tasks", "/result", "/events"})
    EXPECT_EQ(ask("GET", "jobs/" + mistyped + rest).status, 404) << rest;
  const Json cut = problem(404, ask("GET", "jobs/" + job_number(1).text().substr(0, 35)));
  EXPECT_THAT(cut["detail"].get<std::string>(), HasSubstr(job_number(1).text()));
  const Json tail = problem(404, ask("GET", "jobs/" + job_number(2).text().substr(28) + "/status"));
  EXPECT_THAT(tail["hint"].get<std::string>(), HasSubstr("jobs/list"));
  problem(404, ask("POST", "jobs/nope/cancel"));
}

TEST_F(Routes, CancelPassesReasonAndMode) {
  const std::string path = "jobs/" + job_number(2).text() + "/cancel";
  EXPECT_EQ(ask("POST", path).json()["with"], Json({{"reason", ""}, {"force", false}}));
  EXPECT_EQ(ask("POST", path, R"({"reason":"typo","mode":"force"})").json()["with"],
            Json({{"reason", "typo"}, {"force", true}}));
  problem(422, ask("POST", path, R"({"reasn":"typo"})"));
}

TEST_F(Routes, ListReadsItsFilters) {
  const Json plain = get("jobs/list");
  EXPECT_EQ(plain["limit"], 100);
  EXPECT_EQ(plain["full"], false);
  const Json filtered = get("jobs/list?status=failed&priority=high&user=ada&limit=1000&view=full");
  EXPECT_EQ(filtered["status"], "failed");
  EXPECT_EQ(filtered["priority"], "HIGH");
  EXPECT_EQ(filtered["user"], "ada");
  EXPECT_EQ(filtered["full"], true);
  EXPECT_EQ(get("jobs/list?priority=4")["priority"], "CRITICAL");
  for (const char* bad : {"status=done", "priority=5", "priority=urgent", "limit=0", "limit=1001",
                          "limit=x", "since=x", "view=all"})
    problem(422, ask("GET", std::string("jobs/list?") + bad));
  EXPECT_THAT(problem(422, ask("GET", "jobs/list?stauts=failed"))["detail"].get<std::string>(),
              HasSubstr("did you mean \"status\""));
}

TEST_F(Routes, TasksPage) {
  const std::string path = "jobs/" + job_number(2).text() + "/tasks";
  EXPECT_EQ(get(path), Json({{"offset", 0}, {"limit", 100}}));
  EXPECT_EQ(get(path + "?limit=7&page_token=14"), Json({{"offset", 14}, {"limit", 7}}));
  problem(400, ask("GET", path + "?page_token=x"));
}

TEST_F(Routes, ResultsPageAsJsonAndAreRefusedBeforeTheEnd) {
  const std::string path = "jobs/" + job_number(1).text() + "/result";
  EXPECT_EQ(get(path + "?columns=a,b&table=t")["columns"], Json({"a", "b"}));
  for (const char* bad : {"?format=xls", "?limit=1001", "?format=csv&page_token=5", "?limit=0"})
    problem(422, ask("GET", path + bad));
  const Json early = problem(409, ask("GET", "jobs/" + job_number(2).text() + "/result"));
  EXPECT_EQ(early["job_status"], "running");
  EXPECT_EQ(early["job_id"], job_number(2).text());
}

TEST_F(Routes, DataRoutesPassBodiesAndIds) {
  EXPECT_EQ(ask("POST", "data/load", R"({"dataset_id":"a"})").json()["with"]["dataset_id"], "a");
  EXPECT_EQ(ask("POST", "data/partition", R"({"path":"a"})").json()["with"]["path"], "a");
  EXPECT_TRUE(get("data/datasets")["datasets"].is_array());
  EXPECT_EQ(get("data/datasets/liver/counts.tsv")["with"], "liver/counts.tsv");
  EXPECT_EQ(get("data/datasets/%2Fsrv%2Fa%20b.csv")["with"], "/srv/a b.csv");
  EXPECT_EQ(ask("DELETE", "data/datasets/counts").json()["asked"], "forget");
}

TEST_F(Routes, HealthSaysWhatIsWrong) {
  EXPECT_EQ(ask("GET", "health").status, 200);
  EXPECT_EQ(ask("GET", "/livez").status, 200);
  EXPECT_EQ(ask("GET", "/readyz").status, 200);
  EXPECT_EQ(get("/version")["version"], "1");
  on_loop([&] { backend.healthy = false; });
  EXPECT_EQ(ask("GET", "health").status, 503);
  EXPECT_EQ(ask("GET", "/livez").status, 200);
  const auto not_ready = ask("GET", "/readyz");
  EXPECT_THAT(problem(503, not_ready)["detail"].get<std::string>(), HasSubstr("the disk is full"));
  EXPECT_EQ(not_ready.header("Retry-After"), "1");
}

TEST_F(Routes, QueueAndIndex) {
  EXPECT_EQ(get("queue/status?limit=5")["limit"], 5);
  const auto text = ask("GET", "/");
  EXPECT_EQ(text.header("Content-Type"), "text/plain; charset=utf-8");
  EXPECT_THAT(text.body, HasSubstr("/api/processing/jobs/{id}/status?wait=&after="));
  const auto page = ask("GET", "/", "", "Accept: text/html,*/*\r\n");
  EXPECT_EQ(page.header("Content-Type"), "text/html; charset=utf-8");
  EXPECT_THAT(page.body, HasSubstr("<a href=\"/livez\">"));
}

TEST_F(Routes, UnknownPathsNameTheNearestAndWrongMethodsTheRight) {
  const auto detail = [&](const std::string& path) {
    return problem(404, ask("GET", path))["detail"].get<std::string>();
  };
  EXPECT_THAT(detail("cluster/statuss"), HasSubstr("did you mean /api/processing/cluster/status?"));
  EXPECT_THAT(detail("/jobs/list"), HasSubstr("did you mean /api/processing/jobs/list?"));
  EXPECT_THAT(detail("jobs/" + job_number(1).text() + "/stats"),
              HasSubstr("did you mean /api/processing/jobs/" + job_number(1).text() + "/status?"));
  EXPECT_THAT(detail("jobs/list/"), HasSubstr("did you mean /api/processing/jobs/list?"));
  EXPECT_THAT(detail("/completely/else/where"), testing::Not(HasSubstr("did you mean")));
  const auto wrong = ask("GET", "jobs/submit");
  problem(405, wrong);
  EXPECT_EQ(wrong.header("Allow"), "POST");
  EXPECT_EQ(ask("POST", "jobs/list").header("Allow"), "GET, HEAD");
  EXPECT_EQ(ask("PUT", "data/datasets/x").header("Allow"), "GET, HEAD, DELETE");
}

TEST_F(Routes, PostsWithoutBodyAndContentTypeWork) {
  EXPECT_EQ(raw("POST /api/processing/cluster/start HTTP/1.1\r\nHost: "
                "localhost:8001\r\nContent-Length: 0\r\n\r\n")
                .status,
            200);
  EXPECT_EQ(
      raw("POST /api/processing/cluster/start HTTP/1.1\r\nHost: localhost:8001\r\n\r\n").status,
      200);
}

TEST_F(Routes, TheOwnerOfASocketIsFoundInTheKernelsTables) {
  RawClient client(port), six(port, true);
  for (const RawClient* c : {&client, &six}) {
    if (!c->connected()) continue;
    sockaddr_storage own{};
    socklen_t size = sizeof(own);
    ASSERT_EQ(::getsockname(c->fd(), reinterpret_cast<sockaddr*>(&own), &size), 0);
    const bool v6 = own.ss_family == AF_INET6;
    const std::string address = v6 ? "::1" : "127.0.0.1";
    const std::uint16_t from = ntohs(v6 ? reinterpret_cast<sockaddr_in6*>(&own)->sin6_port
                                        : reinterpret_cast<sockaddr_in*>(&own)->sin_port);
    EXPECT_EQ(socket_owner({address, from, true}, {address, port, true}), ::geteuid());
    EXPECT_EQ(socket_owner_from_proc({address, from, true}, {address, port, true}), ::geteuid());
    EXPECT_EQ(socket_owner({address, port, true}, {address, 1, true}), std::nullopt)
        << "a listener is no caller";
    EXPECT_EQ(socket_owner({address, 1, true}, {address, port, true}), std::nullopt);
  }
}

}  // namespace
}  // namespace polysome::api
