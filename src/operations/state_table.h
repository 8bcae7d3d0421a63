// Groups and the partial states of their values while rows are read, and those states as rows for
// SQL. State s = group · values + value. Keys are bytes: of one text key the text itself, else of
// each key a byte that tells whether it is there, then eight bytes of a number, or the size of a
// text and the text. One scan's; its thread.
#pragma once

#include <bit>
#include <cstdint>
#include <functional>
#include <limits>
#include <memory>
#include <optional>
#include <string_view>
#include <vector>

#include "base/result.h"
#include "data/values.h"
#include "kernels/column_sums.h"
#include "kernels/group_index.h"
#include "kernels/group_sums.h"
#include "kernels/quick_moments.h"
#include "kernels/row_source.h"

namespace polysome {

inline constexpr std::string_view kNoKey{"\0", 1};  // a missing text: no valid text holds NUL

struct StateShape {
  std::vector<ValueType> keys;    // int64 or string
  std::vector<ValueType> values;  // int64 or double; one or more
  bool extremes = false;
  std::uint64_t memory = 0;  // most bytes; 0: no limit

  bool plain_key() const { return keys.size() == 1 && keys[0] == ValueType::kString; }
};

// Whoever fills a table from a partition, straight, with no SQL over its rows.
class PartialStates {
 public:
  virtual ~PartialStates() = default;
  // Reads the whole partition. When the groups need more memory than they may have, `full` is
  // called: it takes the states, and reading goes on with none; those of a group then stand in
  // several places. Without it, or where this way is not for these rows, the answer is false
  // (nothing is lost: read it another way). Errors: those of the data, of `full`, kCancelled.
  virtual Result<bool> read(const std::function<Status()>& full = {}) = 0;
  virtual std::uint64_t rows() const = 0;
  // Rows k0…, col (the place in `places` for each value), rows, n, m (with `moments`), s (of whole
  // numbers), lo, hi: those of the values of type `type`.
  virtual std::shared_ptr<RowSource> states(ValueType type, bool moments,
                                            const std::vector<std::uint32_t>& places) = 0;
};

template <bool kSquares>
class StateTable {
 public:
  explicit StateTable(StateShape shape) : shape_(std::move(shape)) {
    bases_.resize(shape_.values.size());
  }

  const GroupIndex& groups() const { return groups_; }
  std::uint32_t add_group(std::string_view key, std::uint64_t hash);
  // The groups and states need more memory than the shape allows.
  bool too_large() const { return too_large_; }
  // No groups, and the memory given back.
  void clear() { *this = StateTable(std::move(shape_)); }

  // Inlined always, see GroupIndex::prefetch.
  [[gnu::always_inline]] void prefetch(std::uint32_t group) const {
    sums_.prefetch(group * shape_.values.size());
  }
  // A row of a group is counted by its first value, which is added or said to be missing; rows of a
  // table without keys are counted here.
  void count_rows(std::uint64_t rows) { all_rows_ += rows; }
  void add_missing(std::size_t state) {
    const std::size_t n = shape_.values.size();
    if (n > 1 && state % n != 0) return;
    if (lacking_.size() <= state / n) lacking_.resize(groups_.size());
    ++lacking_[state / n];
  }
  // To be called for every so many rows read: no more than kMostPending / 2 at once.
  void end_rows(std::uint64_t rows) {
    since_pour_ += rows;
    if (since_pour_ > QuickMoments<kSquares>::kMostPending / 2) pour_all();
  }

