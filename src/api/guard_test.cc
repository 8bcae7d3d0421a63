#include "api/guard.h"

#include <gtest/gtest.h>

#include "api/fake_exchange.h"

namespace polysome::api {
namespace {

HttpRequest with(const std::string& name, const std::string& value) {
  HttpRequest r = local_request("POST", "/api/processing/jobs/submit");
  if (same_name(name, "Host")) r.headers.clear();
  r.headers.push_back({name, value});
  return r;
}

Code refusal(const HttpRequest& r) {
  const auto status = check_caller(r);
  EXPECT_FALSE(status);
  if (status) return Code::kInternal;
  EXPECT_FALSE(status.error().hint.empty()) << "a refusal names the way out";
  return status.error().code;
}

TEST(Guard, LetsProgramsOfThisMachineIn) {
  for (const char* host :
       {"localhost", "localhost:8001", "LocalHost:1", "127.0.0.1:9999", "[::1]:8001", "[::1]"})
    EXPECT_TRUE(check_caller(with("Host", host))) << host;
}

TEST(Guard, RefusesForeignHosts) {
  for (const char* host :
       {"evil.example", "localhost.evil.example", "127.0.0.1.nip.io:8001", "127.0.0.2",
        "localhost:8001@x", "x@localhost", "localhost:", "localhost:80a", "localhost:123456", "",
        "::1", "[::1", "localhost.", "0.0.0.0:8001", "localhost 8001"})
    EXPECT_EQ(refusal(with("Host", host)), Code::kForbidden) << host;
}

TEST(Guard, LetsOnlyPagesOfItsOwnAddressIn) {
  EXPECT_TRUE(check_caller(with("Origin", "http://localhost:8001")));
  for (const char* origin :
       {"http://evil.example", "null", "http://localhost:3000", "http://127.0.0.1:8001",
        "http://localhost", "file://", "http://localhost:8001.evil.example", ""})
    EXPECT_EQ(refusal(with("Origin", origin)), Code::kForbidden) << origin;
}

TEST(Guard, TakesAStandardPortForItsAbsence) {
  HttpRequest r = with("Host", "localhost");
  r.headers.push_back({"Origin", "http://localhost:80"});
  EXPECT_TRUE(check_caller(r));
  r.headers.back().value = "https://localhost:80";
  EXPECT_FALSE(check_caller(r));
}

TEST(Guard, RefusesCallsABrowserMakesForForeignPages) {
  EXPECT_TRUE(check_caller(with("Sec-Fetch-Site", "same-origin")));
  EXPECT_TRUE(check_caller(with("Sec-Fetch-Site", "none")));
  for (const char* site : {"cross-site", "same-site", ""})
    EXPECT_EQ(refusal(with("Sec-Fetch-Site", site)), Code::kForbidden) << site;
}

TEST(Guard, RefusesForwardedCalls) {
  for (const char* header :
       {"X-Forwarded-For", "x-forwarded-host", "Forwarded", "X-Real-IP", "Via"})
    EXPECT_EQ(refusal(with(header, "127.0.0.1")), Code::kForbidden) << header;
}

TEST(Guard, RefusesEndsThatAreNotLoopback) {
  HttpRequest r = local_request("GET", "/livez");
  r.peer = {"192.0.2.7", 5, false};
  EXPECT_EQ(refusal(r), Code::kForbidden);
  r = local_request("GET", "/livez");
  r.local = {"192.0.2.1", 8001, false};
  EXPECT_EQ(refusal(r), Code::kForbidden);
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

TEST(Guard, BindsLoopbackOnly) {
  for (const char* host : {"localhost", "127.0.0.1", "127.3.2.1", "::1", "[::1]"})
    EXPECT_TRUE(check_bind_host(host)) << host;
  for (const char* host :
       {"0.0.0.0", "::", "192.0.2.1", "example.org", "", "127.0.0.1.example.org"}) {
    const auto status = check_bind_host(host);
    ASSERT_FALSE(status) << host;
    EXPECT_NE(status.error().hint.find("--host localhost"), std::string::npos);
  }
}

}  // namespace
}  // namespace polysome::api
