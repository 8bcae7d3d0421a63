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

bool RowScanner::read_row() {
  fields_.clear();
  const char* p = next_;
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
  }
}

std::string_view field_text(const Field& field, char quote, std::string* buffer) {
  if (!field.quoted) return {field.begin, static_cast<std::size_t>(field.end - field.begin)};
  const char* p = field.begin + 1;
  const char* closing = find_char(p, field.end, quote);
  // The common case: nothing doubled inside, nothing behind the closing quote.
  if (closing != field.end && closing + 1 == field.end) return {p, static_cast<std::size_t>(closing - p)};
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

bool inside_at(std::string_view text, std::size_t from, bool from_inside, std::size_t to, TextShape shape) {
  if (shape.quote == '\0') return false;
  const char* const begin = text.data();
  const char* const end = begin + text.size();
  const char* const target = begin + to;
  const char* p = begin + from;
  bool inside = from_inside;
  while (p < target) {
    if (inside) {
      const char* closing = find_closing(p, end, shape.quote);
      if (closing >= target) return true;
      p = closing + 1;
      inside = false;
      continue;
    }
    const char* q = find_char(p, target, shape.quote);
    if (q == target) return false;
    p = q + 1;
    inside = q == begin || q[-1] == shape.delimiter || q[-1] == '\n';
  }
  return inside;
}

std::size_t border_at_or_after(std::string_view text, std::size_t at, char quote) {
  while (at > 0 && at < text.size() && quote != '\0' && (text[at - 1] == quote || text[at] == quote)) ++at;
  return std::min(at, text.size());
}

std::size_t row_start_at_or_after(std::string_view text, std::size_t at, bool inside, TextShape shape) {
  if (at >= text.size()) return text.size();
  const char* const begin = text.data();
  const char* const end = begin + text.size();
  const char* p = begin + at;
  if (inside) {
    p = find_closing(p, end, shape.quote);
    if (p == end) return text.size();
    ++p;
  } else {
    if (at == 0 || p[-1] == '\n') return at;
    if (shape.comment != '\0') {
      // In the middle of a comment, quotes mean nothing.
      const char* line = p;
      while (line != begin && line[-1] != '\n') --line;
      if (*line == shape.comment) {
        p = find_char(p, end, '\n');
        return p == end ? text.size() : static_cast<std::size_t>(p + 1 - begin);
      }
    }
  }
  bool at_start = !inside && p[-1] == shape.delimiter;
  for (;;) {
    if (at_start && p != end && *p == shape.quote && shape.quote != '\0') {
      p = find_closing(p + 1, end, shape.quote);
      if (p == end) return text.size();
      ++p;
    }
    p = find_field_end(p, end, shape.delimiter);
    if (p == end) return text.size();
    if (*p == '\n') return static_cast<std::size_t>(p + 1 - begin);
    ++p;
    at_start = true;
  }
}

std::uint64_t line_number(std::string_view text, std::size_t at) {
  return 1 + static_cast<std::uint64_t>(std::count(text.data(), text.data() + std::min(at, text.size()), '\n'));
}

}  // namespace polysome
