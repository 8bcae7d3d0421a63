#include "cli/service_client.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "cli/fake_service.h"
#include "cli/follow.h"
#include "cli/phrases.h"

namespace polysome::cli {
namespace {

using ::testing::HasSubstr;

constexpr const char* kFirst = "01890000-0000-7000-8000-00007c1e09aa";
constexpr const char* kSecond = "01890000-0000-7000-8000-00007d1e09aa";

TEST(HttpClient, ReadsChunkedAnswersInPieces) {
  FakeService service([](const auto&, const auto&) {
    return FakeAnswer{{"HTTP/1.1 200 OK\r\nTransfer-Enc", "oding: chunked\r\n\r\n5\r\nhe",
                       "llo\r\n1", "\r\n!\r\n0\r\n\r\n"}};
  });
  auto client = HttpClient::open(service.url());
  ASSERT_TRUE(client);
  for (int i = 0; i < 3; ++i) {
    const auto answer = client->send({});
    ASSERT_TRUE(answer) << answer.error().message;
    EXPECT_EQ(answer->body, "hello!");
  }
  EXPECT_EQ(service.connections(), 1);
}

TEST(HttpClient, StreamsSuccessesAndCollectsErrors) {
  FakeService service([](const std::string& line, const auto&) {
    return line.find("/bad") == std::string::npos ? json_answer("abc")
                                                  : json_answer("why", "409 Conflict");
  });
  auto client = HttpClient::open(service.url());
  std::string streamed;
  HttpAsk ask;
  ask.target = "/good";
  ask.sink = [&](std::string_view piece) -> Status {
    streamed += piece;
    return {};
  };
  EXPECT_EQ(client->send(ask)->body, "");
  ask.target = "/bad";
  EXPECT_EQ(client->send(ask)->body, "why");
  EXPECT_EQ(streamed, "abc");
}

TEST(HttpClient, AsksAgainWhenAKeptConnectionWasClosed) {
  FakeService service([](const auto&, const auto&) {
    FakeAnswer answer = json_answer("{}");
    answer.close = true;  // without saying so
    return answer;
  });
  auto client = HttpClient::open(service.url());
  for (int i = 0; i < 3; ++i) EXPECT_TRUE(client->send({}));
  EXPECT_EQ(service.connections(), 3);
}

TEST(HttpClient, TruncatedAnswersAreErrors) {
  FakeService service([](const auto&, const auto&) {
    return FakeAnswer{{"HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\nhalf"}, true};
  });
  auto client = HttpClient::open(service.url());
  const auto answer = client->send({});
  ASSERT_FALSE(answer);
  EXPECT_EQ(answer.error().code, Code::kUnavailable);
}

TEST(HttpClient, NobodyThereIsExitSixWithTheNextStep) {
  std::string url;
  {
    const FakeService gone([](const auto&, const auto&) { return FakeAnswer{}; });
    url = gone.url();
  }
  auto client = ServiceClient::open(url);
  const auto answer = client->get("queue/status");
  ASSERT_FALSE(answer);
  EXPECT_EQ(info(answer.error().code).exit_code, 6);
  EXPECT_THAT(answer.error().message, HasSubstr("no Polysome at " + url));
  EXPECT_THAT(answer.error().hint, HasSubstr("polysome serve"));
}

TEST(HttpClient, AddressesAreChecked) {
  EXPECT_EQ(HttpClient::open("localhost:9000")->url(), "http://localhost:9000");
  EXPECT_EQ(HttpClient::open("http://[::1]:8001/")->url(), "http://[::1]:8001");
  for (const char* bad :
       {"https://x", "http://", "http://a:b", "http://a/b", "a b", "http://a:999999"})
    EXPECT_FALSE(HttpClient::open(bad)) << bad;
}

TEST(ServiceClient, ProblemsKeepTheirCodeHintAndItems) {
  FakeService service([](const auto&, const auto&) {
    return json_answer(
        R"({"type":"x","title":"t","status":422,"detail":"no dataset \"a\"","code":"invalid",
                           "hint":"load it","errors":[{"pointer":"/dataset_id","message":"m"}]})",
        "422 Unprocessable Entity");
  });
  auto client = ServiceClient::open(service.url());
  const auto answer = client->post("jobs/submit", Json::object());
  ASSERT_FALSE(answer);
  EXPECT_EQ(answer.error().code, Code::kInvalid);
  EXPECT_EQ(answer.error().hint, "load it");
  EXPECT_EQ(answer.error().message, "no dataset \"a\"");
}

