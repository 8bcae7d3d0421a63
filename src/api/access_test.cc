#include "api/access.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cstdlib>
#include <filesystem>

#include "api/fake_backend.h"
#include "api/fake_exchange.h"
#include "api/routes.h"
#include "base/files.h"
#include "base/sha256.h"

namespace polysome::api {
namespace {

using testing::HasSubstr;

constexpr uid_t kNobody = 65534;

// Tokens "ada-token", and "ops-token" with all scopes, in a file of their own.
class AccessTest : public testing::Test {
 protected:
  AccessTest() {
    std::string name = testing::TempDir() + "access-XXXXXX";
    folder_ = ::mkdtemp(name.data());
    config.token_file = folder_ / "tokens";
  }
  ~AccessTest() override { std::filesystem::remove_all(folder_); }

  void write(const std::string& text, mode_t mode = 0600) {
    ASSERT_TRUE(write_file(config.token_file, text, false));
    ASSERT_EQ(::chmod(config.token_file.c_str(), mode), 0);
  }
  void write_tokens() {
    write("ada:" + sha256_hex("ada-token") + "\nops:" + sha256_hex("ops-token") +
          ":admin,submit_for\n");
  }
  static HttpRequest from(const std::string& address, std::vector<Header> more = {}) {
    HttpRequest r = local_request("GET", "/api/processing/health");
    r.segments = {"api", "processing", "health"};
    const bool loopback = address.starts_with("127.");
    r.peer = {address, 50'000, loopback};
    r.local = {loopback ? "127.0.0.1" : "192.0.2.1", 8001, loopback};
    r.peer_uid = [] { return std::optional<uid_t>(::geteuid()); };
    for (auto& h : more) r.headers.push_back(std::move(h));
    return r;
  }
  Result<Caller> admit(const HttpRequest& r) {
    Access access(config);
    const auto loaded = access.load_tokens();
    EXPECT_TRUE(loaded) << loaded.error().message;
    return access.admit(r);
  }
  // The error, which must name a way out.
  Error refused(const HttpRequest& r) {
    const auto caller = admit(r);
    EXPECT_FALSE(caller);
    if (caller) return Error(Code::kInternal, "was admitted");
    EXPECT_FALSE(caller.error().hint.empty());
    return caller.error();
  }

  AccessConfig config;

 private:
  std::filesystem::path folder_;
};

TEST_F(AccessTest, TheOwnAccountNeedsNothingOnThisMachine) {
  config.token_file.clear();
  const auto caller = admit(from("127.0.0.1"));
  ASSERT_TRUE(caller) << caller.error().message;
  EXPECT_TRUE(caller->admin && caller->submit_for);
}

TEST_F(AccessTest, OtherUsersOfThisMachineNeedAFlag) {
  config.token_file.clear();
  HttpRequest r = from("127.0.0.1");
  r.peer_uid = [] { return std::optional<uid_t>(kNobody); };
  const Error error = refused(r);
  EXPECT_EQ(error.code, Code::kForbidden);
  EXPECT_THAT(error.hint, HasSubstr("--allow-all-local"));
  config.allow_all_local = true;
  const auto caller = admit(r);
  ASSERT_TRUE(caller);
  EXPECT_EQ(caller->user, "nobody");
  EXPECT_FALSE(caller->admin || caller->submit_for);
  config.allow_all_local = false;
  config.allow_groups = {*group_of("nogroup")};
  EXPECT_TRUE(admit(r)) << "nobody's group is nogroup";
  config.allow_groups = {*group_of("0")};
  EXPECT_FALSE(admit(r));
}

TEST_F(AccessTest, ACallerWhoseSocketHasNoOwnerIsNobodyUnlessTheSystemNeverTells) {
  config.token_file.clear();
  HttpRequest r = from("127.0.0.1");
  r.peer_uid = [] { return std::optional<uid_t>(); };
  EXPECT_EQ(refused(r).code, Code::kForbidden);
  config.owners_known = false;
  EXPECT_EQ(admit(r)->user, "anonymous");
}

TEST_F(AccessTest, CallsFromElsewhereNeedAToken) {
  write_tokens();
  const Error error = refused(from("192.0.2.7"));
  EXPECT_EQ(error.code, Code::kUnauthorized);
  EXPECT_THAT(error.hint, HasSubstr("polysome token new NAME --token-file " + config.token_file));
  const auto ada = admit(from("192.0.2.7", {{"Authorization", "Bearer ada-token"}}));
  ASSERT_TRUE(ada);
  EXPECT_EQ(ada->user, "ada");
  EXPECT_FALSE(ada->admin || ada->submit_for);
  // base64 of "whoever:ops-token"
  const auto ops = admit(from("192.0.2.7", {{"Authorization", "basic d2hvZXZlcjpvcHMtdG9rZW4="}}));
  ASSERT_TRUE(ops);
  EXPECT_EQ(ops->user, "ops");
  EXPECT_TRUE(ops->admin && ops->submit_for);
}

TEST_F(AccessTest, AWrongTokenIsRefusedAlsoOnThisMachine) {
  write_tokens();
  for (const char* value : {"Bearer ada-toke", "Bearer", "Bearer ", "", "Digest x", "Basic !!",
                            "Basic YWRh", "ada-token", "Bearer ada-token,ops-token"})
    EXPECT_EQ(refused(from("127.0.0.1", {{"Authorization", value}})).code, Code::kUnauthorized)
        << value;
}

TEST_F(AccessTest, WithoutTokensTheHeaderIsSomebodyElses) {
  config.token_file.clear();
  EXPECT_TRUE(admit(from("127.0.0.1", {{"Authorization", "Basic eDp5"}})));
}

TEST_F(AccessTest, ATokenHolderMayCallTheServiceByAnyName) {
  write_tokens();
  HttpRequest r = from("192.0.2.7", {{"Authorization", "Bearer ada-token"}});
  r.headers[0].value = "node17.cluster:8001";
  EXPECT_TRUE(admit(r));
  r = from("127.0.0.1");
  r.headers[0].value = "node17.cluster:8001";
  EXPECT_THAT(refused(r).hint, HasSubstr("--allow-host node17.cluster"));
  config.allow_hosts = {"node17.cluster"};
  EXPECT_TRUE(admit(r));
}

TEST_F(AccessTest, ForeignPagesMayCallWhenTheirOriginIsAllowed) {
  HttpRequest r =
      from("127.0.0.1", {{"Origin", "https://lab.example"}, {"Sec-Fetch-Site", "cross-site"}});
  config.token_file.clear();
  EXPECT_THAT(refused(r).hint, HasSubstr("--allow-origin https://lab.example"));
  config.allow_origins = {"https://lab.example"};
  EXPECT_TRUE(admit(r));
  EXPECT_EQ(Access(config).foreign_origin(r), "https://lab.example");
  r.headers[1].value = "https://lab.example.evil.example";
  EXPECT_EQ(refused(r).code, Code::kForbidden);
}

TEST_F(AccessTest, ForwardedCallsNeedAProxyThatIsTrustedAndAToken) {
  write_tokens();
  HttpRequest r = from("127.0.0.1", {{"X-Forwarded-For", "203.0.113.9, 10.1.2.3"}});
  const Error unknown = refused(r);
  EXPECT_EQ(unknown.code, Code::kForbidden);
  EXPECT_THAT(unknown.hint, HasSubstr("--trust-proxy 127.0.0.1"));
  config.trust_proxies = {*parse_network("127.0.0.0/8"), *parse_network("10.0.0.0/8")};
  const Error error = refused(r);
  EXPECT_EQ(error.code, Code::kUnauthorized);
  EXPECT_THAT(error.message, HasSubstr("203.0.113.9"));
  r.headers.push_back({"Authorization", "Bearer ada-token"});
  EXPECT_EQ(admit(r)->user, "ada");
}

TEST_F(AccessTest, ProbesOfLoadBalancersNeedNoName) {
  HttpRequest r = from("192.0.2.7");
  config.token_file.clear();
  for (const char* probe : {"livez", "readyz"}) {
    r.segments = {probe};
    EXPECT_TRUE(admit(r)) << probe;
  }
  r.segments = {"version"};
  EXPECT_FALSE(admit(r));
}

TEST_F(AccessTest, AFileThatOthersMayReadIsRefused) {
  for (const mode_t mode : {0640, 0604, 0622}) {
    write("", mode);
    Access access(config);
    const auto loaded = access.load_tokens();
    ASSERT_FALSE(loaded) << mode;
    EXPECT_THAT(loaded.error().hint, HasSubstr("chmod 600"));
  }
}

TEST_F(AccessTest, TokensMadeLaterAreKnownAtOnceAndABadFileChangesNothing) {
  write_tokens();
  Access access(config);
  ASSERT_TRUE(access.load_tokens());
  const auto as = [&](const char* token) {
    const auto caller =
        access.admit(from("192.0.2.7", {{"Authorization", std::string("Bearer ") + token}}));
    return caller ? caller->user : std::string("-");
  };
  EXPECT_EQ(as("bob-token"), "-");
  ASSERT_TRUE(append_private_file(config.token_file, "bob:" + sha256_hex("bob-token") + "\n",
                                  [](const std::string&) { return Status(); }));
  EXPECT_EQ(as("bob-token"), "bob");
  write("nonsense\n");
  EXPECT_EQ(as("bob-token"), "bob");
  write("ada:" + sha256_hex("ada-token") + "\n");
  EXPECT_EQ(as("bob-token"), "-") << "taken back";
  EXPECT_EQ(as("ada-token"), "ada");
}

TEST(Networks, HoldTheAddressesOfTheirBits) {
  const auto holds = [](const char* network, const char* address) {
    return contains(*parse_network(network), address);
  };
  EXPECT_TRUE(holds("10.0.0.0/8", "10.255.1.2"));
  EXPECT_FALSE(holds("10.0.0.0/8", "11.0.0.1"));
  EXPECT_TRUE(holds("192.0.2.7", "192.0.2.7"));
  EXPECT_FALSE(holds("192.0.2.7", "192.0.2.6"));
  EXPECT_TRUE(holds("192.0.2.4/30", "192.0.2.7"));
  EXPECT_FALSE(holds("192.0.2.4/30", "192.0.2.8"));
  EXPECT_TRUE(holds("fd00::/8", "fd12::1"));
  EXPECT_FALSE(holds("fd00::/8", "10.0.0.1"));
  EXPECT_TRUE(holds("0.0.0.0/0", "1.2.3.4"));
  for (const char* bad : {"", "10.0.0", "10.0.0.0/33", "10.0.0.0/", "10.0.0.0/8x", "::/129", "x"})
    EXPECT_FALSE(parse_network(bad)) << bad;
}

// ---- what callers may see and do of others' jobs ----

class Rights : public testing::Test {
 protected:
  Rights() {
    add_routes(router, backend);
    backend.jobs[job_number(1)] = {{"job_id", job_number(1).text()},  {"user", "ada"},
                                   {"status", "completed"},           {"version", 3},
                                   {"parameters", {{"column", "x"}}}, {"result", {{"value", 4}}}};
  }
  static AccessConfig all_local() {
    AccessConfig config;
    config.allow_all_local = true;
    return config;
  }
  HttpResponse ask(uid_t uid, const std::string& method, const std::vector<std::string>& path,
                   const std::string& body = {}) {
    HttpRequest r = local_request(method, "/");
    r.segments = {"api", "processing"};
    r.segments.insert(r.segments.end(), path.begin(), path.end());
    if (!body.empty()) r.headers.push_back({"Content-Type", "application/json"});
    r.body = body;
    r.peer_uid = [uid] { return std::optional(uid); };
    const auto out = std::make_shared<FakeExchange>();
    router.handle(std::move(r), out);
    return out->sent.value_or(HttpResponse{});
  }

