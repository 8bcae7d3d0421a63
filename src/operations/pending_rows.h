// Rows of text whose groups are looked up together: what finding a group and adding to it touches
// is fetched while others are worked on. Column after column, so that numbers are read side by
// side. Views the text. One scan's; its thread.
#pragma once

#include <algorithm>
#include <array>
#include <cstdint>
#include <vector>

#include "data/row_scanner.h"
#include "kernels/group_index.h"
#include "kernels/number_batch.h"

namespace polysome {

class PendingRows {
 public:
  static constexpr std::size_t kMost = kNumberBatch;

  struct Key {
    GroupIndex::Lookup lookup;
    const char* text = nullptr;  // in the file, or null: among the packed ones, from `at` on
    std::size_t at = 0, size = 0;
    std::size_t row_begin = 0;
  };

  void set_values(std::size_t n) {
    ends_.resize(n * kMost);
    sizes_.resize(n * kMost);
    there_.resize(n);
    quoted_.resize(n);
  }
  std::size_t size() const { return n_; }
  std::size_t room() const { return kMost - n_; }
  bool full() const { return n_ == kMost; }
  void clear() {
    n_ = 0;
    std::ranges::fill(there_, 0);
    std::ranges::fill(quoted_, 0);
  }
  // Rows are there once their keys and values are: those from size() on.
  void add(std::size_t rows) { n_ += rows; }
  Key& key(std::size_t row) { return keys_[row]; }

  // One without begin is not there.
  void set_field(std::size_t value, std::size_t row, const Field& field) {
    if (field.begin == nullptr) return;
    ends_[value * kMost + row] = field.end;
    sizes_[value * kMost + row] = static_cast<std::uint64_t>(field.end - field.begin);
    there_[value] |= std::uint64_t{1} << row;
    quoted_[value] |= std::uint64_t{field.quoted} << row;
  }
  // Of rows [size(), size() + n), all there and without quotes: row r's lies between marks
  // r · stride − 1 and r · stride from `marks` on; the first row's begins at `begin`. `last`: of
  // the row, a carriage return at its end does not belong to it.
  void set_fields(std::size_t value, const char* base, const std::uint32_t* marks,
                  std::size_t stride, std::size_t n, const char* begin, bool last);
  Field field(std::size_t value, std::size_t row) const {
    if ((there_[value] >> row & 1) == 0) return {};
    Field out;
    out.end = ends_[value * kMost + row];
    out.begin = out.end - sizes_[value * kMost + row];
    out.quoted = (quoted_[value] >> row & 1) != 0;
    return out;
  }

  // The value's numbers in their usual forms, as convert_spread reads them; nothing before `floor`
  // is looked at. Bit i of the answer: out[i] is that of row i.
  std::uint64_t convert(std::size_t value, const char* floor, double* out) const;

 private:
  std::size_t n_ = 0;
  std::array<Key, kMost> keys_;
  std::vector<const char*> ends_;
  std::vector<std::uint64_t> sizes_;
  std::vector<std::uint64_t> there_, quoted_;  // bits of the rows, for each value
};

}  // namespace polysome
