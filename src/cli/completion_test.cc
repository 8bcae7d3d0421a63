#include "cli/completion.h"

#include <gtest/gtest.h>

#include "cli/command.h"

namespace polysome::cli {
namespace {

using Words = std::vector<std::string>;

class Completion : public testing::Test {
 protected:
  Completion() {
    add_submit_command(app, context);
    add_run_command(app, context);
    add_cluster_commands(app, context);
    add_completion_command(app, context);
    OperationDescription aggregate;
    aggregate.name = "aggregate";
    Parameter operation;
    operation.name = "operation";
    operation.type = ParamType::kChoices;
    operation.choices = {"max", "mean", "min"};
    Parameter column;
    column.name = "column";
    aggregate.parameters = {column, operation};
    operations.add(aggregate);
    OperationDescription describe;
    describe.name = "describe";
    operations.add(describe);
  }
  Words after(const Words& words) { return complete(app, operations, words); }

  Context context;
  CLI::App app{"", "polysome"};
  OperationCatalog operations;
};

TEST_F(Completion, KnowsCommandsAndTheirCommands) {
  EXPECT_EQ(after({"su"}), Words{"submit"});
  EXPECT_EQ(after({"cluster", "sc"}), Words{"scale"});
  EXPECT_EQ(after({""}), (Words{"cluster", "completion", "run", "submit"}));
  EXPECT_EQ(after({}), (Words{"cluster", "completion", "run", "submit"}));
  EXPECT_TRUE(after({"nonsense"}).empty());
}

TEST_F(Completion, KnowsOperationsTheirParametersAndChoices) {
  EXPECT_EQ(after({"submit", ""}), (Words{"aggregate", "describe"}));
  EXPECT_EQ(after({"submit", "agg"}), Words{"aggregate"});
  EXPECT_TRUE(after({"run", "aggregate", ""}).empty()) << "a file's name";
  EXPECT_EQ(after({"run", "aggregate", "x.csv", ""}), (Words{"column=", "operation="}));
  EXPECT_EQ(after({"run", "aggregate", "x.csv", "operation=m"}),
            (Words{"operation=max", "operation=mean", "operation=min"}));
  EXPECT_TRUE(after({"run", "aggregate", "x.csv", "colour=m"}).empty());
}

TEST_F(Completion, KnowsFlagsAndSkipsTheirValues) {
  EXPECT_EQ(after({"submit", "--prio"}), Words{"--priority"});
  EXPECT_EQ(after({"submit", "--priority", "HIGH", "des"}), Words{"describe"});
  EXPECT_EQ(after({"submit", "--wait", "des"}), Words{"describe"});
  EXPECT_EQ(after({"submit", "-o", "j"}), Words{"json"});
}

}  // namespace
}  // namespace polysome::cli
