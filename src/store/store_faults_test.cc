// A disk that refuses: failures are injected below SQLite, at the n-th write for growing n.
// Whatever was told stays, what was refused is absent, event ids have no gap, and the store heals
// by itself.
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <sqlite3.h>

#include <atomic>
#include <cstring>
#include <map>

#include "store/loop_for_tests.h"
#include "store/sqlite_store.h"

namespace polysome {
namespace {

// SQLite's file layer with a switch: writes, syncs and growing fail when it is their turn.
class FaultyDisk {
 public:
  static FaultyDisk& instance() {
    static FaultyDisk disk;
    return disk;
  }
  static constexpr const char* kName = "faulty";

  // The n-th write from now and `length` - 1 after it answer `code`.
  void fail(int n, int length, int code) {
    code_ = code;
    last_ = n + length;
    first_ = n;
    count_ = 0;
  }
  void heal() { first_ = 0; }
  int writes() const { return count_; }

 private:
  struct File {
    sqlite3_file base;
    sqlite3_io_methods methods;
    sqlite3_file* real() { return reinterpret_cast<sqlite3_file*>(this + 1); }
  };

  FaultyDisk() : vfs_(*sqlite3_vfs_find(nullptr)) {
    real_ = sqlite3_vfs_find(nullptr);
    vfs_.zName = kName;
    vfs_.szOsFile = static_cast<int>(sizeof(File)) + real_->szOsFile;
    vfs_.pNext = nullptr;
    vfs_.xOpen = &FaultyDisk::open;
    sqlite3_vfs_register(&vfs_, 0);
  }

  static int turn() {
    FaultyDisk& disk = instance();
    const int n = ++disk.count_;
    return disk.first_ > 0 && n >= disk.first_ && n < disk.last_ ? disk.code_.load() : SQLITE_OK;
  }
  static sqlite3_file* real(sqlite3_file* f) { return reinterpret_cast<File*>(f)->real(); }

  template <auto Method, class... Args>
  static int pass(sqlite3_file* f, Args... args) {
    return (real(f)->pMethods->*Method)(real(f), args...);
  }
  template <auto Method, class... Args>
  static int fail_or_pass(sqlite3_file* f, Args... args) {
    const int code = turn();
    return code != SQLITE_OK ? code : pass<Method>(f, args...);
  }
  static void shm_barrier(sqlite3_file* f) { real(f)->pMethods->xShmBarrier(real(f)); }

  static int open(sqlite3_vfs*, sqlite3_filename name, sqlite3_file* f, int flags, int* out) {
    using M = sqlite3_io_methods;
    auto* file = reinterpret_cast<File*>(f);
    std::memset(file->real(), 0, static_cast<std::size_t>(instance().real_->szOsFile));
    file->base.pMethods = nullptr;
    const int code = instance().real_->xOpen(instance().real_, name, file->real(), flags, out);
    if (code != SQLITE_OK) return code;
    file->methods = {};
    M& m = file->methods;
    m.iVersion = 2;
    m.xClose = &pass<&M::xClose>;
    m.xRead = &pass<&M::xRead, void*, int, sqlite3_int64>;
    m.xWrite = &fail_or_pass<&M::xWrite, const void*, int, sqlite3_int64>;
    m.xTruncate = &fail_or_pass<&M::xTruncate, sqlite3_int64>;
    m.xSync = &fail_or_pass<&M::xSync, int>;
    m.xFileSize = &pass<&M::xFileSize, sqlite3_int64*>;
    m.xLock = &pass<&M::xLock, int>;
    m.xUnlock = &pass<&M::xUnlock, int>;
    m.xCheckReservedLock = &pass<&M::xCheckReservedLock, int*>;
    m.xFileControl = &pass<&M::xFileControl, int, void*>;
    m.xSectorSize = &pass<&M::xSectorSize>;
    m.xDeviceCharacteristics = &pass<&M::xDeviceCharacteristics>;
    m.xShmMap = &pass<&M::xShmMap, int, int, int, void volatile**>;
    m.xShmLock = &pass<&M::xShmLock, int, int, int>;
    m.xShmBarrier = &shm_barrier;
    m.xShmUnmap = &pass<&M::xShmUnmap, int>;
    file->base.pMethods = &m;
    return SQLITE_OK;
  }

