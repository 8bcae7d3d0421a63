// How long files of ended jobs are kept (contract.md, "Kept"): results so many days, what failed
// and cancelled jobs had finished a week, for a retry. Files at output.path are their owner's and
// are never touched; neither are results that a dataset's name stands for.
#include <fmt/format.h>

#include <filesystem>
#include <set>

#include "base/files.h"
#include "base/log.h"
#include "daemon/engine.h"

namespace polysome {
namespace {

namespace fs = std::filesystem;

constexpr std::int64_t kSweepEveryMs = 3'600'000;
constexpr std::int64_t kKeepUnfinishedMs = 7LL * 24 * 3'600'000;
constexpr std::size_t kMostAtOnce = 200;  // folders removed in one turn of the loop
constexpr std::int64_t kSoonMs = 100;

}  // namespace

// Jobs whose results are datasets.
std::set<std::string> Engine::folders_of_datasets() const {
  std::set<std::string> out;
  for (const auto& [id, dataset] : datasets_.all_loaded())
    for (const auto& file : dataset.ref.files) {
      const auto relative = fs::path(file).lexically_relative(config_.work_dir);
      if (!relative.empty() && *relative.begin() != "..") out.insert(relative.begin()->string());
    }
  return out;
}

std::optional<WallTime> Engine::kept_until(const JobSpec& spec, const JobState& state) const {
  if (spec.keep || !state.completed_at || !is_final(state.status)) return std::nullopt;
  return *state.completed_at +
         (state.status == JobStatus::kCompleted ? config_.keep_results_ms : kKeepUnfinishedMs);
}

void Engine::sweep() {
  const WallTime now = wall_now();
  const auto datasets = folders_of_datasets();
  std::size_t removed = 0;
  std::error_code ec;
  for (const auto& e : fs::directory_iterator(config_.work_dir, ec)) {
    if (removed == kMostAtOnce) break;
    const std::string name = e.path().filename().string();
    const auto id = JobId::parse(name);
    if (!id || active_.contains(*id) || datasets.contains(name)) continue;
    const auto job = store_.job(*id);
    const auto until = job ? kept_until(job->spec, job->state) : std::optional<WallTime>(0);
    if (!until || *until > now) continue;
    ++removed;
    if (const auto gone = polysome::remove_all(e.path()); !gone)
      log::warning("{}", gone.error().message);
  }
  if (removed > 0)
    log::info("files of {} ended job{} were removed, their time was over", removed,
              removed == 1 ? "" : "s");
  sweep_timer_.expires_after(Millis(removed == kMostAtOnce ? kSoonMs : kSweepEveryMs));
  sweep_timer_.async_wait([this](const boost::system::error_code& stopped) {
    if (!stopped) sweep();
  });
}

// Why a result file is not there.
Error Engine::result_gone(const StoredJob& job, const std::string& path) const {
  const auto until = kept_until(job.spec, job.state);
  if (!until || *until > wall_now())
    return {Code::kGone, fmt::format("the result file {} is not there any more", path)};
  return {Code::kGone,
          fmt::format("the result of job {} was kept until {}", job.spec.id.text(),
                      format_time(*until)),
          "serve --keep-results keeps them longer; output.path writes files of your own"};
}

}  // namespace polysome
