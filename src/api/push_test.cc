// The replay and its seam to the live events, without sockets.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "api/fake_backend.h"
#include "api/fake_exchange.h"
#include "api/request_target.h"
#include "api/routes.h"

namespace polysome::api {
namespace {

using testing::ElementsAre;
using testing::HasSubstr;

class Push : public testing::Test {
 protected:
  Push() {
    backend.jobs[kJob] = {{"status", "running"}, {"user", "ada"}};
    backend.jobs[kOther] = {{"status", "running"}, {"user", "bob"}};
  }

  // Streams end with their clients, as connections see to.
  ~Push() override {
    for (const auto& e : streams)
      if (const auto open = e.lock()) open->leave();
  }

  std::shared_ptr<FakeExchange> get(const std::string& path, const std::string& last_id = {},
                                    bool slow = false) {
    Router router;
    add_push_routes(router, backend, config);
    HttpRequest request = local_request("GET", "/api/processing" + path);
    EXPECT_TRUE(parse_target(&request));
    if (!last_id.empty()) request.headers.push_back({"Last-Event-ID", last_id});
    auto out = std::make_shared<FakeExchange>();
    out->slow = slow;
    streams.push_back(out);
    if (auto refusal = router.refuse(request))
      out->send(*refusal);
    else
      router.handle(request, out);
    return out;
  }
  std::string events_path() const { return "/jobs/" + kJob.text() + "/events"; }

  static std::vector<int> ids(const FakeExchange& e) {
    std::vector<int> out;
    for (std::size_t at = 0; (at = e.written.find("id: ", at)) != std::string::npos; at += 4)
      out.push_back(std::stoi(e.written.substr(at + 4)));
    return out;
  }
  void tell(int n, const JobId& job) {
    for (int i = 0; i < n; ++i) backend.tell(job, "job.progress");
  }

