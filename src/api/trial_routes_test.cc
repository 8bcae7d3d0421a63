// jobs/validate, jobs/{id}/retry, jobs/{id}/logs, operations, openapi.json and docs over a fake
// backend.
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <unistd.h>

#include <set>

#include "api/fake_backend.h"
#include "api/fake_exchange.h"
#include "api/openapi.h"
#include "api/request_target.h"
#include "api/routes.h"
#include "base/error.h"

namespace polysome::api {
namespace {

using testing::HasSubstr;

class Trial : public testing::Test {
 protected:
  Trial() {
    add_routes(router, backend);
    backend.jobs[job_number(1)] = {
        {"job_id", job_number(1).text()}, {"user", "ada"}, {"status", "failed"}, {"version", 3}};
  }
  std::shared_ptr<FakeExchange> ask(const std::string& method, const std::string& path,
                                    const std::string& body = {}, std::vector<Header> more = {}) {
    HttpRequest r =
        local_request(method, path.starts_with('/') ? path : std::string(kBase) + "/" + path);
    EXPECT_TRUE(parse_target(&r));
    if (!body.empty()) r.headers.push_back({"Content-Type", "application/json"});
    for (auto& h : more) r.headers.push_back(std::move(h));
    r.body = body;
    auto out = std::make_shared<FakeExchange>();
    if (auto refusal = router.refuse(r))
      out->send(*refusal);
    else
      router.handle(std::move(r), out);
    return out;
  }
  static Json json(const std::shared_ptr<FakeExchange>& e) {
    return e->sent ? parse_trusted_json(e->sent->body).value_or(Json()) : Json();
  }