  sqlite3_vfs vfs_;
  sqlite3_vfs* real_ = nullptr;
  std::atomic<int> first_ = 0, last_ = 0, count_ = 0, code_ = SQLITE_OK;
};

// Hundreds of stores are made here and their failures are ours: memory spares the real disk's
// fsyncs.
std::filesystem::path quick_parent() {
  const std::filesystem::path memory = "/dev/shm";
  return ::access(memory.c_str(), W_OK) == 0 ? memory : std::filesystem::temp_directory_path();
}

class StoreFaults : public testing::Test {
 protected:
  void SetUp() override { FaultyDisk::instance().heal(); }
  void TearDown() override { FaultyDisk::instance().heal(); }

  std::unique_ptr<Store> open(const std::filesystem::path& folder) {
    SqliteStoreOptions options;
    options.vfs = FaultyDisk::kName;
    FaultyDisk::instance();
    auto opened = open_sqlite_store(folder, loop_.post(), options);
    if (opened) return std::move(*opened);
    ADD_FAILURE() << opened.error().message;
    return nullptr;
  }
  bool wait_for_flush(Store& store) {
    bool done = false;
    store.flush([&done](const Status&) { done = true; });
    return loop_.run_until([&] { return done; });
  }

  LoopForTests loop_;
};

// What a run of the script was told, job by job.
struct Told {
  std::map<std::uint64_t, std::optional<Code>> jobs;  // number → refused with
  std::uint64_t events = 0;                           // told of
};

class FaultScript {
 public:
  FaultScript(LoopForTests& loop, Store& store) : loop_(loop), store_(store) {}

  // Ten jobs, each with an event, a finished task and an update, waiting after every third.
  void run(Told* told) {
    for (std::uint64_t n = 1; n <= 10; ++n) {
      auto job = job_number(n);
      store_.insert_job(job, "key-" + std::to_string(n), "h", [told, n](const Status& s) {
        told->jobs[n] = s ? std::nullopt : std::optional(s.error().code);
      });
      store_.append_events({event_number(2 * n - 1, job.spec.id, 1)}, note(told, 2 * n - 1));
      const auto task = static_cast<std::uint32_t>(n);
      store_.record_tasks(job_number(1).spec.id, {{0, task, task}});
      job.state.status = JobStatus::kRunning;
      store_.update_job(job.spec.id, job.state, {});
      store_.append_events({event_number(2 * n, job.spec.id, 2)}, note(told, 2 * n));
      if (n % 3 == 0) {
        const std::uint64_t until = 2 * n;
        ASSERT_TRUE(loop_.run_until([&] { return told->events >= until; }));
      }
    }
    ASSERT_TRUE(loop_.run_until([&] { return told->events == 20 && told->jobs.size() == 10; }));
  }

 private:
  Store::Done note(Told* told, std::uint64_t id) {
    return [told, id](const Status& status) {
      ASSERT_TRUE(status) << status.error().message;
      ASSERT_EQ(id, told->events + 1);
      told->events = id;
    };
  }

