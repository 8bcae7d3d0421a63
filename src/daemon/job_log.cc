#include "daemon/job_log.h"

#include <fcntl.h>
#include <fmt/format.h>
#include <unistd.h>

#include <filesystem>
#include <fstream>
#include <utility>
#include <vector>

#include "base/clock.h"
#include "base/files.h"

namespace polysome {
namespace {

namespace fs = std::filesystem;

constexpr std::uint64_t kMostBytes = 4'000'000;
constexpr std::size_t kMostMessage = 8'000;

std::string text_of(const JobLog::Line& line) {
  const Json json = {{"time", format_time(line.time.value_or(wall_now()))},
                     {"level", line.level},
                     {"worker", line.worker.empty() ? Json() : Json(line.worker)},
                     {"task", line.task.empty() ? Json() : Json(line.task)},
                     {"attempt", line.attempt > 0 ? Json(line.attempt) : Json()},
                     {"message", line.message.substr(0, kMostMessage)}};
  return dump(json) + "\n";
}

}  // namespace

std::string JobLog::path_of(const JobId& job) const {
  return fmt::format("{}/{}.ndjson", folder_, job.text());
}

bool JobLog::has(const JobId& job) const {
  std::error_code ec;
  return folder_.empty() || written_.contains(job) || fs::exists(path_of(job), ec);
}

void JobLog::say(const JobId& job, const Line& line) {
  if (folder_.empty()) return;
  const auto [it, fresh] = written_.try_emplace(job, 0);
  std::error_code ec;
  if (fresh) {
    if (!make_folders(folder_)) return;
    const auto there = fs::file_size(path_of(job), ec);
    it->second = ec ? 0 : there;
  }
  if (it->second >= kMostBytes) return;
  std::string text = text_of(line);
  if (it->second + text.size() >= kMostBytes) {
    text += text_of({"warning", "", "", 0, "the log is full; what comes is not kept"});
    it->second = kMostBytes;
  } else {
    it->second += text.size();
  }
  const int fd = ::open(path_of(job).c_str(), O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0600);
  if (fd < 0) return;
  const bool whole = ::write(fd, text.data(), text.size()) == static_cast<ssize_t>(text.size());
  ::close(fd);
  if (!whole) return;
  const auto followers = followers_;  // a follower may leave while it is told
  for (const auto& [id, follower] : followers)
    if (follower.job == job && followers_.contains(id)) follower.told(false);
}

api::LogPage JobLog::read(const JobId& job, const api::LogQuery& query) const {
  api::LogPage out;
  out.next = query.from;
  std::ifstream in(path_of(job), std::ios::binary);
  in.seekg(0, std::ios::end);
  const auto size = in ? static_cast<std::uint64_t>(in.tellg()) : 0;
  if (query.from >= size) return out;
  in.seekg(static_cast<std::streamoff>(query.from));
  std::string text;
  while (std::getline(in, text)) {
    if (in.eof()) break;  // half a line: its end is still to come
    const std::uint64_t after = out.next + text.size() + 1;
    // A token somebody made up may lie within a line: what is no object is left out.
    const auto line = parse_trusted_json(text);
    const bool wanted = line && line->is_object() &&
                        (query.task.empty() || line->value("task", Json()) == Json(query.task));
    if (wanted && out.lines.size() == query.limit) {
      out.more = true;
      return out;
    }
    if (wanted) out.lines.push_back(*line);
    out.next = after;
  }
  return out;
}

std::uint64_t JobLog::follow(const JobId& job, std::function<void(bool over)> told) {
  followers_[next_] = {job, std::move(told)};
  return next_++;
}

void JobLog::unfollow(std::uint64_t subscription) { followers_.erase(subscription); }

void JobLog::close(const JobId& job) {
  written_.erase(job);
  std::vector<std::function<void(bool)>> told;
  for (auto it = followers_.begin(); it != followers_.end();) {
    if (it->second.job == job) {
      told.push_back(std::move(it->second.told));
      it = followers_.erase(it);
    } else {
      ++it;
    }
  }
  for (const auto& f : told) f(true);
}

void JobLog::sweep(const std::function<bool(const JobId&)>& known) const {
  if (folder_.empty()) return;
  std::error_code ec;
  std::vector<fs::path> gone;
  for (const auto& entry : fs::directory_iterator(folder_, ec)) {
    const auto id = JobId::parse(entry.path().stem().string());
    if (id && !known(*id)) gone.push_back(entry.path());
  }
  for (const auto& path : gone) fs::remove(path, ec);
}

}  // namespace polysome
