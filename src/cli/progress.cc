#include "cli/progress.h"

#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <cmath>
#include <cstdio>

#include "base/bytes.h"
#include "cli/phrases.h"

namespace polysome::cli {
namespace {

constexpr MonoTime kRateWindowMs = 5'000;
constexpr MonoTime kRateLeastMs = 1'000;
constexpr MonoTime kLineEveryMs = 10'000;
constexpr std::size_t kMostStages = 8;

double bytes_done(const Json& status) {
  double sum = 0;
  for (const auto& s : list_of(status, "stages")) sum += number_of(s, "bytes_done");
  return sum;
}

std::string amount(double done, double total) {
  return fmt::format("{} of {}", format_bytes(static_cast<std::uint64_t>(done)),
                     format_bytes(static_cast<std::uint64_t>(total)));
}

struct Stage {
  std::string name;
  double share = 0;  // 0 to 1
  bool done = false, started = false;
  std::string detail;
};

Stage stage_of(const Json& j) {
  Stage s;
  s.name = printable(text_of(j, "name"));
  const double tasks = number_of(j, "tasks_total"), tasks_done = number_of(j, "tasks_done");
  const double bytes = number_of(j, "bytes_total"), bytes_read = number_of(j, "bytes_done");
  s.done = tasks > 0 && tasks_done >= tasks;
  s.started = s.done || tasks_done > 0 || bytes_read > 0;
  if (s.done)
    s.share = 1;
  else if (bytes > 0)
    s.share = std::clamp(bytes_read / bytes, 0.0, 0.999);
  else if (tasks > 0)
    s.share = std::clamp(tasks_done / tasks, 0.0, 0.999);
  s.detail = fmt::format("{}/{} task{}", format_count(static_cast<std::uint64_t>(tasks_done)),
                         format_count(static_cast<std::uint64_t>(tasks)), tasks == 1 ? "" : "s");
  if (bytes > 0) s.detail += "  " + amount(bytes_read, bytes);
  return s;
}

std::string rate_text(double per_second) {
  return per_second >= 1 ? format_bytes(static_cast<std::uint64_t>(per_second)) + "/s" : "";
}

std::string remaining_text(const Json& status) {
  const double eta = number_of(status, "eta_seconds", -1);
  return eta >= 0 ? format_remaining(eta) + " left" : "";
}

void join(std::string& line, const std::string& part) {
  if (!part.empty()) line += "  " + part;
}

std::string state_of(const Json& status) {
  const std::string phase = text_of(status, "phase"), state = text_of(status, "status");
  if (state == "pending") return phase == "held" ? "held" : "waiting";
  return phase.empty() || phase == "done" ? state : phase;
}

}  // namespace

void ByteRate::add(MonoTime now, double bytes) {
  if (!seen_.empty() && bytes < seen_.back().second) seen_.clear();  // a task began again
  seen_.emplace_back(now, bytes);
  while (seen_.size() > 2 && now - seen_.front().first > kRateWindowMs) seen_.pop_front();
}

double ByteRate::per_second() const {
  if (seen_.size() < 2) return 0;
  const auto ms = static_cast<double>(seen_.back().first - seen_.front().first);
  if (ms < kRateLeastMs) return 0;
  return (seen_.back().second - seen_.front().second) * 1000 / ms;
}

std::string bar(double share, int width) {
  static constexpr std::array<std::string_view, 8> kParts{"", "▏", "▎", "▍", "▌", "▋", "▊", "▉"};
  const int eighths = static_cast<int>(std::floor(std::clamp(share, 0.0, 1.0) * width * 8));
  std::string out;
  for (int i = 0; i < eighths / 8; ++i) out += "█";
  out += kParts[static_cast<std::size_t>(eighths % 8)];
  return pad_right(out, width);
}

std::vector<std::string> progress_lines(const Json& status, double bytes_per_second,
                                        double elapsed_seconds, int width, bool colour) {
  std::vector<Stage> stages;
  for (Json j : list_of(status, "stages")) {
    // The last news of a stage may be older than the end of its job.
    if (text_of(status, "status") == "completed") {
      j["tasks_done"] = whole_of(j, "tasks_total");
      j["bytes_done"] = whole_of(j, "bytes_total");
    }
    stages.push_back(stage_of(j));
  }
  std::vector<std::string> out;
  std::size_t first = 0;
  if (stages.size() > kMostStages) {
    // Finished stages go first, down to the one before the running.
    while (first + kMostStages < stages.size() && stages[first].done) ++first;
    if (first > 0) out.push_back(fmt::format("  {} done", counted(first, "stage")));
  }
  const std::size_t last = std::min(stages.size(), first + kMostStages);
  int names = 0;
  for (std::size_t i = first; i < last; ++i) names = std::max(names, display_width(stages[i].name));
  names = std::min(names, 20);
  const int room = std::clamp(width - names - 48, 8, 30);
  for (std::size_t i = first; i < last; ++i) {
    const Stage& s = stages[i];
    const std::string blocks = bar(s.share, room);
    const std::string percent =
        s.started ? fmt::format("{:3.0f} %", std::floor(s.share * 100)) : "     ";
    const std::string head = fmt::format("  {}  ", pad_right(cut(s.name, names), names));
    const std::string tail =
        cut(fmt::format(" {}  {}", percent, s.detail), width - names - room - 5);
    out.push_back(head + paint(colour, s.done ? Paint::kGreen : Paint::kBlue, blocks) +
                  paint(colour && !s.started, Paint::kDim, tail));
  }
  if (last < stages.size())
    out.push_back(fmt::format("  {} more", counted(stages.size() - last, "stage")));
  std::string line =
      fmt::format("  {} {:.0f} %", state_of(status), std::floor(number_of(status, "progress")));
  if (const auto why = text_of(status, "waiting_reason"); !why.empty()) {
    line = fmt::format("  {}: {}", state_of(status), printable(why));
  } else {
    join(line, format_duration(elapsed_seconds));
    join(line, rate_text(bytes_per_second));
    join(line, remaining_text(status));
  }
  out.push_back(cut(line, width - 1));
  return out;
}

std::string progress_line(const Json& status, double bytes_per_second) {
  std::string line = short_id(text_of(status, "job_id"));
  join(line, state_of(status));
  if (const auto why = text_of(status, "waiting_reason"); !why.empty())
    return fmt::format("{}: {}", line, printable(why));
  line += fmt::format(" {:.0f} %", std::floor(number_of(status, "progress")));
  for (const auto& j : list_of(status, "stages")) {
    const Stage s = stage_of(j);
    if (s.done) continue;
    join(line, s.name + " " + s.detail);
    break;
  }
  join(line, rate_text(bytes_per_second));
  join(line, remaining_text(status));
  return line;
}

std::string end_line(const Json& status) {
  const std::string state = text_of(status, "status");
  const auto began = parse_time(text_of(status, "started_at", text_of(status, "created_at")));
  const auto ended = parse_time(text_of(status, "completed_at"));
  std::string line = state;
  if (began && ended)
    line += fmt::format(
        " {} {}", state == "completed" ? "in" : "after",
        format_duration(static_cast<double>(std::max<WallTime>(0, *ended - *began)) / 1000));
  const auto read = whole_of(object_of(status, "resources"), "bytes_read");
  if (read > 0) line += fmt::format(", {} read", format_bytes(read));
  return line;
}

void ProgressView::draw(const std::vector<std::string>& lines) {
  std::string text;
  if (drawn_ > 0) text += fmt::format("\x1b[{}A", drawn_);
  for (const auto& line : lines) text += "\r\x1b[2K" + line + "\n";
  // Fewer lines than before: take the rest away.
  if (lines.size() < drawn_) text += "\x1b[J";
  drawn_ = lines.size();
  std::fwrite(text.data(), 1, text.size(), stderr);
  std::fflush(stderr);
}

void ProgressView::update(const Json& status) {
  const MonoTime now = mono_now();
  if (started_ == 0) started_ = last_line_ = now;
  rate_.add(now, bytes_done(status));
  if (terminal_.err) {
    const auto began = parse_time(text_of(status, "started_at"));
    const double elapsed =
        began ? static_cast<double>(std::max<WallTime>(0, wall_now() - *began)) / 1000
              : static_cast<double>(now - started_) / 1000;
    draw(
        progress_lines(status, rate_.per_second(), elapsed, terminal_.width, terminal_.colour_err));
  } else if (now - last_line_ >= kLineEveryMs) {
    last_line_ = now;
    std::fprintf(stderr, "%s\n", progress_line(status, rate_.per_second()).c_str());
  }
}

void ProgressView::finish(const Json& status) {
  const std::string state = text_of(status, "status");
  const bool ended = state == "completed" || state == "failed" || state == "cancelled";
  if (!ended) return;
  if (!terminal_.err) {
    std::fprintf(stderr, "%s  %s\n", short_id(text_of(status, "job_id")).c_str(),
                 end_line(status).c_str());
    return;
  }
  auto lines = progress_lines(status, 0, 0, terminal_.width, terminal_.colour_err);
  const Paint how = state == "completed" ? Paint::kGreen
                    : state == "failed"  ? Paint::kRed
                                         : Paint::kYellow;
  lines.back() = "  " + paint(terminal_.colour_err, how, end_line(status));
  draw(lines);
  drawn_ = 0;
}

void ProgressView::clear() {
  if (terminal_.err && drawn_ > 0)
    std::fputs(fmt::format("\x1b[{}A\x1b[J", drawn_).c_str(), stderr);
  drawn_ = 0;
}

}  // namespace polysome::cli