  LoopForTests& loop_;
  Store& store_;
};

void expect_as_told(Store& store, const Told& told) {
  for (const auto& [n, refused] : told.jobs) {
    const auto job = store.job(job_number(n).spec.id);
    ASSERT_EQ(job.has_value(), !refused) << "job " << n;
    ASSERT_EQ(store.find_key("ada", "key-" + std::to_string(n)).has_value(), !refused);
    if (!job) continue;
    ASSERT_EQ(job->state.status, JobStatus::kRunning) << "job " << n;
  }
  const auto events = store.events(0, {}, 1000);
  ASSERT_EQ(events.size(), told.events);
  for (std::size_t i = 0; i < events.size(); ++i) ASSERT_EQ(events[i].id, i + 1);
  const auto ranges = store.finished_tasks(job_number(1).spec.id);
  ASSERT_EQ(ranges.size(), 1u);
  ASSERT_EQ(ranges[0].first, 1u);
  ASSERT_EQ(ranges[0].last, 10u);
}

class FaultAtEachWrite : public StoreFaults,
                         public testing::WithParamInterface<std::pair<int, int>> {};

TEST_P(FaultAtEachWrite, NothingToldIsLostAndNoEventIsMissing) {
  const auto [code, length] = GetParam();
  bool reached = true;
  int rounds = 0, refused = 0;
  for (int n = 1; reached; ++n, ++rounds) {
    ASSERT_LT(n, 2000);
    const FolderForTests folder(quick_parent());
    Told told;
    {
      auto store = open(folder.path());
      ASSERT_TRUE(store);
      FaultyDisk::instance().fail(n, length, code);
      ASSERT_NO_FATAL_FAILURE(FaultScript(loop_, *store).run(&told)) << "write " << n;
      reached = FaultyDisk::instance().writes() >= n;
      FaultyDisk::instance().heal();
      ASSERT_TRUE(wait_for_flush(*store));
      EXPECT_FALSE(store->trouble());
      ASSERT_NO_FATAL_FAILURE(expect_as_told(*store, told)) << "write " << n;
    }
    auto store = open(folder.path());
    ASSERT_TRUE(store);
    ASSERT_NO_FATAL_FAILURE(expect_as_told(*store, told)) << "reopened, write " << n;
    for (const auto& [number, code_of_job] : told.jobs) {
      if (!code_of_job) continue;
      ++refused;
      EXPECT_EQ(*code_of_job, code == SQLITE_FULL ? Code::kDiskFull : Code::kIo);
    }
  }
  EXPECT_GT(rounds, 10);
  EXPECT_GT(refused, 0);
}

INSTANTIATE_TEST_SUITE_P(Failures, FaultAtEachWrite,
                         testing::Values(std::pair(SQLITE_FULL, 1),
                                         std::pair(SQLITE_IOERR_WRITE, 2),
                                         std::pair(SQLITE_IOERR_FSYNC, 1)),
                         [](const auto& param) {
                           const int code = param.param.first;
                           return code == SQLITE_FULL          ? "DiskFull"
                                  : code == SQLITE_IOERR_FSYNC ? "FsyncTwice"
                                                               : "WriteTwice";
                         });

TEST_F(StoreFaults, TroubleIsSaidWhileTheDiskIsFullAndGoesWhenItHeals) {
  const FolderForTests folder(quick_parent());
  auto store = open(folder.path());
  ASSERT_TRUE(wait_for_flush(*store));
  FaultyDisk::instance().fail(1, 1'000'000, SQLITE_FULL);
  std::optional<Code> refused;
  std::uint64_t told = 0;
  store->insert_job(job_number(1), "", "", [&](const Status& s) { refused = s.error().code; });
  store->append_events({event_number(1)}, [&](const Status&) { told = 1; });
  ASSERT_TRUE(loop_.run_until([&] { return refused.has_value(); }));
  EXPECT_EQ(refused, Code::kDiskFull);
  ASSERT_TRUE(store->trouble());
  EXPECT_EQ(store->trouble()->code, Code::kDiskFull);
  EXPECT_THAT(store->trouble()->hint, testing::HasSubstr("Free space"));
  EXPECT_EQ(told, 0u);
  EXPECT_FALSE(store->next_epoch());

  FaultyDisk::instance().heal();
  ASSERT_TRUE(loop_.run_until([&] { return told == 1; }));
  EXPECT_FALSE(store->trouble());
  EXPECT_EQ(store->last_event_id(), 1u);
  EXPECT_EQ(store->count_jobs(), 0u);
  bool stored = false;
  store->insert_job(job_number(1), "", "", [&](const Status& s) { stored = s.has_value(); });
  ASSERT_TRUE(loop_.run_until([&] { return stored; }));
}

TEST_F(StoreFaults, ClosingWithADeadDiskEndsAndKeepsWhatWasTold) {
  const FolderForTests folder(quick_parent());
  std::optional<Code> unsaid;
  {
    auto store = open(folder.path());
    bool stored = false;
    store->insert_job(job_number(1), "", "", [&](const Status& s) { stored = s.has_value(); });
    ASSERT_TRUE(loop_.run_until([&] { return stored; }));
    FaultyDisk::instance().fail(1, 1'000'000, SQLITE_IOERR_WRITE);
    store->append_events({event_number(1)}, [&](const Status& s) { unsaid = s.error().code; });
  }
  loop_.run_posted();
  EXPECT_EQ(unsaid, Code::kIo);
  FaultyDisk::instance().heal();
  auto store = open(folder.path());
  EXPECT_EQ(store->count_jobs(), 1u);
  EXPECT_EQ(store->last_event_id(), 0u);
}

}  // namespace
}  // namespace polysome
