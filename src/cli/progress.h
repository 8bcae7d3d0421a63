// Live progress of one job on stderr: on a terminal a line per stage with a bar, redrawn in place;
// else a line every ten seconds. The lines are made by pure functions of status objects; only
// ProgressView writes. Main thread.
#pragma once

#include <deque>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "base/clock.h"
#include "cli/terminal.h"
#include "model/json.h"

namespace polysome::cli {

// Bytes done over the last seconds; nothing until it means something.
class ByteRate {
 public:
  void add(MonoTime now, double bytes);
  // Bytes a second, or 0 while unknown.
  double per_second() const;

 private:
  std::deque<std::pair<MonoTime, double>> seen_;
};

// "█████▌    ", `width` columns wide.
std::string bar(double share, int width);
// The lines of a terminal: a line per stage (the newest few of many), then one for the whole.
std::vector<std::string> progress_lines(const Json& status, double bytes_per_second,
                                        double elapsed_seconds, int width, bool colour);
// The same in one line, for logs.
std::string progress_line(const Json& status, double bytes_per_second);
// "completed in 12 s", "failed after …", "cancelled after …" with what the job read.
std::string end_line(const Json& status);

class ProgressView {
 public:
  explicit ProgressView(Terminal terminal) : terminal_(terminal) {}
  void update(const Json& status);
  // Leaves the last picture; for a job that ended, one line saying how.
  void finish(const Json& status);
  // Takes the picture away, so that something else can be written.
  void clear();

 private:
  void draw(const std::vector<std::string>& lines);

  Terminal terminal_;
  ByteRate rate_;
  MonoTime started_ = 0;
  MonoTime last_line_ = 0;
  std::size_t drawn_ = 0;
};

}  // namespace polysome::cli
