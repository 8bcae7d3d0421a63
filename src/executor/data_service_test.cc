#include "executor/data_service.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <boost/asio/io_context.hpp>
#include <chrono>
#include <filesystem>
#include <memory>
#include <optional>

#include "base/process.h"

namespace polysome {
namespace {
namespace fs = std::filesystem;
using ::testing::HasSubstr;
using Clock = std::chrono::steady_clock;

class DataServiceTest : public ::testing::Test {
 protected:
  void SetUp() override { make({}); }

  void make(std::vector<std::string> arguments, std::string program = {},
            Millis patience = Millis(30'000)) {
    DataServiceConfig config;
    config.worker_program = program.empty() ? fs::read_symlink("/proc/self/exe").string() : program;
    config.arguments = std::move(arguments);
    config.patience = patience;
    service_ = std::make_unique<DataService>(loop_, config);
  }
  using Slot = std::shared_ptr<std::optional<Result<Json>>>;
  Slot ask(const std::string& kind, const Json& body = Json::object()) {
    auto answer = std::make_shared<std::optional<Result<Json>>>();
    service_->request(kind, body, [answer](Result<Json> r) {
      EXPECT_FALSE(answer->has_value()) << "answered twice";
      *answer = std::move(r);
    });
    EXPECT_FALSE(answer->has_value()) << "answered from within the call";
    return answer;
  }
  Result<Json> wait(const Slot& answer) {
    for (const auto end = Clock::now() + std::chrono::seconds(30); Clock::now() < end;) {
      if (*answer) return **answer;
      loop_.restart();
      loop_.run_one_for(std::chrono::milliseconds(100));
    }
    return fail(Code::kInternal, "no answer came");
  }
  boost::asio::io_context loop_;
  std::unique_ptr<DataService> service_;
};

TEST_F(DataServiceTest, StartsAtTheFirstRequestAndAnswers) {
  EXPECT_EQ(service_->pid(), 0);
  const auto answer = wait(ask("inspect", {{"path", "/data/x.csv"}}));
  ASSERT_TRUE(answer) << answer.error().message;
  EXPECT_EQ(answer->at("echo").at("kind"), "inspect");
  EXPECT_EQ(answer->at("echo").at("path"), "/data/x.csv");
  EXPECT_GT(service_->pid(), 0);
}

TEST_F(DataServiceTest, ManyRequestsAreAnsweredByItsSlots) {
  std::vector<Slot> answers;
  for (int i = 0; i < 200; ++i) answers.push_back(ask("inspect", {{"n", i}}));
  for (int i = 0; i < 200; ++i) {
    const auto answer = wait(answers[static_cast<std::size_t>(i)]);
    ASSERT_TRUE(answer);
    EXPECT_EQ(answer->at("echo").at("n"), i);
  }
}

TEST_F(DataServiceTest, RefusalsKeepTheirCode) {
  const auto answer = wait(ask("refuse"));
  ASSERT_FALSE(answer);
  EXPECT_EQ(answer.error().code, Code::kNotFound);
  EXPECT_EQ(answer.error().message, "no such file");
}

TEST_F(DataServiceTest, ASlotThatDiesFailsItsRequestOnly) {
  const auto dying = ask("die"), starving = ask("out_of_memory"), fine = ask("inspect");
  EXPECT_EQ(wait(dying).error().code, Code::kInternal);
  EXPECT_EQ(wait(starving).error().code, Code::kOutOfMemory);
  EXPECT_TRUE(wait(fine));
}

TEST_F(DataServiceTest, ASupervisorThatDiesFailsWhatRanAndTheNextAnswersTheRest) {
  ASSERT_TRUE(wait(ask("inspect")));
  const int before = service_->pid();
  const auto waiting = ask("wait"), dying = ask("exit"), queued = ask("inspect");
  EXPECT_EQ(wait(waiting).error().code, Code::kInternal);
  EXPECT_EQ(wait(dying).error().code, Code::kInternal);
  EXPECT_TRUE(wait(queued));
  EXPECT_NE(service_->pid(), before);
}

TEST_F(DataServiceTest, AnUnreadableReplyEndsTheSupervisorNotTheService) {
  EXPECT_EQ(wait(ask("unreadable")).error().code, Code::kInternal);
  EXPECT_TRUE(wait(ask("inspect")));
}

TEST_F(DataServiceTest, ALateAnswerIsATimeoutAndTheSlotIsFreedForTheNext) {
  make({}, {}, Millis(300));
  const auto first = ask("wait"), second = ask("wait");
  EXPECT_EQ(wait(first).error().code, Code::kTimeout);
  EXPECT_EQ(wait(second).error().code, Code::kTimeout);
  EXPECT_TRUE(wait(ask("inspect")));
}

TEST_F(DataServiceTest, ItsQueueIsBounded) {
  std::vector<Slot> answers;
  for (int i = 0; i < 257; ++i) answers.push_back(ask("inspect"));
  const auto last = wait(answers.back());
  ASSERT_FALSE(last);
  EXPECT_EQ(last.error().code, Code::kUnavailable);
  EXPECT_TRUE(wait(answers.front()));
}

TEST_F(DataServiceTest, ARequestLargerThanAFrameIsRefused) {
  const auto answer = wait(ask("inspect", {{"text", std::string(1'100'000, 'x')}}));
  ASSERT_FALSE(answer);
  EXPECT_EQ(answer.error().code, Code::kTooLarge);
}

TEST_F(DataServiceTest, AProgramThatDoesNotStartIsTold) {
  make({}, "/nonexistent/polysome-worker");
  auto answer = wait(ask("inspect"));
  ASSERT_FALSE(answer);
  EXPECT_EQ(answer.error().code, Code::kUnavailable);
  EXPECT_THAT(answer.error().message, HasSubstr("/nonexistent/polysome-worker"));
  make({"--behave", "exit"});
  answer = wait(ask("inspect"));
  ASSERT_FALSE(answer);
  EXPECT_EQ(answer.error().code, Code::kUnavailable);
}

TEST_F(DataServiceTest, ItsEndEndsItsProcess) {
  ASSERT_TRUE(wait(ask("inspect")));
  const int pid = service_->pid();
  EXPECT_TRUE(process_times(pid));
  service_.reset();
  EXPECT_FALSE(process_times(pid));
}

}  // namespace
}  // namespace polysome
