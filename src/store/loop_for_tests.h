// For the tests of the store: a loop that runs what is posted when the test waits for something, a
// temporary folder, and jobs and events to store. Test code only.
#pragma once

#include <gtest/gtest.h>
#include <unistd.h>

#include <chrono>
#include <condition_variable>
#include <deque>
#include <filesystem>
#include <functional>
#include <mutex>
#include <optional>
#include <string>
#include <utility>

#include "store/store.h"

namespace polysome {

class LoopForTests {
 public:
  std::function<void(std::function<void()>)> post() {
    return [this](std::function<void()> f) {
      const std::lock_guard lock(mutex_);
      posted_.push_back(std::move(f));
      arrived_.notify_one();
    };
  }
  // Runs posted functions until `condition` holds. The limit only ends a test that has failed.
  [[nodiscard]] bool run_until(const std::function<bool()>& condition) {
    const auto limit = std::chrono::steady_clock::now() + std::chrono::seconds(60);
    while (!condition()) {
      std::unique_lock lock(mutex_);
      if (!arrived_.wait_until(lock, limit, [this] { return !posted_.empty(); })) return false;
      const auto f = std::move(posted_.front());
      posted_.pop_front();
      lock.unlock();
      f();
    }
    return true;
  }
  void run_posted() {
    for (;;) {
      std::unique_lock lock(mutex_);
      if (posted_.empty()) return;
      const auto f = std::move(posted_.front());
      posted_.pop_front();
      lock.unlock();
      f();
    }
  }

 private:
  std::mutex mutex_;
  std::condition_variable arrived_;
  std::deque<std::function<void()>> posted_;
};

class FolderForTests {
 public:
  FolderForTests() : FolderForTests(std::filesystem::temp_directory_path()) {}
  explicit FolderForTests(const std::filesystem::path& parent) {
    std::string name = (parent / "polysome-store-XXXXXX").string();
    if (::mkdtemp(name.data()) == nullptr) ADD_FAILURE() << "no temporary folder";
    path_ = name;
  }
  ~FolderForTests() {
    std::error_code ignored;
    std::filesystem::remove_all(path_, ignored);
  }
  FolderForTests(const FolderForTests&) = delete;
  FolderForTests& operator=(const FolderForTests&) = delete;
  const std::filesystem::path& path() const { return path_; }

 private:
  std::filesystem::path path_;
};

// Commits everything queued before.
inline void settle(LoopForTests& loop, Store& store) {
  bool done = false;
  store.flush([&done](const Status& status) {
    EXPECT_TRUE(status) << status.error().message;
    done = true;
  });
  ASSERT_TRUE(loop.run_until([&] { return done; }));
}

// The n-th job: submitted n milliseconds after a fixed time.
inline StoredJob job_number(std::uint64_t n) {
  constexpr WallTime kStart = 1'767'225'600'000;
  StoredJob job;
  job.sequence = n;
  job.spec.created_at = kStart + static_cast<WallTime>(n);
  std::array<std::uint8_t, 10> random{};
  for (std::size_t i = 0; i < 8; ++i) random[9 - i] = static_cast<std::uint8_t>(n >> (8 * i));
  job.spec.id = JobId::make(job.spec.created_at, random);
  job.spec.operation = "aggregate";
  job.spec.type = "table";
  job.spec.user = "ada";
  job.spec.dataset_ids = {"my_dataset"};
  job.spec.parameters = {{"column", "expression"}, {"operation", "mean"}};
  return job;
}

inline StoredDataset dataset_named(const std::string& id, Json record, WallTime created_at) {
  StoredDataset dataset;
  dataset.id = id;
  dataset.ref.id = id;
  dataset.record = std::move(record);
  dataset.created_at = created_at;
  return dataset;
}

inline StoredEvent event_number(std::uint64_t id, std::optional<JobId> job = {},
                                std::uint64_t seq = 0) {
  StoredEvent event;
  event.id = id;
  event.time = 1'767'225'600'000 + static_cast<WallTime>(id);
  event.type = "job.progress";
  event.job = job;
  event.seq = seq;
  event.data = {{"progress", 0.5}};
  return event;
}

}  // namespace polysome
