// Limits, time-outs and the manners of HTTP, over real sockets.
#include "api/server.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <filesystem>
#include <fstream>

#include "api/api_fixture.h"

namespace polysome::api {
namespace {

using testing::HasSubstr;

class HttpServer : public ApiTest {
 protected:
  HttpServer() { backend.jobs[job_number(1)] = {{"status", "completed"}, {"version", 3}}; }
  static constexpr const char* kLive = "GET /livez HTTP/1.1\r\nHost: localhost\r\n\r\n";
};

TEST_F(HttpServer, AnswersOnBothLoopbackAddresses) {
  start();
  for (const bool v6 : {false, true}) {
    RawClient client(port, v6);
    if (v6 && !client.connected()) GTEST_SKIP() << "this machine has no ::1";
    client.send(kLive);
    EXPECT_EQ(client.answer().status, 200);
  }
}

TEST_F(HttpServer, KeepsTheConnectionAndTakesPipelinedRequests) {
  start();
  RawClient client(port);
  std::string many;
  for (int i = 0; i < 50; ++i)
    many += request("GET", "/api/processing/jobs/list?limit=" + std::to_string(i + 1));
  client.send(many);
  for (int i = 0; i < 50; ++i) EXPECT_EQ(client.answer().json()["limit"], i + 1);
  client.send("\r\nGET /livez HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n");
  const auto last = client.answer();
  EXPECT_EQ(last.status, 200);
  EXPECT_EQ(last.header("Connection"), "close");
  EXPECT_TRUE(client.ended());
}

TEST_F(HttpServer, AnswersOneByteAtATime) {
  start();
  RawClient client(port);
  for (const char c : request("POST", "/api/processing/cluster/scale", R"({"n_workers":3})"))
    ASSERT_TRUE(client.send(std::string(1, c)));
  EXPECT_EQ(client.answer().json()["with"]["n_workers"], 3);
}

TEST_F(HttpServer, AnswersHttp10AndHalfClosedClients) {
  start();
  RawClient client(port);
  client.send("GET /livez HTTP/1.0\r\nHost: localhost\r\n\r\n");
  client.end_sending();
  EXPECT_EQ(client.answer().status, 200);
  EXPECT_TRUE(client.ended());
}

TEST_F(HttpServer, AnswersHeadAsGetWithoutTheBody) {
  start();
  RawClient client(port);
  client.send(request("HEAD", "/livez") + kLive);
  const auto head = client.answer(true);
  const auto get = client.answer();
  EXPECT_EQ(head.status, 200);
  EXPECT_EQ(head.header("Content-Length"), std::to_string(get.body.size()));
}

TEST_F(HttpServer, SaysContinueBeforeABodyIsSent) {
  start();
  RawClient client(port);
  client.send(
      "POST /api/processing/cluster/scale HTTP/1.1\r\nHost: localhost\r\nExpect: 100-continue\r\n"
      "Content-Type: application/json\r\nContent-Length: 15\r\n\r\n");
  EXPECT_EQ(client.answer().status, 100);
  client.send(R"({"n_workers":2})");
  EXPECT_EQ(client.answer().status, 200);
}

TEST_F(HttpServer, RefusesABodyOver1MBAnnouncedOrChunkedAndTellsTheClient) {
  start();
  const std::string two_megabytes(2'000'000, ' ');
  const auto announced = ask("POST", "jobs/submit", two_megabytes);
  EXPECT_EQ(announced.status, 413);
  EXPECT_EQ(announced.header("Content-Type"), "application/problem+json");
  EXPECT_EQ(announced.json()["code"], "too_large");
  RawClient client(port);
  client.send(
      "POST /api/processing/jobs/submit HTTP/1.1\r\nHost: localhost\r\nContent-Type: "
      "application/json\r\n"
      "Transfer-Encoding: chunked\r\n\r\n");
  for (int i = 0; i < 20; ++i) client.send("186a0\r\n" + std::string(100'000, ' ') + "\r\n");
  EXPECT_EQ(client.answer().status, 413);
  const std::string just_fits = "{" + std::string(999'998, ' ') + "}";
  EXPECT_EQ(ask("POST", "cluster/start", just_fits).status, 200);
}

TEST_F(HttpServer, RefusesHeadsOver8kB) {
  start();
  EXPECT_EQ(ask("GET", "/livez", "", "X-A: " + std::string(7'900, 'a') + "\r\n").status, 200);
  EXPECT_EQ(ask("GET", "/livez", "", "X-A: " + std::string(9'000, 'a') + "\r\n").status, 431);
  EXPECT_EQ(ask("GET", "/" + std::string(20'000, 'a')).status, 431);
  RawClient endless(port);
  endless.send("GET / HTTP/1.1\r\nX-A: " + std::string(100'000, 'a'));
  EXPECT_EQ(endless.answer().status, 431);
}

TEST_F(HttpServer, RefusesAmbiguousRequestsAndClosesTheConnection) {
  start();
  for (const std::string bad :
       {"POST /livez HTTP/1.1\r\nHost: localhost\r\nContent-Length: 4\r\nTransfer-Encoding: "
        "chunked\r\n\r\n0\r\n\r\n",
        "GET /livez HTTP/1.1\r\nHost: localhost\r\nX-A: a\r\n b\r\n\r\n",
        "GET /livez HTTP/1.1\r\nHost: localhost\r\nHost: evil.example\r\n\r\n",
        "GET /livez HTTP/1.1\nHost: localhost\n\n", "hello\r\n\r\n"}) {
    RawClient client(port);
    client.send(bad + std::string(kLive));
    const auto answer = client.answer();
    EXPECT_EQ(answer.status, 400) << bad;
    EXPECT_EQ(answer.json()["code"], "malformed");
    EXPECT_TRUE(client.ended());
    EXPECT_EQ(client.unread(), "") << "what follows is never taken for a request";
  }
}

TEST_F(HttpServer, RefusesWhatAForeignPageCouldSend) {
  start();
  const std::string submit = "POST /api/processing/jobs/submit HTTP/1.1\r\n";
  EXPECT_EQ(raw(submit + "Host: evil.example:8001\r\nContent-Length: 0\r\n\r\n").status, 403);
  EXPECT_EQ(raw(submit +
                "Host: localhost:8001\r\nOrigin: http://evil.example\r\nContent-Length: 0\r\n\r\n")
                .status,
            403);
  EXPECT_EQ(raw(submit + "Host: localhost\r\nX-Forwarded-For: 1.2.3.4\r\nContent-Length: 0\r\n\r\n")
                .status,
            403);
  EXPECT_EQ(
      raw(submit + "Host: localhost\r\nSec-Fetch-Site: cross-site\r\nContent-Length: 0\r\n\r\n")
          .status,
      403);
  EXPECT_EQ(
      raw(submit + "Host: localhost\r\nContent-Type: text/plain\r\nContent-Length: 2\r\n\r\n{}")
          .status,
      415);
  EXPECT_EQ(raw(submit +
                "Host: localhost\r\nContent-Type: text/plain\r\nTransfer-Encoding: chunked\r\n\r\n"
                "2\r\n{}\r\n0\r\n\r\n")
                .status,
            415);
  EXPECT_EQ(raw("GET http://evil.example/version HTTP/1.1\r\nHost: localhost\r\n\r\n").status, 403);
  EXPECT_TRUE(from_loop([&] { return backend.asked.empty(); }))
      << "none of them reached the service";
}

TEST_F(HttpServer, GivesSlowHeadsAndBodiesUp) {
  config.head_timeout = Millis(100);
  config.body_timeout = Millis(100);
  start();
  RawClient head(port);
  head.send("GET /livez HT");
  EXPECT_EQ(head.answer().status, 408);
  EXPECT_TRUE(head.ended());
  RawClient body(port);
  body.send(
      "POST /api/processing/cluster/start HTTP/1.1\r\nHost: localhost\r\nContent-Type: "
      "application/json\r\n"
      "Content-Length: 10\r\n\r\n{");
  EXPECT_EQ(body.answer().status, 408);
}

TEST_F(HttpServer, ASlowHeadIsGivenUpHoweverItsBytesTrickle) {
  config.head_timeout = Millis(200);
  start();
  RawClient client(port);
  client.send("GET /livez HTTP/1.1\r\n");
  bool answered = false;
  for (int i = 0; i < 1000 && !answered; ++i) {
    client.send("X: y\r\n");
    std::this_thread::sleep_for(std::chrono::milliseconds(10));
    std::array<char, 1> byte{};
    answered = ::recv(client.fd(), byte.data(), 1, MSG_DONTWAIT | MSG_PEEK) == 1;
  }
  EXPECT_EQ(client.answer().status, 408);
}

TEST_F(HttpServer, ClosesIdleConnections) {
  config.idle_timeout = Millis(50);
  start();
  RawClient fresh(port), used(port);
  used.send(kLive);
  EXPECT_EQ(used.answer().status, 200);
  EXPECT_TRUE(fresh.ended());
  EXPECT_TRUE(used.ended());
  EXPECT_TRUE(eventually([&] { return server->connections() == 0; }));
}

TEST_F(HttpServer, MakesRoomForNewClientsByClosingIdleOnes) {
  config.max_connections = 2;
  start();
  std::vector<std::unique_ptr<RawClient>> clients;
  for (int i = 0; i < 10; ++i) {
    clients.push_back(std::make_unique<RawClient>(port));
    clients.back()->send(kLive);
    EXPECT_EQ(clients.back()->answer().status, 200) << i;
  }
  EXPECT_TRUE(clients.front()->ended());
  EXPECT_LE(from_loop([&] { return server->connections(); }), 4u)
      << "the limit, and one more an address";
}

TEST_F(HttpServer, BusyConnectionsMakeNewOnesWaitNotFail) {
  config.max_connections = 1;
  backend.hold_waits = true;
  start();
  const std::string wait =
      request("GET", "/api/processing/jobs/" + job_number(1).text() + "/status?wait=60");
  RawClient one(port), two(port), next(port);
  one.send(wait);
  two.send(wait);
  ASSERT_TRUE(eventually([&] { return backend.waiting.size() == 2; }));
  next.send(kLive);
  on_loop([&] { backend.waiting.at(0)(Json{{"status", "completed"}}); });
  EXPECT_EQ(next.answer().status, 200);
}

TEST_F(HttpServer, StreamsAFileWithItsNameAndRemovesIt) {
  std::string content;
  for (int i = 0; i < 200'000; ++i) content += std::to_string(i) + ",x\n";
  const auto path = std::filesystem::temp_directory_path() /
                    ("polysome-api-" + std::to_string(::getpid()) + ".csv");
  std::ofstream(path) << content;
  backend.file_to_send = path.string();
  start();
  const auto answer = ask("GET", "jobs/" + job_number(1).text() + "/result?format=csv");
  EXPECT_EQ(answer.status, 200);
  EXPECT_EQ(answer.header("Content-Type"), "text/csv");
  EXPECT_EQ(answer.header("Content-Disposition"),
            "attachment; filename=\"m__trics_1.csv\"; filename*=UTF-8''m%C3%A9trics%201.csv");
  EXPECT_TRUE(answer.body == content) << answer.body.size() << " bytes of " << content.size();
  EXPECT_FALSE(std::filesystem::exists(path));
  const auto gone = ask("GET", "jobs/" + job_number(1).text() + "/result?format=csv");
  EXPECT_EQ(gone.status, 500) << "a file that is not there is no crash";
}

TEST_F(HttpServer, AnEventStreamHasHeartbeatsAndItsEndIsTold) {
  push.heartbeat = Millis(20);
  start();
  RawClient client(port);
  client.send(request("GET", "/api/processing/events"));
  ASSERT_TRUE(client.read_until("retry: 2000\n\n"));
  EXPECT_THAT(client.unread(), HasSubstr("Content-Type: text/event-stream"));
  EXPECT_TRUE(client.read_until(": still here\n\n"));
  on_loop([&] { backend.tell(job_number(1), "job.progress"); });
  EXPECT_TRUE(client.read_until("id: 1\ndata: {"));
  client.close();
  EXPECT_TRUE(eventually([&] { return backend.subscribers.empty(); }));
}

TEST_F(HttpServer, AStreamThatEndsLeavesTheConnectionForTheNextRequest) {
  start();
  on_loop([&] { backend.tell(job_number(1), "job.status", true); });
  RawClient client(port);
  client.send(request("GET", "/api/processing/jobs/" + job_number(1).text() + "/events") + kLive);
  const auto events = client.answer();
  EXPECT_EQ(events.body,
            "retry: 2000\n\nid: 1\ndata: {\"id\":1,\"type\":\"job.status\",\"seq\":1}\n\n");
  EXPECT_EQ(client.answer().status, 200);
}

TEST_F(HttpServer, CutsAClientOffThatDoesNotTakeItsEvents) {
  config.max_stream_buffer = 100'000;
  start();
  RawClient slow(port, false, 4096), quick(port);
  slow.send(request("GET", "/api/processing/events"));
  quick.send(request("GET", "/api/processing/events"));
  ASSERT_TRUE(eventually([&] { return backend.subscribers.size() == 2; }));
  const std::string large(50'000, 'x');
  int told = 0;
  // Tells until the slow one is cut; the quick one reads along.
  while (told < 2000 && from_loop([&] { return backend.subscribers.size() == 2; })) {
    on_loop([&] { backend.tell(std::nullopt, large); });
    ++told;
    ASSERT_TRUE(quick.read_until("id: " + std::to_string(told) + "\n"));
  }
  EXPECT_LT(told, 2000);
  EXPECT_EQ(from_loop([&] { return backend.subscribers.size(); }), 1u);
  EXPECT_TRUE(slow.ended());
}

TEST_F(HttpServer, ARequestNobodyAnswersGets500) {
  backend.hold_waits = true;
  start();
  RawClient client(port);
  client.send(request("GET", "/api/processing/jobs/" + job_number(1).text() + "/status?wait=60"));
  ASSERT_TRUE(eventually([&] { return backend.waiting.size() == 1; }));
  on_loop([&] { backend.waiting.clear(); });
  EXPECT_EQ(client.answer().status, 500);
}

TEST_F(HttpServer, AnAnswerToAClientThatLeftIsDropped) {
  backend.hold_waits = true;
  start();
  RawClient client(port);
  client.send(request("GET", "/api/processing/jobs/" + job_number(1).text() + "/status?wait=60"));
  ASSERT_TRUE(eventually([&] { return backend.waiting.size() == 1; }));
  const linger reset{1, 0};
  ::setsockopt(client.fd(), SOL_SOCKET, SO_LINGER, &reset, sizeof(reset));
  client.close();
  EXPECT_TRUE(eventually([&] { return server->connections() == 0; }));
  on_loop([&] { backend.waiting.at(0)(Json{{"status", "completed"}}); });
  EXPECT_EQ(ask("GET", "/livez").status, 200);
}

TEST_F(HttpServer, StopsGracefully) {
  backend.hold_waits = true;
  start();
  RawClient idle(port), stream(port), busy(port);
  stream.send(request("GET", "/api/processing/events"));
  ASSERT_TRUE(stream.read_until("retry"));
  busy.send(request("GET", "/api/processing/jobs/" + job_number(1).text() + "/status?wait=60"));
  ASSERT_TRUE(eventually([&] { return backend.waiting.size() == 1; }));
  std::promise<void> done;
  on_loop([&] { server->stop([&] { done.set_value(); }); });
  EXPECT_TRUE(idle.ended());
  EXPECT_TRUE(stream.read_until("0\r\n\r\n"));
  EXPECT_FALSE(RawClient(port).connected());
  on_loop([&] { backend.waiting.at(0)(Json{{"status", "completed"}}); });
  EXPECT_EQ(busy.answer().status, 200);
  busy.close();
  stream.close();
  done.get_future().wait();
  EXPECT_TRUE(from_loop([&] { return backend.subscribers.empty(); }));
}

TEST_F(HttpServer, CutsWhatDoesNotEndWithinTheGrace) {
  config.stop_grace = Millis(50);
  backend.hold_waits = true;
  start();
  RawClient busy(port);
  busy.send(request("GET", "/api/processing/jobs/" + job_number(1).text() + "/status?wait=60"));
  ASSERT_TRUE(eventually([&] { return backend.waiting.size() == 1; }));
  std::promise<void> done;
  on_loop([&] { server->stop([&] { done.set_value(); }); });
  done.get_future().wait();
  EXPECT_TRUE(busy.ended());
}

TEST_F(HttpServer, SaysWhoHasThePort) {
  start();
  boost::asio::io_context other_loop;
  ServerConfig other = config;
  other.port = port;
  Server second(other_loop, other, router);
  const auto started = second.start();
  ASSERT_FALSE(started);
  EXPECT_EQ(started.error().code, Code::kConflict);
  EXPECT_THAT(started.error().message,
              HasSubstr("port " + std::to_string(port) + " is in use by "));
  EXPECT_THAT(started.error().message, HasSubstr("pid " + std::to_string(::getpid())));
  EXPECT_THAT(started.error().hint, HasSubstr("--port"));
}

TEST_F(HttpServer, ATakenDashboardPortDoesNotKeepTheServiceFromStarting) {
  start();
  boost::asio::io_context other_loop;
  ServerConfig other = config;
  other.dashboard_port = port;
  Server second(other_loop, other, router);
  ASSERT_TRUE(second.start());
  EXPECT_EQ(second.dashboard_port(), 0);
  EXPECT_NE(second.port(), 0);
}

TEST_F(HttpServer, RefusesToBindForeignAddresses) {
  boost::asio::io_context other_loop;
  ServerConfig other;
  other.host = "0.0.0.0";
  Server server(other_loop, other, router);
  const auto started = server.start();
  ASSERT_FALSE(started);
  EXPECT_EQ(started.error().code, Code::kInvalid);
}

}  // namespace
}  // namespace polysome::api
