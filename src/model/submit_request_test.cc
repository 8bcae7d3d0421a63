#include "model/submit_request.h"

#include <gtest/gtest.h>

namespace polysome {
namespace {

OperationCatalog catalog() {
  OperationDescription d;
  d.name = "aggregate";
  d.type = "table";
  Parameter column;
  column.name = "column";
  column.type = ParamType::kColumn;
  column.required = true;
  column.text = "the column";
  Parameter operation;
  operation.name = "operation";
  operation.type = ParamType::kChoices;
  operation.choices = {"mean", "median"};
  operation.default_value = Json::array({"mean"});
  operation.foreign_values = {{"average", "mean"}};
  Parameter k;
  k.name = "n_components";
  k.type = ParamType::kInteger;
  k.least = 1;
  k.most = 50;
  k.foreign = {{"n_comps", "scanpy's"}};
  d.parameters = {column, operation, k};
  OperationCatalog out;
  out.add(d);
  return out;
}

Result<SubmitRequest> parse(const std::string& body) {
  auto json = parse_json(body);
  EXPECT_TRUE(json) << body;
  return parse_submit(*json, catalog(), {});
}

std::string refusal(const std::string& body) {
  const auto r = parse(body);
  if (r) return "accepted";
  return (r.error().errors.empty() ? "" : r.error().errors[0].pointer) + ": " + r.error().message;
}

TEST(Submit, TheUsageExampleIsRead) {
  const auto r = parse(R"({"operation": "aggregate", "dataset_id": "my_dataset",
      "parameters": {"column": "expression", "operation": "mean"},
      "priority": "HIGH", "max_memory_gb": 4.0, "max_cores": 4})");
  ASSERT_TRUE(r);
  EXPECT_EQ(r->spec.priority, Priority::kHigh);
  EXPECT_EQ(r->spec.limits.max_memory, 4'000'000'000u);
  EXPECT_EQ(r->spec.limits.max_cores, 4);
  EXPECT_EQ(dump(r->spec.parameters), R"({"column":"expression","operation":["mean"]})");
  EXPECT_EQ(r->spec.limits.max_attempts, 3);
}

TEST(Submit, RefusalsSayWhereAndWhatWasMeant) {
  EXPECT_EQ(refusal(R"({"operation":"agregate","dataset_id":"d"})"),
            "/operation: there is no operation \"agregate\"; did you mean \"aggregate\"?");
  EXPECT_EQ(refusal(R"({"operation":"aggregate","dataset_id":"d","parameters":{"colum":"x"}})"),
            "/parameters/colum: aggregate has no parameter \"colum\"; did you mean \"column\"?");
  EXPECT_EQ(
      refusal(
          R"({"operation":"aggregate","dataset_id":"d","parameters":{"column":"x","operation":"men"}})"),
      "/parameters/operation: operation \"men\" is not known; did you mean \"mean\"?");
  EXPECT_EQ(
      refusal(
          R"({"operation":"aggregate","dataset_id":"d","parameters":{"column":"x","n_comps":2}})"),
      "/parameters/n_comps: n_comps: scanpy's name; here it is n_components");
  EXPECT_EQ(
      refusal(
          R"({"operation":"aggregate","dataset_id":"d","parameters":{"column":"x","n_components":51}})"),
      "/parameters/n_components: n_components must be a whole number from 1 to 50");
  EXPECT_EQ(refusal(R"({"operation":"aggregate","dataset_id":"d","parameters":{}})"),
            "/parameters/column: aggregate needs the parameter \"column\": the column");
  EXPECT_EQ(refusal(R"({"operation":"aggregate","parameters":{"column":"x"}})"),
            "/dataset_id: aggregate needs a dataset_id");
  EXPECT_EQ(
      refusal(
          R"({"operation":"aggregate","dataset_id":"d","parameters":{"column":"x"},"priority":"HIHG"})"),
      "/priority: priority \"HIHG\" is not known; did you mean \"HIGH\"?");
  EXPECT_EQ(
      refusal(
          R"({"operation":"aggregate","dataset_id":"d","parameters":{"column":"x"},"prioritty":"HIGH"})"),
      "/prioritty: unknown field \"prioritty\"; did you mean \"priority\"?");
  EXPECT_EQ(
      refusal(
          R"({"operation":"aggregate","dataset_id":"d","parameters":{"column":"x"},"max_memory_gb":0})"),
      "/max_memory_gb: max_memory_gb must be more than 0");
}

TEST(Submit, ForeignValuesAreTranslated) {
  const auto r = parse(
      R"({"operation":"aggregate","dataset_id":"d","parameters":{"column":"x","operation":"average"}})");
  ASSERT_TRUE(r);
  EXPECT_EQ(r->spec.parameters["operation"][0], "mean");
}

TEST(Submit, MaxRetriesIsOneLessThanMaxAttempts) {
  const auto r = parse(
      R"({"operation":"aggregate","dataset_id":"d","parameters":{"column":"x"},"max_retries":0})");
  ASSERT_TRUE(r);
  EXPECT_EQ(r->spec.limits.max_attempts, 1);
}

}  // namespace
}  // namespace polysome