  // The short ways only, of doubles without extremes. Values of the one group of a table without
  // keys, as ColumnSums::add; returns the bits of those not counted.
  std::uint64_t add_side_by_side(std::size_t first, std::size_t n, const double* values,
                                 std::uint64_t which) {
    if constexpr (kSquares) {
      std::uint64_t left = 0;
      for (; which != 0; which &= which - 1) {
        const auto i = static_cast<std::size_t>(std::countr_zero(which));
        if (!quick(first + i).add(values[i])) left |= std::uint64_t{1} << i;
      }
      return left;
    } else {
      if (!columns_) columns_.emplace(size());
      return columns_->add(first, n, values, which);
    }
  }
  void add(std::size_t state, double x) {
    add_one(state, x);
    if (shape_.extremes) note_extremes(state, x);
  }
  // numbers[i] to value `column` of group groups[i] where bit i of `which` is set, i < n <= 64.
  void add_batch(const std::uint32_t* groups, std::size_t column, const double* numbers,
                 std::size_t n, std::uint64_t which) {
    const std::size_t stride = shape_.values.size();
    std::uint64_t left = sums_.add(groups, stride, column, numbers, n, which, &bases_[column]);
    for (; left != 0; left &= left - 1) {
      const auto i = static_cast<std::size_t>(std::countr_zero(left));
      add_one(groups[i] * stride + column, numbers[i]);
    }
    if (!shape_.extremes) return;
    for (; which != 0; which &= which - 1) {
      const auto i = static_cast<std::size_t>(std::countr_zero(which));
      note_extremes(groups[i] * stride + column, numbers[i]);
    }
  }
  void add(std::size_t state, std::int64_t x) {
    if (!quick(state).add(x)) [[unlikely]]
      poured(state).add(x);
    if (shape_.extremes) {
      Extremes<std::int64_t>& e = wholes_[state];
      e.low = x < e.low ? x : e.low;
      e.high = x > e.high ? x : e.high;
    }
  }

  // Columns k0…, col (the place in `places` of each value), rows, n, m (with `moments`), s (of
  // whole numbers), lo, hi; rows of the values of type `type`. Takes the states out of the table,
  // which must outlive it.
  std::shared_ptr<RowSource> states(ValueType type, bool moments,
                                    std::vector<std::uint32_t> places);

 private:
  template <class T>
  struct Extremes {
    T low = std::numeric_limits<T>::has_infinity ? std::numeric_limits<T>::infinity()
                                                 : std::numeric_limits<T>::max();
    T high = std::numeric_limits<T>::has_infinity ? -std::numeric_limits<T>::infinity()
                                                  : std::numeric_limits<T>::lowest();
  };
  struct Answer {
    ValueType type;
    bool moments;
    std::vector<std::size_t> chosen;  // values
    std::vector<std::uint32_t> places;
    std::size_t next = 0;
  };

  std::size_t size() const { return groups_.size() * shape_.values.size(); }
  QuickMoments<kSquares>& quick(std::size_t state) {
    if (quick_.size() <= state) [[unlikely]]
      quick_.resize(size());
    return quick_[state];
  }
  void add_one(std::size_t state, double x) {
    if (!quick(state).add(x)) [[unlikely]]
      x == x ? poured(state).add(x) : add_missing(state);
  }
  void note_extremes(std::size_t state, double x) {
    Extremes<double>& e = doubles_[state];
    x += 0.0;  // one zero
    e.low = x < e.low ? x : e.low;
    e.high = x > e.high ? x : e.high;
  }
  void settle_rows();
  bool pending(std::size_t state) const;
  void pour(std::size_t state, bool whole, Moments* out);
  Moments& poured(std::size_t state);
  void pour_all();
  Moments take(std::size_t state, bool whole);
  std::size_t fill(duckdb_data_chunk chunk, Answer* answer);
  void fill_keys(duckdb_data_chunk chunk, std::size_t row, std::uint32_t group) const;

  StateShape shape_;
  GroupIndex groups_;
  // A state's values are counted in whichever of these takes them, each there once it is needed.
  GroupSums<kSquares> sums_;
  std::vector<std::uint32_t> bases_;  // of sums_, for each value
  std::vector<QuickMoments<kSquares>> quick_;
  std::optional<ColumnSums> columns_;
  std::vector<Extremes<double>> doubles_;
  std::vector<Extremes<std::int64_t>> wholes_;
  std::vector<std::unique_ptr<Moments>> poured_;  // and what none of them takes
  std::vector<std::uint64_t> lacking_;            // rows of each group without its first value
  std::vector<std::uint64_t> rows_;               // of each group, once all are read
  std::uint64_t all_rows_ = 0;
  std::uint64_t since_pour_ = 0;  // rows
  bool too_large_ = false;
};

extern template class StateTable<false>;
extern template class StateTable<true>;

}  // namespace polysome
