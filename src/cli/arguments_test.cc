#include "cli/arguments.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <unistd.h>

#include <filesystem>
#include <fstream>

namespace polysome::cli {
namespace {

using ::testing::ElementsAre;
using ::testing::HasSubstr;

Parameter parameter(const char* name, ParamType type) {
  Parameter p;
  p.name = name;
  p.type = type;
  return p;
}

OperationDescription aggregate() {
  OperationDescription d;
  d.name = "aggregate";
  d.parameters = {
      parameter("column", ParamType::kColumn),     parameter("columns", ParamType::kColumns),
      parameter("operation", ParamType::kChoices), parameter("q", ParamType::kNumbers),
      parameter("where", ParamType::kExpression),  parameter("limit", ParamType::kInteger),
      parameter("fraction", ParamType::kNumber),   parameter("exact", ParamType::kBoolean),
      parameter("rename", ParamType::kObject)};
  d.parameters[2].choices = {"mean", "std", "quantile"};
  return d;
}

Result<JobArguments> read(const std::vector<std::string>& words, const std::string& params = "") {
  return read_job_arguments(aggregate(), words, params);
}

TEST(KeyValue, IsReadByTheDeclaredType) {
  const auto a = read({"my_dataset", "column=expression", "operation=mean,std", "q=0.25,0.75",
                       "limit=10", "fraction=1e-3", "exact=yes", "where=a = 'b,c' AND d > 1"});
  ASSERT_TRUE(a) << a.error().message;
  EXPECT_THAT(a->datasets, ElementsAre("my_dataset"));
  const Json expected = {{"column", "expression"},
                         {"operation", {"mean", "std"}},
                         {"q", {0.25, 0.75}},
                         {"limit", 10},
                         {"fraction", 1e-3},
                         {"exact", true},
                         {"where", "a = 'b,c' AND d > 1"}};
  EXPECT_EQ(a->body["parameters"], expected);
  EXPECT_EQ(a->body["operation"], "aggregate");
}

TEST(KeyValue, OneItemOfAListStaysOneItem) {
  const auto a = read({"operation=mean", "q=0.5"});
  ASSERT_TRUE(a);
  EXPECT_EQ(a->body["parameters"]["operation"], "mean");
  EXPECT_EQ(a->body["parameters"]["q"], 0.5);
}

TEST(KeyValue, ColumnsMayBeAllOrAPattern) {
  EXPECT_EQ(read({"columns=*"})->body["parameters"]["columns"], "*");
  EXPECT_EQ(read({"columns=/^S,1/"})->body["parameters"]["columns"], "/^S,1/");
  EXPECT_EQ(read({"columns=a,b"})->body["parameters"]["columns"], Json({"a", "b"}));
}

TEST(KeyValue, ColonEqualsTakesJson) {
  const auto a = read({"columns:=[\"a,b\"]", "rename:={\"x\": \"y\"}"});
  ASSERT_TRUE(a) << a.error().message;
  EXPECT_EQ(a->body["parameters"]["columns"], Json::array({"a,b"}));
  EXPECT_EQ(a->body["parameters"]["rename"]["x"], "y");
  EXPECT_FALSE(read({"columns:=a"}));
}

TEST(KeyValue, WrongValuesSayWhatWouldBeRight) {
  EXPECT_THAT(read({"limit=ten"}).error().message, HasSubstr("limit=ten is not a whole number"));
  EXPECT_THAT(read({"q=0.1,x"}).error().message, HasSubstr("a number"));
  EXPECT_THAT(read({"exact=maybe"}).error().message, HasSubstr("true or false"));
  EXPECT_THAT(read({"operation=mean,"}).error().message, HasSubstr("empty item"));
  EXPECT_THAT(read({"limit=1", "limit=2"}).error().message, HasSubstr("given twice"));
}

TEST(KeyValue, MistypedNamesAndChoicesGetTheNearest) {
  EXPECT_THAT(read({"colum=x"}).error().message, HasSubstr("did you mean \"column\"?"));
  EXPECT_THAT(read({"operation=men"}).error().message, HasSubstr("did you mean \"mean\"?"));
}

TEST(KeyValue, PathsWithEqualsSignsAreDatasets) {
  const auto a = read({"data/batch=1/x.csv", "./a=b.csv", "1=2"});
  ASSERT_TRUE(a);
  EXPECT_THAT(a->datasets, ElementsAre("data/batch=1/x.csv", "./a=b.csv", "1=2"));
}

TEST(KeyValue, LayoutGoesBesideTheParameters) {
  const auto a =
      read({"layout.orientation=features_as_rows", "layout.label_columns=gene_id,gene_name",
            "layout.header=false", "layout.delimiter=\\t"});
  ASSERT_TRUE(a) << a.error().message;
  const Json expected = {{"orientation", "features_as_rows"},
                         {"label_columns", {"gene_id", "gene_name"}},
                         {"header", false},
                         {"delimiter", "\t"}};
  EXPECT_EQ(a->body["layout"], expected);
  EXPECT_TRUE(a->body["parameters"].empty());
}

TEST(Params, AreAnObjectOrAFileAndKeyValueWins) {
  const auto path =
      std::filesystem::temp_directory_path() / ("params-" + std::to_string(::getpid()) + ".json");
  std::ofstream(path) << R"({"column": "a", "limit": 5})";
  const auto a = read({"limit=7"}, "@" + path.string());
  std::filesystem::remove(path);
  ASSERT_TRUE(a) << a.error().message;
  EXPECT_EQ(a->body["parameters"], Json({{"column", "a"}, {"limit", 7}}));
  EXPECT_THAT(read({}, "@/no/such/file").error().message, HasSubstr("/no/such/file"));
  EXPECT_FALSE(read({}, "[1]"));
  EXPECT_FALSE(read({}, "{"));
}

TEST(Params, MayBeAWholeBodyOfSubmit) {
  const auto a =
      read({}, R"({"operation": "aggregate", "dataset_id": "counts", "layout": {"scale": "raw"},
                              "parameters": {"column": "a"}})");
  ASSERT_TRUE(a) << a.error().message;
  EXPECT_EQ(a->body["dataset_id"], "counts");
  EXPECT_EQ(a->body["parameters"]["column"], "a");
  EXPECT_THAT(read({}, R"({"operation": "filter", "parameters": {}})").error().message,
              HasSubstr("filter"));
  EXPECT_FALSE(read({}, R"({"operation": 7, "parameters": {}})"));
  EXPECT_FALSE(read({"layout.scale=raw"}, R"({"layout": 7, "parameters": {}})"));
}

TEST(OperationNames, MistypedOnesGetTheNearest) {
  OperationCatalog catalog;
  catalog.add(aggregate());
  EXPECT_TRUE(find_operation(catalog, "aggregate"));
  EXPECT_THAT(find_operation(catalog, "agregate").error().message,
              HasSubstr("did you mean \"aggregate\"?"));
}

}  // namespace
}  // namespace polysome::cli