  const JobId kJob = job_number(1), kOther = job_number(2);
  FakeBackend backend;
  PushConfig config;
  std::vector<std::weak_ptr<FakeExchange>> streams;
};

TEST_F(Push, SendsIdAndDataOnlyAndTheRetryTime) {
  const auto e = get("/events");
  backend.tell(kJob, "job.progress");
  EXPECT_EQ(e->written,
            "retry: 2000\n\nid: 1\ndata: {\"id\":1,\"type\":\"job.progress\",\"seq\":1}\n\n");
  EXPECT_EQ(e->options.content_type, "text/event-stream");
}

TEST_F(Push, AllEventsBeginNow) {
  tell(3, kJob);
  const auto e = get("/events");
  tell(2, kJob);
  EXPECT_THAT(ids(*e), ElementsAre(4, 5));
}

TEST_F(Push, AJobsEventsBeginWithItsFirstAndEndWithItsLast) {
  tell(2, kJob);
  tell(1, kOther);
  const auto e = get(events_path());
  tell(1, kJob);
  tell(1, kOther);
  EXPECT_TRUE(e->open);
  backend.tell(kJob, "job.status", true);
  EXPECT_THAT(ids(*e), ElementsAre(1, 2, 4, 6));
  EXPECT_TRUE(e->closed);
  EXPECT_TRUE(backend.subscribers.empty());
}

TEST_F(Push, AReconnectGoesOnAfterTheLastId) {
  tell(5, kJob);
  const auto e = get("/events", "3");
  tell(1, kOther);
  EXPECT_THAT(ids(*e), ElementsAre(4, 5, 6));
}

TEST_F(Push, NoEventIsLostOrDoubledAtTheSeam) {
  // Whatever the pages and the moment live events come in, each event comes once and in order.
  for (const std::size_t page : {1u, 2u, 3u, 100u})
    for (const std::size_t most_held : {1u, 2u, 100u})
      for (int during = 0; during < 6; ++during) {
        backend.journal.clear();
        backend.newest = 0;
        backend.seqs.clear();
        config.page = page;
        config.most_held = most_held;
        config.replay_buffer = 60;  // a client that takes one event at a time
        tell(5, kJob);
        int left = during;
        backend.during_replay = [&] {
          if (left-- > 0) tell(1, kJob);
        };
        const auto e = get("/events", "0", true);
        for (int i = 0; i < 40; ++i) e->take_all();
        tell(2, kJob);
        std::vector<int> expected;
        for (int i = 1; i <= static_cast<int>(backend.newest); ++i) expected.push_back(i);
        EXPECT_EQ(ids(*e), expected) << page << " " << most_held << " " << during;
        backend.during_replay = nullptr;
        e->leave();
        ASSERT_TRUE(backend.subscribers.empty());
      }
}

TEST_F(Push, AReplayWaitsForASlowClient) {
  config.replay_buffer = 200;
  config.page = 1000;
  tell(500, kJob);
  const auto e = get("/events", "0", true);
  EXPECT_LT(e->waiting, 400u);
  tell(5, kJob);
  for (int i = 0; i < 1000 && ids(*e).size() < 505; ++i) e->take_all();
  const auto got = ids(*e);
  ASSERT_EQ(got.size(), 505u);
  EXPECT_EQ(got.back(), 505);
}

TEST_F(Push, AReconnectAfterTheFinalEventIsAnswered204) {
  tell(2, kJob);
  backend.tell(kJob, "job.status", true);
  backend.jobs[kJob]["status"] = "completed";
  ASSERT_TRUE(get(events_path(), "3")->sent);
  EXPECT_EQ(get(events_path(), "3")->sent->status, 204);
  tell(1, kOther);
  EXPECT_EQ(get(events_path(), "4")->sent->status, 204);
  const auto e = get(events_path(), "2");
  EXPECT_THAT(ids(*e), ElementsAre(3));
  EXPECT_TRUE(e->closed);
  const auto whole = get(events_path());
  EXPECT_THAT(ids(*whole), ElementsAre(1, 2, 3));
}

TEST_F(Push, AFinalEventStillOnItsWayIsWaitedFor) {
  tell(2, kJob);
  backend.jobs[kJob]["status"] = "completed";  // its event is not yet committed
  const auto e = get(events_path(), "2");
  EXPECT_FALSE(e->sent);
  backend.tell(kJob, "job.status", true);
  EXPECT_THAT(ids(*e), ElementsAre(3));
  EXPECT_TRUE(e->closed);
}

TEST_F(Push, FromNowBeginsWithASnapshot) {
  tell(3, kJob);
  const auto e = get(events_path() + "?from=now");
  EXPECT_THAT(e->written, HasSubstr("\"snapshot\":true"));
  tell(1, kJob);
  EXPECT_THAT(ids(*e), ElementsAre(3, 4));
  backend.jobs[kJob]["status"] = "failed";
  EXPECT_TRUE(get(events_path() + "?from=now")->closed);
}

TEST_F(Push, APrunedPlaceGivesOneResetWithTheSnapshot) {
  tell(5, kJob);
  backend.journal.erase(backend.journal.begin(), backend.journal.begin() + 3);
  for (const auto& [path, last] : {std::pair{events_path(), std::string("1")},
                                   {events_path(), std::string()},
                                   {std::string("/events"), std::string("1")}}) {
    const auto e = get(path, last);
    EXPECT_THAT(e->written, HasSubstr("\"type\":\"reset\"")) << path;
    EXPECT_THAT(ids(*e), ElementsAre(5));
    e->leave();
  }
  const auto e = get("/events", "3");
  EXPECT_THAT(ids(*e), ElementsAre(4, 5)) << "nothing is missing after 3";
}

TEST_F(Push, AFinishedJobWithoutEventsGivesItsStateAndEnds) {
  backend.jobs[kJob]["status"] = "completed";
  const auto e = get(events_path());
  EXPECT_THAT(e->written, HasSubstr("\"type\":\"reset\""));
  EXPECT_TRUE(e->closed);
}

TEST_F(Push, FiltersByJobUserAndType) {
  const auto job = get("/events?job_id=" + kOther.text());
  const auto user = get("/events?user=ada");
  const auto type = get("/events?type=job.status,cluster.scaled");
  tell(1, kJob);
  tell(1, kOther);
  backend.tell(std::nullopt, "cluster.scaled");
  backend.tell(kJob, "job.status", false, "ada");
  EXPECT_THAT(ids(*job), ElementsAre(2));
  EXPECT_THAT(ids(*user), ElementsAre(1, 4));
  EXPECT_THAT(ids(*type), ElementsAre(3, 4));
}

TEST_F(Push, AClientThatLeavesIsForgotten) {
  const auto e = get("/events");
  EXPECT_EQ(backend.subscribers.size(), 1u);
  e->leave();
  EXPECT_TRUE(backend.subscribers.empty());
  EXPECT_EQ(e.use_count(), 1) << "nothing holds the stream any more";
}

TEST_F(Push, RefusesWhatItDoesNotKnow) {
  EXPECT_EQ(get("/jobs/" + job_number(9).text() + "/events")->sent->status, 404);
  EXPECT_EQ(get(events_path() + "?from=yesterday")->sent->status, 422);
  EXPECT_EQ(get("/events?job_id=x")->sent->status, 422);
  EXPECT_EQ(get("/events?jobid=x")->sent->status, 422);
  EXPECT_EQ(get("/events", "x")->sent->status, 400);
}

}  // namespace
}  // namespace polysome::api