// A service that knows two jobs, one of them called "nightly".
FakeAnswer two_jobs(const std::string& line, const std::string&) {
  const auto job = [](const char* id, const char* name) {
    return Json{{"job_id", id}, {"name", *name != '\0' ? Json(name) : Json()}};
  };
  Json jobs = Json::array();
  if (line.find("name=nightly") != std::string::npos)
    jobs = Json::array({job(kSecond, "nightly")});
  else if (line.find("name=") == std::string::npos)
    jobs = Json::array({job(kSecond, "nightly"), job(kFirst, "")});
  if (line.find("limit=1 ") != std::string::npos &&
      line.find("user=anonymous") == std::string::npos)
    jobs = Json::array();
  return json_answer(dump(Json{{"jobs", jobs}, {"next_page_token", nullptr}}));
}

TEST(JobNames, FullIdsEndsUniqueNamesAndLast) {
  FakeService service(two_jobs);
  auto client = ServiceClient::open(service.url());
  EXPECT_EQ(client->job_id(kFirst), kFirst);
  EXPECT_EQ(client->job_id("7c1e09aa"), kFirst);
  EXPECT_EQ(client->job_id("7C1E09AA"), kFirst);
  EXPECT_EQ(client->job_id("nightly"), kSecond);
  // Nothing of this login: the newest of those the service could not name.
  EXPECT_EQ(client->job_id("last"), kSecond);
}

TEST(JobNames, AmbiguousShortAndUnknownOnesAreExplained) {
  FakeService service(two_jobs);
  auto client = ServiceClient::open(service.url());
  const auto several = client->job_id("1e09aa");
  ASSERT_FALSE(several);
  EXPECT_EQ(info(several.error().code).exit_code, 7);
  EXPECT_THAT(several.error().message, HasSubstr(kFirst));
  const auto none = client->job_id("7c1e09ab");
  ASSERT_FALSE(none);
  EXPECT_EQ(info(none.error().code).exit_code, 5);
  EXPECT_THAT(none.error().message, HasSubstr("did you mean \"7c1e09aa\"?"));
  EXPECT_THAT(client->job_id("9aa").error().hint, HasSubstr("6 characters"));
  EXPECT_THAT(client->job_id("nightl").error().message, HasSubstr("did you mean \"nightly\"?"));
}

TEST(Follow, GoesOnThroughARestartOfTheService) {
  int asked = 0;
  std::vector<std::string> lines;
  FakeService service([&](const std::string& line, const auto&) -> FakeAnswer {
    lines.push_back(line);
    switch (++asked) {
      case 1: return json_answer(R"({"status":"running","version":40})");
      case 2: return {{}, true};  // killed in the middle of a long poll
      case 3: return {{}, true};  // the new connection, not up yet
      case 4: return json_answer(R"({"status":"running","version":2})");
      default: return json_answer(R"({"status":"completed","version":3})");
    }
  });
  auto client = ServiceClient::open(service.url());
  int lost = 0, seen = 0;
  FollowOptions options;
  options.on_lost = [&](const Error&) { ++lost; };
  options.on_status = [&](const Json&) { ++seen; };
  const auto end = follow_job(*client, kFirst, options);
  ASSERT_TRUE(end) << end.error().message;
  EXPECT_EQ(text_of(*end, "status"), "completed");
  EXPECT_EQ(lost, 1);
  EXPECT_EQ(seen, 3);
  // After the loss the state is asked for as it is, not above the old version.
  EXPECT_THAT(lines[1], HasSubstr("after=40"));
  EXPECT_THAT(lines[3], ::testing::Not(HasSubstr("after=")));
  EXPECT_THAT(lines[4], HasSubstr("after=2"));
}

TEST(Follow, GivesUpAtItsTimeWithTheStateAsItIs) {
  FakeService service(
      [](const auto&, const auto&) { return json_answer(R"({"status":"running","version":1})"); });
  auto client = ServiceClient::open(service.url());
  FollowOptions options;
  options.until = mono_now();
  const auto end = follow_job(*client, kFirst, options);
  ASSERT_TRUE(end);
  EXPECT_EQ(exit_code_of(*end), 8);
}

TEST(Encoding, LeavesOnlyUnreservedCharacters) { EXPECT_EQ(encode("a b/ä~"), "a%20b%2F%C3%A4~"); }

}  // namespace
}  // namespace polysome::cli
