#include "data/row_scanner.h"

#include <algorithm>
#include <bit>
#include <cstring>

#ifdef __SSE2__
#include <emmintrin.h>
#endif

namespace polysome {
namespace {

// The first delimiter or line feed in [p, end), or end.
const char* find_field_end(const char* p, const char* end, char delimiter) {
#ifdef __SSE2__
  const __m128i d = _mm_set1_epi8(delimiter);
  const __m128i n = _mm_set1_epi8('\n');
  while (end - p >= 16) {
    const __m128i block = _mm_loadu_si128(reinterpret_cast<const __m128i*>(p));
    const auto mask = static_cast<unsigned>(
        _mm_movemask_epi8(_mm_or_si128(_mm_cmpeq_epi8(block, d), _mm_cmpeq_epi8(block, n))));
    if (mask != 0) return p + std::countr_zero(mask);
    p += 16;
  }
#endif
  while (p != end && *p != delimiter && *p != '\n') ++p;
  return p;
}

const char* find_char(const char* p, const char* end, char c) {
  if (p >= end) return end;
  const void* found = std::memchr(p, c, static_cast<std::size_t>(end - p));
  return found == nullptr ? end : static_cast<const char*>(found);
}

// `p` is behind the opening quote. The position of the closing one, or end.
const char* find_closing(const char* p, const char* end, char quote) {
  for (;;) {
    const char* q = find_char(p, end, quote);
    if (q == end) return end;
    if (q + 1 == end || q[1] != quote) return q;
    p = q + 2;
  }
}

// The text's first letter: at 0 or behind a byte order mark.
bool is_text_start(std::string_view text, std::size_t at) {
  return at == 0 || (at == 3 && text.starts_with("\xef\xbb\xbf"));
}

// Follows one state from quote to quote. Outside, all since `outside_since_` is known to lie
// outside quotes, so line feeds there are real and tell where a comment line begins.
class QuoteFollower {
 public:
  QuoteFollower(std::string_view text, std::size_t at, bool inside, TextShape shape)
      : text_(text), shape_(shape), at_(text.data() + at), outside_since_(at_), inside_(inside) {}

  const char* at() const { return at_; }
  bool inside() const { return inside_; }

  // The same position and state; outside quotes, one may take its line for a comment, the other
  // not.
  bool meets(const QuoteFollower& other) const {
    return at_ == other.at_ && inside_ == other.inside_ &&
           (inside_ || shape_.comment == '\0' || in_comment(at_) == other.in_comment(at_));
  }

  // Moves behind the next quote before `to` that may change the state; to `to` when there is none.
  void step(const char* to) {
    if (shape_.quote == '\0') {
      at_ = to;
      return;
    }
    if (inside_) {
      const char* closing = find_closing(at_, text_.data() + text_.size(), shape_.quote);
      if (closing >= to) {
        at_ = to;
        return;
      }
      at_ = closing + 1;
      outside_since_ = at_;
      inside_ = false;
      return;
    }
    const char* quote = find_char(at_, to, shape_.quote);
    at_ = quote == to ? to : quote + 1;
    if (quote == to || !opens_field(quote)) return;
    if (shape_.comment != '\0' && in_comment(quote)) {
      const char* newline = find_char(quote, to, '\n');
      at_ = newline == to ? to : newline + 1;
      return;
    }
    inside_ = true;
  }

 private:
  bool starts_line(const char* p) const {
    return is_text_start(text_, static_cast<std::size_t>(p - text_.data())) || p[-1] == '\n';
  }
  bool opens_field(const char* quote) const {
    return starts_line(quote) || quote[-1] == shape_.delimiter;
  }
  bool in_comment(const char* p) const {
    const std::string_view known(outside_since_, static_cast<std::size_t>(p - outside_since_));
    const auto newline = known.rfind('\n');
    if (newline != std::string_view::npos) return outside_since_[newline + 1] == shape_.comment;
    return starts_line(outside_since_) && *outside_since_ == shape_.comment;
  }

