#include "daemon/job_log.h"

#include <gtest/gtest.h>

#include <cstdlib>
#include <filesystem>

namespace polysome {
namespace {

class JobLogTest : public testing::Test {
 protected:
  JobLogTest() {
    std::string name = testing::TempDir() + "log-XXXXXX";
    folder = std::string(::mkdtemp(name.data())) + "/logs";
  }
  ~JobLogTest() override {
    std::filesystem::remove_all(std::filesystem::path(folder).parent_path());
  }
  static JobId job(std::uint8_t n) { return JobId::make(1'700'000'000'000 + n, {n}); }
  static JobLog::Line line(const std::string& message, const std::string& task = {}) {
    return {"info", "w1", task, 1, message};
  }
  static std::vector<std::string> messages(const api::LogPage& page) {
    std::vector<std::string> out;
    for (const auto& l : page.lines) out.push_back(l["message"]);
    return out;
  }
  std::string folder;
};

using Texts = std::vector<std::string>;

TEST_F(JobLogTest, PagesGoOnWhereTheOneBeforeEnded) {
  JobLog log(folder);
  for (int i = 0; i < 5; ++i) log.say(job(1), line(std::to_string(i)));
  log.say(job(2), line("other"));
  const auto first = log.read(job(1), {0, 2, ""});
  EXPECT_EQ(messages(first), (Texts{"0", "1"}));
  EXPECT_TRUE(first.more);
  const auto rest = log.read(job(1), {first.next, 10, ""});
  EXPECT_EQ(messages(rest), (Texts{"2", "3", "4"}));
  EXPECT_FALSE(rest.more);
  EXPECT_TRUE(log.read(job(1), {rest.next, 10, ""}).lines.empty());
  log.say(job(1), line("5"));
  EXPECT_EQ(messages(log.read(job(1), {rest.next, 10, ""})), (Texts{"5"}));
  EXPECT_TRUE(log.read(job(3), {0, 10, ""}).lines.empty());
}

TEST_F(JobLogTest, OneTasksLinesCanBeAskedFor) {
  JobLog log(folder);
  for (int i = 0; i < 4; ++i) log.say(job(1), line(std::to_string(i), i % 2 ? "scan/1" : "scan/0"));
  EXPECT_EQ(messages(log.read(job(1), {0, 10, "scan/1"})), (Texts{"1", "3"}));
}

TEST_F(JobLogTest, ALogOutlivesTheServiceAndIsBounded) {
  {
    JobLog log(folder);
    log.say(job(1), line("before"));
  }
  JobLog log(folder);
  const std::string long_text(7'000, 'x');
  for (int i = 0; i < 1000; ++i) log.say(job(1), line(long_text));
  const auto page = log.read(job(1), {0, 100'000, ""});
  EXPECT_EQ(page.lines.front()["message"], "before");
  EXPECT_EQ(page.lines.back()["message"], "the log is full; what comes is not kept");
  EXPECT_LT(std::filesystem::file_size(folder + "/" + job(1).text() + ".ndjson"), 4'100'000U);
}

TEST_F(JobLogTest, FollowersAreToldOfMoreAndOfTheEnd) {
  JobLog log(folder);
  std::vector<bool> told;
  log.follow(job(1), [&](bool over) { told.push_back(over); });
  const auto gone = log.follow(job(1), [](bool) { FAIL() << "has left"; });
  log.unfollow(gone);
  log.say(job(1), line("a"));
  log.say(job(2), line("b"));
  log.close(job(1));
  log.say(job(1), line("c"));
  EXPECT_EQ(told, (std::vector<bool>{false, true}));
}

TEST_F(JobLogTest, LogsOfForgottenJobsAreSweptAway) {
  JobLog log(folder);
  log.say(job(1), line("a"));
  log.say(job(2), line("b"));
  log.sweep([](const JobId& id) { return id == job(2); });
  EXPECT_FALSE(std::filesystem::exists(folder + "/" + job(1).text() + ".ndjson"));
  EXPECT_TRUE(std::filesystem::exists(folder + "/" + job(2).text() + ".ndjson"));
}

TEST_F(JobLogTest, NothingIsKeptWithoutAFolder) {
  JobLog log("");
  log.say(job(1), line("a"));
  EXPECT_TRUE(log.read(job(1), {0, 10, ""}).lines.empty());
}

}  // namespace
}  // namespace polysome