  FakeBackend backend;
  Router router;
  const std::string job = "jobs/" + job_number(1).text();
};

TEST_F(Trial, ValidateAnswersAWrongRequestWithWhatIsWrong) {
  const auto wrong =
      json(ask("POST", "jobs/validate", R"({"operation":"agregate","dataset_id":"d"})"));
  EXPECT_EQ(wrong["valid"], false);
  EXPECT_EQ(wrong["errors"][0]["pointer"], "/operation");
  EXPECT_THAT(wrong["errors"][0]["message"].get<std::string>(), HasSubstr("did you mean"));
  EXPECT_TRUE(wrong["plan"].is_null());
  EXPECT_EQ(wrong["problem"]["code"], "invalid");
  const auto right =
      json(ask("POST", "jobs/validate", R"({"operation":"aggregate","dataset_id":"d"})"));
  EXPECT_EQ(right["valid"], true);
  EXPECT_EQ(right["plan"]["tasks"], 3);
  backend.refuse_plan = Error(Code::kUserData, "column \"x\" is not in d").at("/parameters/column");
  const auto data =
      json(ask("POST", "jobs/validate", R"({"operation":"aggregate","dataset_id":"d"})"));
  EXPECT_EQ(data["valid"], false);
  EXPECT_EQ(data["errors"][0]["pointer"], "/parameters/column");
  backend.refuse_plan = Error(Code::kUnavailable, "not now");
  EXPECT_EQ(
      ask("POST", "jobs/validate", R"({"operation":"aggregate","dataset_id":"d"})")->sent->status,
      503);
  EXPECT_EQ(ask("POST", "jobs/validate", "{")->sent->status, 400);
  for (const auto& [what, with] : backend.asked) EXPECT_EQ(what, "validate");
}

TEST_F(Trial, RetryHandsTheChangesOnAndAnswersLikeSubmit) {
  const auto out =
      ask("POST", job + "/retry", R"({"on_bad_value":"null"})", {{"Idempotency-Key", "k"}});
  ASSERT_EQ(out->sent->status, 200);
  EXPECT_EQ(json(out)["job_id"], job_number(8).text());
  const Json asked = backend.asked.at(0).second;
  EXPECT_EQ(asked["body"], Json({{"on_bad_value", "null"}}));
  EXPECT_EQ(asked["key"], "k");
  // The hash of a repeat knows the job it is about.
  backend.jobs[job_number(2)] = backend.jobs[job_number(1)];
  ask("POST", "jobs/" + job_number(2).text() + "/retry", R"({"on_bad_value":"null"})");
  EXPECT_NE(backend.asked.at(1).second["hash"], asked["hash"]);
  EXPECT_EQ(ask("POST", "jobs/" + job_number(9).text() + "/retry", "{}")->sent->status, 200)
      << "whether a job exists is the backend's to say";
}

TEST_F(Trial, LogsComeInPages) {
  backend.log = {"one", "two", "three"};
  const auto first = json(ask("GET", job + "/logs?limit=2"));
  EXPECT_EQ(first["logs"].size(), 2U);
  EXPECT_EQ(first["status"], "failed");
  const auto rest = json(
      ask("GET", job + "/logs?limit=2&page_token=" + first["next_page_token"].get<std::string>()));
  EXPECT_EQ(rest["logs"][0]["message"], "three");
  EXPECT_TRUE(rest["next_page_token"].is_null());
  EXPECT_EQ(ask("GET", job + "/logs?page_token=x")->sent->status, 400);
}

TEST_F(Trial, AFollowedLogGoesOnToTheJobsEnd) {
  backend.jobs[job_number(1)]["status"] = "running";
  backend.log = {"one"};
  const auto out = ask("GET", job + "/logs?follow=true");
  EXPECT_EQ(out->options.content_type, "application/x-ndjson");
  EXPECT_THAT(out->written, HasSubstr("\"one\""));
  EXPECT_TRUE(out->open);
  backend.log.emplace_back("two");
  backend.log_told(false);
  EXPECT_THAT(out->written, HasSubstr("\"two\""));
  backend.log.emplace_back("last");
  const auto told = backend.log_told;
  told(true);
  EXPECT_THAT(out->written, HasSubstr("\"last\""));
  EXPECT_TRUE(out->closed);
  // Of a job that is over the stream ends by itself.
  backend.jobs[job_number(1)]["status"] = "failed";
  EXPECT_TRUE(ask("GET", job + "/logs?follow=true")->closed);
}

TEST_F(Trial, OperationsAreDescribedWithTheSchemaOfTheirParameters) {
  const auto all = json(ask("GET", "operations"));
  EXPECT_EQ(all["operations"][0]["name"], "aggregate");
  const auto one = json(ask("GET", "operations/aggregate"));
  EXPECT_EQ(one["parameters_schema"]["properties"]["column"]["type"], "string");
  EXPECT_EQ(one["parameters_schema"]["additionalProperties"], false);
  const auto none = ask("GET", "operations/agregate");
  EXPECT_EQ(none->sent->status, 404);
  EXPECT_THAT(none->sent->body, HasSubstr("did you mean \\\"aggregate\\\""));
}

TEST_F(Trial, TheOpenApiDocumentHasEveryRouteAndEveryReferenceLeadsSomewhere) {
  const Json document = json(ask("GET", "/openapi.json"));
  EXPECT_EQ(document["openapi"], "3.1.0");
  std::size_t operations = 0;
  std::set<std::string> ids;
  for (const auto& [path, methods] : document["paths"].items())
    for (const auto& [method, entry] : methods.items()) {
      ++operations;
      EXPECT_TRUE(ids.insert(entry["operationId"].get<std::string>()).second) << path;
    }
  EXPECT_EQ(operations, router.routes().size());
  const auto& submit = document["components"]["schemas"]["Submit"];
  EXPECT_EQ(submit["discriminator"]["propertyName"], "operation");
  EXPECT_EQ(submit["oneOf"].size(), backend.catalog().names().size());
  const std::function<void(const Json&)> follow = [&](const Json& j) {
    if (j.is_object() && j.contains("$ref")) {
      const auto target = j["$ref"].get<std::string>();
      EXPECT_TRUE(document.contains(Json::json_pointer(target.substr(1)))) << target;
    }
    if (j.is_structured())
      for (const auto& item : j) follow(item);
  };
  follow(document);
}

TEST_F(Trial, ThePagesNameEveryRouteAndEveryCode) {
  const auto docs = ask("GET", "/docs")->sent->body;
  for (const auto& route : router.routes()) EXPECT_THAT(docs, HasSubstr(route.pattern));
  EXPECT_THAT(docs, testing::Not(HasSubstr("<script")));
  const auto problems = ask("GET", "/docs/problems")->sent->body;
  for (const auto& code : all_codes()) {
    EXPECT_THAT(problems, HasSubstr("id=\"" + std::string(code.name) + "\""));
    EXPECT_FALSE(code.text.empty()) << code.name;
  }
}

}  // namespace
}  // namespace polysome::api