  std::string_view text_;
  TextShape shape_;
  const char* at_;
  const char* outside_since_;
  bool inside_;
};

}  // namespace

std::size_t RowScanner::next_row() {
  while (next_ != end_) {
    if (*next_ == '\n') {
      ++next_;
    } else if (*next_ == '\r' && (next_ + 1 == end_ || next_[1] == '\n')) {
      next_ += next_ + 1 == end_ ? 1 : 2;
    } else if (shape_.comment != '\0' && *next_ == shape_.comment) {
      next_ = find_char(next_, end_, '\n');
    } else {
      break;
    }
  }
  return static_cast<std::size_t>(next_ - begin_);
}

#ifdef __SSE2__
namespace {

// Bit i: letter i of the 64 at `p` is `c`.
std::uint64_t marks_of(const char* p, char c) {
  const __m128i wanted = _mm_set1_epi8(c);
  std::uint64_t out = 0;
  for (int i = 0; i < 4; ++i) {
    const __m128i block = _mm_loadu_si128(reinterpret_cast<const __m128i*>(p) + i);
    const auto mask = static_cast<unsigned>(_mm_movemask_epi8(_mm_cmpeq_epi8(block, wanted)));
    out |= static_cast<std::uint64_t>(mask) << (16 * i);
  }
  return out;
}

}  // namespace

// Cuts fields as long as no quote stands in the next 64 letters. True: the row has ended; else the
// field that begins at *field is still to be cut.
bool RowScanner::read_plain_fields(const char** field) {
  const char* begin = *field;
  for (const char* block = begin; end_ - block >= 64; block += 64) {
    if (shape_.quote != '\0' && marks_of(block, shape_.quote) != 0) break;
    for (std::uint64_t ends = marks_of(block, shape_.delimiter) | marks_of(block, '\n'); ends != 0;
         ends &= ends - 1) {
      const char* const stop = block + std::countr_zero(ends);
      const bool last = *stop == '\n';
      const bool with_return = last && stop != begin && stop[-1] == '\r';
      fields_.push_back({begin, with_return ? stop - 1 : stop, false});
      begin = stop + 1;
      if (!last) continue;
      next_ = begin;
      return true;
    }
  }
  *field = begin;
  return false;
}
#else
bool RowScanner::read_plain_fields(const char**) { return false; }
#endif

bool RowScanner::read_row() {
  fields_.clear();
  const char* p = next_;
  if (read_plain_fields(&p)) return true;
  for (;;) {
    Field field;
    field.begin = p;
    const char* search = p;
    if (p != end_ && *p == shape_.quote && shape_.quote != '\0') {
      field.quoted = true;
      const char* closing = find_closing(p + 1, end_, shape_.quote);
      if (closing == end_) {
        field.end = end_;
        fields_.push_back(field);
        next_ = end_;
        return false;
      }
      search = closing + 1;
    }
    const char* stop = find_field_end(search, end_, shape_.delimiter);
    field.end = stop;
    const bool last = stop == end_ || *stop == '\n';
    if (last && field.end != search && field.end[-1] == '\r') --field.end;
    fields_.push_back(field);
    if (last) {
      next_ = stop == end_ ? end_ : stop + 1;
      return true;
    }
    p = stop + 1;
    if (field.quoted && read_plain_fields(&p)) return true;
  }
}

std::string_view field_text(const Field& field, char quote, std::string* buffer) {
  if (!field.quoted) return {field.begin, static_cast<std::size_t>(field.end - field.begin)};
  const char* p = field.begin + 1;
  const char* closing = find_char(p, field.end, quote);
  // The common case: nothing doubled inside, nothing behind the closing quote.
  if (closing != field.end && closing + 1 == field.end)
    return {p, static_cast<std::size_t>(closing - p)};
  buffer->clear();
  while (p != field.end) {
    if (*p != quote) {
      buffer->push_back(*p++);
    } else if (p + 1 != field.end && p[1] == quote) {
      buffer->push_back(quote);
      p += 2;
    } else {
      buffer->append(p + 1, field.end);  // behind the closing quote all is literal
      break;
    }
  }
  return *buffer;
}

bool inside_at(std::string_view text, std::size_t from, bool from_inside, std::size_t to,
               TextShape shape) {
  if (shape.quote == '\0') return false;
  const char* const target = text.data() + to;
  QuoteFollower follower(text, from, from_inside, shape);
  while (follower.at() < target) follower.step(target);
  return follower.inside();
}

EndStates end_states(std::string_view text, std::size_t from, std::size_t to, TextShape shape) {
  if (shape.quote == '\0') return {false, false};
  const char* const target = text.data() + to;
  if (find_char(text.data() + from, target, shape.quote) == target) return {false, true};
  QuoteFollower outside(text, from, false, shape), inside(text, from, true, shape);
  while (outside.at() < target || inside.at() < target) {
    // Once they meet they stay together.
    if (outside.meets(inside)) {
      while (outside.at() < target) outside.step(target);
      return {outside.inside(), outside.inside()};
    }
    (outside.at() <= inside.at() ? outside : inside).step(target);
  }
  return {outside.inside(), inside.inside()};
}

std::size_t border_at_or_after(std::string_view text, std::size_t at, TextShape shape) {
  while (at > 0 && at < text.size()) {
    if (shape.quote != '\0' && (text[at - 1] == shape.quote || text[at] == shape.quote)) {
      ++at;
      continue;
    }
    if (shape.comment == '\0' || text[at - 1] == '\n') break;
    const auto newline = text.rfind('\n', at - 1);
    const std::size_t line = newline == std::string_view::npos ? 0 : newline + 1;
    if (text[line] != shape.comment) break;
    // This may be a comment, whose quotes mean nothing, or a line within quotes: behind it, it is
    // told.
    const auto end = text.find('\n', at);
    at = end == std::string_view::npos ? text.size() : end + 1;
  }
  return std::min(at, text.size());
}

std::size_t row_start_at_or_after(std::string_view text, std::size_t at, bool inside,
                                  TextShape shape) {
  if (at >= text.size()) return text.size();
  const char* const begin = text.data();
  const char* const end = begin + text.size();
  if (!inside && (is_text_start(text, at) || begin[at - 1] == '\n')) return at;
  QuoteFollower follower(text, at, inside, shape);
  while (follower.at() < end) {
    if (follower.inside()) {
      follower.step(end);
      continue;
    }
    // The next line feed ends the row, unless a quote opens before it.
    const char* newline = find_char(follower.at(), end, '\n');
    if (newline == end) return text.size();
    while (follower.at() < newline && !follower.inside()) follower.step(newline);
    if (!follower.inside()) return static_cast<std::size_t>(newline + 1 - begin);
  }
  return text.size();
}

std::uint64_t line_number(std::string_view text, std::size_t at) {
  return 1 + static_cast<std::uint64_t>(
                 std::count(text.data(), text.data() + std::min(at, text.size()), '\n'));
}

}  // namespace polysome
