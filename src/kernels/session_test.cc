#include "kernels/session.h"

#include <gmock/gmock.h>

#include <filesystem>
#include <fstream>
#include <thread>

namespace polysome {
namespace {

class SessionTest : public testing::Test {
 protected:
  void SetUp() override {
    folder_ = std::filesystem::path(testing::TempDir()) /
              ("session_" + std::to_string(::getpid()) +
               testing::UnitTest::GetInstance()->current_test_info()->name());
    std::filesystem::create_directories(folder_ / "data");
    std::ofstream(folder_ / "data" / "a.csv") << "x\n1\n2\n";
    std::ofstream(folder_ / "secret.csv") << "x\n3\n";
  }
  void TearDown() override { std::filesystem::remove_all(folder_); }

  std::unique_ptr<Session> open() {
    SessionConfig config;
    config.memory = 100'000'000;
    config.temp_folder = (folder_ / "spill").string();
    config.allowed_directories = {(folder_ / "data").string() + "/"};
    auto session = Session::open(config);
    EXPECT_TRUE(session);
    return std::move(*session);
  }
  std::string file(const char* name) const { return sql_text((folder_ / name).string()); }

  std::filesystem::path folder_;
};

TEST_F(SessionTest, LockedSessionReadsAllowedFoldersOnly) {
  auto s = open();
  ASSERT_TRUE(s->lock());
  EXPECT_EQ(s->integer("SELECT sum(x) FROM read_csv(" + file("data/a.csv") + ")"), 3);
  EXPECT_FALSE(s->run("SELECT * FROM read_csv(" + file("secret.csv") + ")"));
  EXPECT_FALSE(s->run("COPY (SELECT 1) TO " + file("out.csv")));
  EXPECT_FALSE(s->run("SET memory_limit = '10GB'"));
  EXPECT_FALSE(s->run("SET enable_external_access = true"));
  EXPECT_FALSE(s->run("ATTACH " + file("x.db")));
  EXPECT_TRUE(s->run("COPY (SELECT 1) TO " + file("data/out.csv")));
}

TEST_F(SessionTest, ErrorsAreClassedByWhatWentWrong) {
  auto s = open();
  EXPECT_EQ(s->run("SELEC 1").error().code, Code::kUserData);
  EXPECT_EQ(s->run("SELECT no_such FROM range(3)").error().code, Code::kUserData);
  EXPECT_EQ(s->run("SELECT 'a'::INTEGER").error().code, Code::kUserData);
  const auto full = s->run("SELECT len(list(x)) FROM range(100000000) t(x)");
  ASSERT_FALSE(full);
  EXPECT_EQ(full.error().code, Code::kOutOfMemory) << full.error().message;
  EXPECT_EQ(s->run("SELECT * FROM read_csv(" + file("absent.csv") + ")").error().code, Code::kIo);
}

// An allocation that fails inside a function of ours comes back as that function's error.
TEST_F(SessionTest, MemoryThatRanOutWithinAFunctionIsNoFaultOfTheData) {
  auto s = open();
  const auto result = s->query(
      "SELECT error('exact sums: {\"exception_type\":\"Out of "
      "Memory\",\"exception_message\":\"Failed "
      "to allocate block of 4096 bytes\\n\\nPossible solutions\"}')");
  ASSERT_FALSE(result);
  EXPECT_EQ(result.error().code, Code::kOutOfMemory);
  EXPECT_EQ(result.error().message,
            "DuckDB found no memory: Failed to allocate block of 4096 bytes");
}

TEST_F(SessionTest, InterruptEndsARunningQueryAsCancelled) {
  auto s = open();
  std::atomic<bool> done = false;
  std::thread other([&] {
    while (!done) {
      s->interrupt();
      std::this_thread::yield();
    }
  });
  const auto r = s->run("SELECT sum(a.range * b.range) FROM range(1000000) a, range(1000000) b");
  done = true;
  other.join();
  ASSERT_FALSE(r);
  EXPECT_EQ(r.error().code, Code::kCancelled);
}

TEST_F(SessionTest, TextAndIntegerReadTheFirstCell) {
  auto s = open();
  EXPECT_EQ(s->text("SELECT 'a''b', 2"), "a'b");
  EXPECT_EQ(s->integer("SELECT count(*) FROM range(17)"), 17);
  EXPECT_EQ(s->integer("SELECT 1 WHERE false").error().code, Code::kInternal);
}

TEST_F(SessionTest, HeldObjectsAreFoundByHandleUntilReleased) {
  auto s = open();
  const auto handle = s->hold(std::make_shared<int>(5));
  EXPECT_EQ(*std::static_pointer_cast<int>(s->held(handle)), 5);
  s->release(handle);
  EXPECT_EQ(s->held(handle), nullptr);
}

TEST_F(SessionTest, ChunksGiveTypedColumns) {
  auto s = open();
  auto r = s->query("SELECT x, x / 2.0::DOUBLE AS h, 1.5::DECIMAL(10,2) d FROM range(5000) t(x)");
  ASSERT_TRUE(r);
  EXPECT_EQ(r->column_name(1), "h");
  EXPECT_EQ(r->column_type_name(0), "BIGINT");
  EXPECT_EQ(r->column_type_name(2), "DECIMAL(10,2)");
  std::uint64_t rows = 0;
  while (duckdb_data_chunk chunk = r->fetch()) rows += duckdb_data_chunk_get_size(chunk);
  EXPECT_EQ(rows, 5000U);
}

TEST(SqlText, QuotesAreDoubled) {
  EXPECT_EQ(sql_identifier("a\"b"), "\"a\"\"b\"");
  EXPECT_EQ(sql_text("it's"), "'it''s'");
}

}  // namespace
}  // namespace polysome
