#include "api/guard.h"

#include <gtest/gtest.h>

#include "api/fake_exchange.h"

namespace polysome::api {
namespace {

HttpRequest with(const std::string& name, const std::string& value) {
  HttpRequest r = local_request("POST", "/api/processing/jobs/submit");
  r.headers.push_back({name, value});
  return r;
}

TEST(Guard, KnowsItsOwnNames) {
  for (const char* host :
       {"localhost", "localhost:8001", "LocalHost:1", "127.0.0.1:9999", "[::1]:8001", "[::1]"})
    EXPECT_TRUE(check_host(host)) << host;
}

TEST(Guard, RefusesForeignHosts) {
  for (const char* host :
       {"evil.example", "localhost.evil.example", "127.0.0.1.nip.io:8001", "127.0.0.2",
        "localhost:8001@x", "x@localhost", "localhost:", "localhost:80a", "localhost:123456", "",
        "::1", "[::1", "localhost.", "0.0.0.0:8001", "localhost 8001"}) {
    const auto status = check_host(host, {"lab.example"});
    ASSERT_FALSE(status) << host;
    EXPECT_EQ(status.error().code, Code::kForbidden);
    EXPECT_FALSE(status.error().hint.empty()) << "a refusal names the way out";
  }
}

TEST(Guard, AnswersToHostsThatAreAllowed) {
  EXPECT_TRUE(check_host("lab.example:443", {"lab.example"}));
  EXPECT_TRUE(check_host("LAB.example", {"x", "lab.example"}));
  EXPECT_FALSE(check_host("a.lab.example", {"lab.example"}));
  EXPECT_NE(check_host("lab.example:1").error().hint.find("--allow-host lab.example"),
            std::string::npos);
}

TEST(Guard, LetsOnlyPagesOfItsOwnAddressIn) {
  EXPECT_TRUE(check_origin("http://localhost:8001", "localhost:8001"));
  for (const char* origin :
       {"http://evil.example", "null", "http://localhost:3000", "http://127.0.0.1:8001",
        "http://localhost", "file://", "http://localhost:8001.evil.example", ""})
    EXPECT_FALSE(check_origin(origin, "localhost:8001")) << origin;
}

TEST(Guard, TakesAStandardPortForItsAbsence) {
  EXPECT_TRUE(check_origin("http://localhost:80", "localhost"));
  EXPECT_TRUE(check_origin("https://lab.example", "lab.example:443"));
  EXPECT_FALSE(check_origin("https://localhost:80", "localhost"));
}

TEST(Guard, RefusesCallsABrowserMakesForForeignPages) {
  EXPECT_TRUE(check_fetch_site(with("Sec-Fetch-Site", "same-origin")));
  EXPECT_TRUE(check_fetch_site(with("Sec-Fetch-Site", "none")));
  for (const char* site : {"cross-site", "same-site", ""})
    EXPECT_FALSE(check_fetch_site(with("Sec-Fetch-Site", site))) << site;
}

TEST(Guard, KnowsHeadersOfProxies) {
  for (const char* name : {"X-Forwarded-For", "x-forwarded-host", "Forwarded", "X-Real-IP", "Via"})
    EXPECT_TRUE(is_forwarding(name)) << name;
  for (const char* name : {"Host", "Forward", "X-Request-Id"})
    EXPECT_FALSE(is_forwarding(name)) << name;
}

TEST(Guard, TakesJsonOrNothingAsABody) {
  HttpRequest r = local_request("POST", "/");
  EXPECT_TRUE(check_media(r, 0));
  EXPECT_EQ(check_media(r, 3).error().code, Code::kUnsupportedMedia);
  for (const char* good : {"application/json", "Application/JSON; charset=UTF-8",
                           "application/json;charset=\"utf-8\""})
    EXPECT_TRUE(check_media(with("Content-Type", good), 3)) << good;
  for (const char* bad :
       {"text/plain", "application/x-www-form-urlencoded", "multipart/form-data; boundary=x",
        "application/jsonp", "text/json", "application/json; charset=utf-16", ""})
    EXPECT_EQ(check_media(with("Content-Type", bad), 3).error().code, Code::kUnsupportedMedia)
        << bad;
  EXPECT_TRUE(check_media(with("Content-Type", "application/x-www-form-urlencoded"), 0));
}

TEST(Guard, BindsOtherAddressesThanLoopbackOnlyWithTokens) {
  for (const char* host : {"localhost", "127.0.0.1", "127.3.2.1", "::1", "[::1]"})
    EXPECT_TRUE(check_bind_host(host, false)) << host;
  for (const char* host :
       {"0.0.0.0", "::", "192.0.2.1", "example.org", "", "127.0.0.1.example.org"}) {
    const auto status = check_bind_host(host, false);
    ASSERT_FALSE(status) << host;
    EXPECT_NE(status.error().hint.find("polysome token new"), std::string::npos);
    EXPECT_TRUE(check_bind_host(host, true)) << host;
  }
}

}  // namespace
}  // namespace polysome::api
