// What only the SQLite store promises: durability, the lock, formats and migrations, retention.
#include "store/sqlite_store.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <sys/wait.h>

#include <csignal>
#include <fstream>
#include <set>
#include <thread>

#include "base/clock.h"
#include "base/files.h"
#include "store/loop_for_tests.h"
#include "store/sqlite.h"
#include "store/state_folder.h"

namespace polysome {
namespace {

using testing::HasSubstr;

std::unique_ptr<Store> open_or_fail(const std::filesystem::path& folder, LoopForTests& loop,
                                    SqliteStoreOptions options = {}) {
  auto opened = open_sqlite_store(folder, loop.post(), std::move(options));
  if (opened) return std::move(*opened);
  ADD_FAILURE() << opened.error().message;
  return nullptr;
}

// Looks again and again, without giving the writer anything to do.
bool comes_true(const std::function<bool()>& condition) {
  for (int i = 0; i < 6000; ++i) {
    if (condition()) return true;
    std::this_thread::sleep_for(std::chrono::milliseconds(10));
  }
  return false;
}

std::int64_t number_in(const std::filesystem::path& folder, const char* sql) {
  auto db = Database::open(folder / "store.db", Database::Mode::kRead);
  return db->integer(sql).value_or(-1);
}

TEST(SqliteStore, ReopenSeesEverythingThatWasTold) {
  const FolderForTests folder;
  LoopForTests loop;
  auto job = job_number(1);
  {
    auto store = open_or_fail(folder.path(), loop);
    ASSERT_EQ(store->next_epoch(), 1u);
    store->insert_job(job, "key", "hash", {});
    job.state.status = JobStatus::kCompleted;
    job.state.result = {{"value", 0.1}};
    store->update_job(job.spec.id, job.state, {});
    store->record_tasks(job.spec.id, {{1, 0, 9}});
    store->append_events({event_number(1, job.spec.id, 1)}, {});
    store->put_dataset(dataset_named("d", {{"rows", 1}}, 5), {});
    store->append_metrics(7, {{"n_workers", 4}});
    store->put_setting("limits", Json::array({1, 2}), {});
    settle(loop, *store);
  }
  auto store = open_or_fail(folder.path(), loop);
  EXPECT_EQ(store->next_epoch(), 2u);
  EXPECT_EQ(store->job(job.spec.id)->state.to_json(), job.state.to_json());
  const auto known = store->find_key("ada", "key");
  ASSERT_TRUE(known) << "a key outlives its job's end";
  EXPECT_EQ(known->second, "hash");
  EXPECT_EQ(store->finished_tasks(job.spec.id).at(0).last, 9u);
  EXPECT_EQ(store->last_event_id(), 1u);
  EXPECT_EQ(store->datasets().size(), 1u);
  EXPECT_EQ(store->newest_metrics()->timestamp, 7);
  EXPECT_EQ(store->setting("limits"), Json::array({1, 2}));
  EXPECT_EQ(store->count_jobs(), 1u);
}

TEST(SqliteStore, ClosingCommitsWhatIsQueued) {
  const FolderForTests folder;
  LoopForTests loop;
  {
    auto store = open_or_fail(folder.path(), loop);
    for (std::uint64_t n = 1; n <= 500; ++n) {
      store->insert_job(job_number(n), "", "", {});
      store->append_events({event_number(n)}, {});
    }
  }
  auto store = open_or_fail(folder.path(), loop);
  EXPECT_EQ(store->count_jobs(), 500u);
  EXPECT_EQ(store->last_event_id(), 500u);
}

TEST(SqliteStore, FinishedTasksGoOnAfterAReopen) {
  const FolderForTests folder;
  LoopForTests loop;
  const auto job = job_number(1).spec.id;
  {
    auto store = open_or_fail(folder.path(), loop);
    store->record_tasks(job, {{0, 0, 9}, {0, 20, 29}});
  }
  auto store = open_or_fail(folder.path(), loop);
  store->record_tasks(job, {{0, 10, 19}});
  settle(loop, *store);
  const auto ranges = store->finished_tasks(job);
  ASSERT_EQ(ranges.size(), 1u);
  EXPECT_EQ(ranges[0].last, 29u);
}

TEST(SqliteStore, AMillionTasksAreAHandfulOfRows) {
  const FolderForTests folder;
  LoopForTests loop;
  auto store = open_or_fail(folder.path(), loop);
  const auto job = job_number(1).spec.id;
  // Four slots finish tasks nearly in order.
  constexpr std::uint32_t kTasks = 1'000'000;
  for (std::uint32_t i = 0; i < kTasks; i += 4) {
    for (const std::uint32_t k : {1, 0, 3, 2}) store->record_tasks(job, {{1, i + k, i + k}});
    if (i % 4096 == 0) loop.run_posted();
  }
  settle(loop, *store);
  const auto ranges = store->finished_tasks(job);
  ASSERT_EQ(ranges.size(), 1u);
  EXPECT_EQ(ranges[0].last, kTasks - 1);
}

TEST(SqliteStore, OneServiceAFolder) {
  const FolderForTests folder;
  LoopForTests loop;
  auto store = open_or_fail(folder.path(), loop);
  const auto second = open_sqlite_store(folder.path(), loop.post());
  ASSERT_FALSE(second);
  EXPECT_EQ(second.error().code, Code::kConflict);
  EXPECT_THAT(second.error().message,
              HasSubstr("in use by pid " + std::to_string(::getpid()) + " since 2"));
  store.reset();
  EXPECT_TRUE(open_sqlite_store(folder.path(), loop.post()));
}

TEST(StateFolder, NetworkFilesystemsAreKnownByTheirNumbers) {
  EXPECT_EQ(unsafe_filesystem(0x6969), "NFS");
  EXPECT_EQ(unsafe_filesystem(0x0BD00BD0), "Lustre");
  EXPECT_EQ(unsafe_filesystem(static_cast<std::int32_t>(0xFF534D42)), "CIFS");
  EXPECT_EQ(unsafe_filesystem(0xEF53), std::nullopt);      // ext4
  EXPECT_EQ(unsafe_filesystem(0x01021994), std::nullopt);  // tmpfs
}

TEST(SqliteStore, ANewerFormatIsRefusedUntouched) {
  const FolderForTests folder;
  LoopForTests loop;
  open_or_fail(folder.path(), loop).reset();
  {
    auto db = Database::open(folder.path() / "store.db", Database::Mode::kPlain);
    ASSERT_TRUE(db->run("PRAGMA user_version=99"));
  }
  const auto opened = open_sqlite_store(folder.path(), loop.post());
  ASSERT_FALSE(opened);
  EXPECT_EQ(opened.error().code, Code::kConflict);
  EXPECT_THAT(opened.error().message, HasSubstr("format 99, written by a newer Polysome"));
  EXPECT_EQ(number_in(folder.path(), "PRAGMA user_version"), 99);
}

TEST(SqliteStore, SomebodyElsesFileIsRefused) {
  const FolderForTests folder;
  LoopForTests loop;
  {
    auto db = Database::open(folder.path() / "store.db", Database::Mode::kPlain);
    ASSERT_TRUE(db->run("CREATE TABLE cats (name TEXT); INSERT INTO cats VALUES ('Tom')"));
  }
  const auto opened = open_sqlite_store(folder.path(), loop.post());
  ASSERT_FALSE(opened);
  EXPECT_THAT(opened.error().message, HasSubstr("not a store of Polysome"));
  EXPECT_EQ(number_in(folder.path(), "SELECT count(*) FROM cats"), 1);
}

TEST(SqliteStore, ADamagedFileSaysWhatToDo) {
  const FolderForTests folder;
  LoopForTests loop;
  std::ofstream(folder.path() / "store.db") << std::string(8192, 'x');
  const auto opened = open_sqlite_store(folder.path(), loop.post());
  ASSERT_FALSE(opened);
  EXPECT_EQ(opened.error().code, Code::kIo);
  EXPECT_THAT(opened.error().hint, HasSubstr("damaged"));
}

TEST(SqliteStore, RecordsHaveTheColumnsOfTheContract) {
  const FolderForTests folder;
  LoopForTests loop;
  auto store = open_or_fail(folder.path(), loop);
  auto job = job_number(1);
  job.state.status = JobStatus::kFailed;
  job.state.error = Json{{"detail", "no column"}};
  store->insert_job(job, "", "", {});
  store->append_metrics(5, {{"n_workers", 4}, {"total_memory_bytes", 8'000'000'000}});
  settle(loop, *store);
  EXPECT_EQ(
      number_in(folder.path(),
                "SELECT count(*) FROM processing_jobs JOIN job_documents ON job = id WHERE "
                "type = 'table' AND dataset_id = 'my_dataset' AND operation = 'aggregate' AND "
                "parameters LIKE '%expression%' AND priority = 2 AND status = 'failed' AND "
                "progress = 0 AND result IS NULL AND error_message = 'no column' AND "
                "n_workers IS NULL AND memory_per_worker IS NULL AND created_at > 0 AND "
                "started_at IS NULL AND completed_at IS NULL"),
      1);
  EXPECT_EQ(
      number_in(folder.path(),
                "SELECT count(*) FROM cluster_metrics WHERE timestamp = 5 AND n_workers = 4 "
                "AND total_memory = 8000000000 AND used_memory IS NULL AND total_cores IS NULL "
                "AND used_cores IS NULL AND active_tasks IS NULL AND queued_tasks IS NULL AND "
                "metrics_data IS NULL"),
      1);
}

TEST(Retention, KeepsTheNewestEventsAndTheNumbersOfEachJob) {
  const FolderForTests folder;
  LoopForTests loop;
  SqliteStoreOptions options;
  options.retention.events = 100;
  auto store = open_or_fail(folder.path(), loop, options);
  const auto early = job_number(1);
  store->insert_job(early, "", "", {});
  store->append_events({event_number(1, early.spec.id, 1), event_number(2, early.spec.id, 2)}, {});
  for (std::uint64_t id = 3; id <= 5000; ++id) store->append_events({event_number(id)}, {});
  settle(loop, *store);
  ASSERT_TRUE(comes_true([&] { return store->first_event_id() == 4901; }));
  EXPECT_EQ(store->last_event_id(), 5000u);
  EXPECT_EQ(store->events(0, {}, 1000).size(), 100u);
  EXPECT_EQ(store->last_event_seq(early.spec.id), 2u);
}

TEST(Retention, RemovesTheOldestEndedJobsWithAllTheyHave) {
  const FolderForTests folder;
  LoopForTests loop;
  SqliteStoreOptions options;
  options.retention.jobs = 20;
  auto store = open_or_fail(folder.path(), loop, options);
  for (std::uint64_t n = 1; n <= 100; ++n) {
    auto job = job_number(n);
    job.spec.tags = {"t"};
    job.state.status = n <= 2 ? JobStatus::kPending : JobStatus::kCompleted;
    store->insert_job(job, "key-" + std::to_string(n), "", {});
  }
  settle(loop, *store);
  ASSERT_TRUE(comes_true([&] { return store->count_jobs() == 20; }));
  EXPECT_TRUE(store->job(job_number(1).spec.id));  // still to be done
  EXPECT_FALSE(store->job(job_number(3).spec.id));
  EXPECT_FALSE(store->find_key("ada", "key-3"));
  EXPECT_TRUE(store->find_key("ada", "key-100"));
  EXPECT_EQ(number_in(folder.path(), "SELECT count(*) FROM job_documents"), 20);
  EXPECT_EQ(number_in(folder.path(), "SELECT count(*) FROM job_labels"), 40);
}

TEST(Retention, AKeyGoesSomeTimeAfterItsJobsEnd) {
  const FolderForTests folder;
  LoopForTests loop;
  auto store = open_or_fail(folder.path(), loop);
  constexpr WallTime kDay = 24LL * 3600 * 1000;
  const WallTime now = wall_now();
  for (std::uint64_t n = 1; n <= 3; ++n) {
    auto job = job_number(n);
    store->insert_job(job, "key-" + std::to_string(n), "", {});
    if (n == 3) continue;
    job.state.status = JobStatus::kCompleted;
    job.state.completed_at = n == 1 ? now - 8 * kDay : now - 6 * kDay;
    store->update_job(job.spec.id, job.state, {});
  }
  settle(loop, *store);
  ASSERT_TRUE(comes_true([&] { return !store->find_key("ada", "key-1"); }));
  EXPECT_TRUE(store->find_key("ada", "key-2"));
  EXPECT_TRUE(store->find_key("ada", "key-3"));
}

TEST(Retention, GoesOnWhenTheWriterIsNeverIdle) {
  const FolderForTests folder;
  LoopForTests loop;
  SqliteStoreOptions options;
  options.retention.events = 100;
  auto store = open_or_fail(folder.path(), loop, options);
  for (std::uint64_t id = 1; id <= 150; ++id) store->append_events({event_number(id)}, {});
  ASSERT_TRUE(comes_true([&] {
    settle(loop, *store);
    return store->first_event_id() == 51;
  }));
}

// A service that stores jobs and tells of each on a pipe as soon as it may, until it is killed.
[[noreturn]] void write_until_killed(const std::filesystem::path& folder, int tell) {
  LoopForTests loop;
  auto opened = open_sqlite_store(folder, loop.post());
  if (!opened) ::_exit(1);
  auto store = std::move(*opened);
  const std::uint64_t first = store->last_sequence() + 1;
  std::uint64_t told = first - 1;
  for (std::uint64_t n = first;; ++n) {
    store->insert_job(job_number(n), "key-" + std::to_string(n), "h", {});
    store->append_events({event_number(n, job_number(n).spec.id, 1)},
                         [&told, n, tell](auto status) {
                           if (!status) ::_exit(2);
                           told = n;
                           if (::write(tell, &n, sizeof n) != sizeof n) ::_exit(3);
                         });
    store->record_tasks(job_number(1).spec.id,
                        {{0, static_cast<std::uint32_t>(n), static_cast<std::uint32_t>(n)}});
    if (!loop.run_until([&] { return told + 20 >= n; })) ::_exit(4);
  }
}

TEST(SqliteStore, KillNineLosesNothingThatWasTold) {
  const FolderForTests folder;
  std::uint64_t last_told = 0;
  for (int round = 0; round < 5; ++round) {
    int ends[2];
    ASSERT_EQ(::pipe(ends), 0);
    const pid_t child = ::fork();
    ASSERT_GE(child, 0);
    if (child == 0) {
      ::close(ends[0]);
      write_until_killed(folder.path(), ends[1]);
    }
    ::close(ends[1]);
    const std::uint64_t enough = last_told + 40 + 13 * static_cast<std::uint64_t>(round);
    std::uint64_t told = 0;
    while (told < enough && ::read(ends[0], &told, sizeof told) == sizeof told) last_told = told;
    ::kill(child, SIGKILL);
    while (::read(ends[0], &told, sizeof told) == sizeof told) last_told = told;
    ::close(ends[0]);
    int status = 0;
    ASSERT_EQ(::waitpid(child, &status, 0), child);
    ASSERT_TRUE(WIFSIGNALED(status)) << "the child left with " << WEXITSTATUS(status);
    ASSERT_GE(last_told, enough);

    LoopForTests loop;
    auto store = open_or_fail(folder.path(), loop);
    ASSERT_TRUE(store);
    const std::uint64_t last = store->last_event_id();
    EXPECT_GE(last, last_told);
    EXPECT_EQ(store->count_jobs(), last);  // a job and its event are in one commit
    EXPECT_EQ(store->events(0, {}, 1'000'000).size(), last);
    for (std::uint64_t n = 1; n <= last_told; ++n) {
      ASSERT_TRUE(store->job(job_number(n).spec.id)) << n;
      ASSERT_TRUE(store->find_key("ada", "key-" + std::to_string(n)));
    }
  }
}

}  // namespace
}  // namespace polysome