  FakeBackend backend;
  Router router{all_local()};
  const std::string job = job_number(1).text();
};

TEST_F(Rights, OfAnotherUsersJobOneSeesHowFarItIsAndNotWhatItIsAbout) {
  for (const bool twice : {false, true}) {
    const auto answer =
        twice ? ask(kNobody, "GET", {"jobs", job}) : ask(kNobody, "GET", {"jobs", job, "status"});
    ASSERT_EQ(answer.status, 200);
    const Json status = *parse_trusted_json(answer.body);
    EXPECT_EQ(status["status"], "completed");
    EXPECT_TRUE(status["parameters"].is_null() && status["result"].is_null());
    EXPECT_EQ(status["hidden"], Json({"parameters", "result"}));
  }
  const Json own = *parse_trusted_json(ask(::geteuid(), "GET", {"jobs", job, "status"}).body);
  EXPECT_EQ(own["result"]["value"], 4) << "the service's own account is an admin";
  EXPECT_FALSE(own.contains("hidden"));
}

TEST_F(Rights, ResultAndCancelAreForTheOwnerAndAdmins) {
  for (const auto& [method, what] :
       std::vector<std::pair<std::string, std::string>>{{"GET", "result"}, {"POST", "cancel"}}) {
    const auto refused = ask(kNobody, method, {"jobs", job, what});
    EXPECT_EQ(refused.status, 403) << what;
    EXPECT_THAT(refused.body, HasSubstr("is ada's"));
    EXPECT_THAT(refused.body, HasSubstr("token new NAME --admin"));
    EXPECT_EQ(ask(::geteuid(), method, {"jobs", job, what}).status, 200) << what;
  }
  backend.jobs[job_number(1)]["user"] = "nobody";
  EXPECT_EQ(ask(kNobody, "GET", {"jobs", job, "result"}).status, 200);
}

TEST_F(Rights, AnotherUsersResultIsNoDataset) {
  const std::string body =
      R"({"operation":"aggregate","dataset_id":"job:)" + job + R"(/features"})";
  const auto refused = ask(kNobody, "POST", {"jobs", "submit"}, body);
  EXPECT_EQ(refused.status, 403);
  EXPECT_THAT(refused.body, HasSubstr("/dataset_id"));
  EXPECT_EQ(ask(::geteuid(), "POST", {"jobs", "submit"}, body).status, 200);
}

TEST_F(Rights, OnlyThoseWhoMaySubmitForOthersNameAUser) {
  const std::string body = R"({"operation":"aggregate","dataset_id":"d","user":"bob"})";
  const auto refused = ask(kNobody, "POST", {"jobs", "submit"}, body);
  EXPECT_EQ(refused.status, 403);
  EXPECT_THAT(refused.body, HasSubstr("nobody"));
  const auto own = ask(kNobody, "POST", {"jobs", "submit"},
                       R"({"operation":"aggregate","dataset_id":"d","user":"nobody"})");
  EXPECT_EQ(own.status, 200);
  EXPECT_EQ((*parse_trusted_json(own.body))["asked"]["user"], "nobody");
}

TEST_F(Rights, EventsBeginWithASnapshotWithoutWhatIsHidden) {
  HttpRequest r = local_request("GET", "/");
  r.segments = {"api", "processing", "jobs", job, "events"};
  r.query = {{"from", "now"}};
  r.peer_uid = [] { return std::optional<uid_t>(kNobody); };
  const auto out = std::make_shared<FakeExchange>();
  backend.snapshot_data = backend.jobs[job_number(1)];
  router.handle(std::move(r), out);
  EXPECT_THAT(out->written, HasSubstr("\"hidden\":[\"parameters\",\"result\"]"));
  EXPECT_THAT(out->written, testing::Not(HasSubstr("column")));
}

// ---- pages of other origins ----

TEST(CrossOrigin, APreflightOfAnAllowedPageIsAnswered) {
  AccessConfig config;
  config.allow_origins = {"https://lab.example"};
  Router router(config);
  FakeBackend backend;
  add_routes(router, backend);
  HttpRequest r = local_request("OPTIONS", "/api/processing/jobs/submit");
  r.segments = {"api", "processing", "jobs", "submit"};
  r.headers.push_back({"Origin", "https://lab.example"});
  r.headers.push_back({"Access-Control-Request-Method", "POST"});
  const auto answer = router.refuse(r);
  ASSERT_TRUE(answer);
  EXPECT_EQ(answer->status, 204);
  const auto value = [](const HttpResponse& response, const std::string& name) {
    for (const auto& h : response.headers)
      if (h.name == name) return h.value;
    return std::string();
  };
  EXPECT_EQ(value(*answer, "Access-Control-Allow-Origin"), "https://lab.example");
  EXPECT_EQ(value(*answer, "Access-Control-Allow-Methods"), "POST");
  EXPECT_THAT(value(*answer, "Access-Control-Allow-Headers"), HasSubstr("Authorization"));
  EXPECT_EQ(value(*answer, "Access-Control-Allow-Credentials"), "");

  r.method = "GET";
  r.segments = {"api", "processing", "health"};
  r.peer_uid = [] { return std::optional<uid_t>(::geteuid()); };
  EXPECT_FALSE(router.refuse(r));
  const auto out = std::make_shared<FakeExchange>();
  router.handle(r, out);
  EXPECT_EQ(value(*out->sent, "Access-Control-Allow-Origin"), "https://lab.example");
  EXPECT_EQ(value(*out->sent, "Vary"), "Origin");

  r.headers[1].value = "https://evil.example";
  r.method = "OPTIONS";
  EXPECT_EQ(router.refuse(r)->status, 403);
}

}  // namespace
}  // namespace polysome::api
