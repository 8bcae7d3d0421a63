// What stdout and stderr are, and text as a terminal shows it: UTF-8 with wide and combining
// characters, control characters made harmless, cut with an ellipsis. Main thread; no output here.
#pragma once

#include <string>
#include <string_view>
#include <vector>

namespace polysome::cli {

struct Terminal {
  bool out = false;  // stdout is a terminal
  bool err = false;
  int width = 80;  // columns of whichever is a terminal
  int height = 24;
  bool colour_out = false;
  bool colour_err = false;

  static Terminal look();
};

// Columns a text takes on a terminal. Invalid bytes count as one each.
int display_width(std::string_view text);
// The text with control characters (data may hold escape sequences) and invalid UTF-8 as U+FFFD,
// tabs and line ends as a space.
std::string printable(std::string_view text);
// At most `width` columns, with … in place of what was cut.
std::string cut(std::string_view text, int width);
// Lines of at most `width` columns, broken at spaces and where the text has a line end.
std::vector<std::string> wrap(std::string_view text, int width);
// One line for a terminal of this width (0: as it is): what does not fit goes on below its last
// column, as in "  --flag NAME    what it does", or a little to the right of its beginning.
std::vector<std::string> fit(std::string_view line, int width);
std::string pad_right(std::string_view text, int width);
std::string pad_left(std::string_view text, int width);

enum class Paint { kBold, kDim, kRed, kGreen, kYellow, kBlue };
// The text in colour, or as it is when `on` is false.
std::string paint(bool on, Paint how, std::string_view text);

}  // namespace polysome::cli
