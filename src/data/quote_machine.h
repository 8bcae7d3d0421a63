// Follows quotes, comments and row ends letter by letter, for text that comes as a stream; the same
// rules as RowScanner (row_scanner.h). Two of them, started outside and inside a quoted field, tell
// what a stretch of text ends in for both starts: once they are equal they stay equal. Pure.
#pragma once

#include <cstdint>
#include <string_view>

#include "data/row_scanner.h"

namespace polysome {

class QuoteMachine {
 public:
  // Begins at the start of a row, or within a quoted field.
  explicit QuoteMachine(TextShape shape, bool inside = false)
      : shape_(shape), state_(inside ? State::kQuoted : State::kFieldStart), row_start_(!inside) {}

  bool inside() const { return state_ == State::kQuoted; }
  bool at_row_start() const { return row_start_; }
  // Without quotes to come, every line feed ends a row.
  bool plain() const { return !inside() && shape_.comment == '\0'; }
  bool operator==(const QuoteMachine& other) const {
    return state_ == other.state_ && row_start_ == other.row_start_;
  }

  // True behind a line feed that ends a row.
  bool step(char c) {
    switch (state_) {
      case State::kQuoted:
        if (c == shape_.quote) state_ = State::kQuoteInQuoted;
        return false;
      case State::kComment:
        if (c == '\n') row_start_ = true, state_ = State::kFieldStart;
        return c == '\n';
      case State::kQuoteInQuoted:
        if (c == shape_.quote) {
          state_ = State::kQuoted;
          return false;
        }
        break;
      case State::kFieldStart:
        if (row_start_ && shape_.comment != '\0' && c == shape_.comment) {
          state_ = State::kComment;
          row_start_ = false;
          return false;
        }
        if (c == shape_.quote && shape_.quote != '\0') {
          state_ = State::kQuoted;
          row_start_ = false;
          return false;
        }
        break;
      case State::kPlain: break;
    }
    row_start_ = c == '\n';
    state_ = c == '\n' || c == shape_.delimiter ? State::kFieldStart : State::kPlain;
    return c == '\n';
  }

  void run(std::string_view text) {
    if (text.empty()) return;
    const bool quotes = shape_.quote != '\0' && text.find(shape_.quote) != std::string_view::npos;
    if (!quotes && inside()) return;
    if (!quotes && plain()) return pass(text);
    for (const char c : text) step(c);
  }
  // What run() does over a text without quotes, outside, where there are no comments.
  void pass(std::string_view text) {
    row_start_ = text.back() == '\n';
    state_ = row_start_ || text.back() == shape_.delimiter ? State::kFieldStart : State::kPlain;
  }

 private:
  enum class State : std::uint8_t { kFieldStart, kPlain, kQuoted, kQuoteInQuoted, kComment };

  TextShape shape_;
  State state_;
  bool row_start_;
};

}  // namespace polysome
