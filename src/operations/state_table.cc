#include "operations/state_table.h"

#include <cstring>
#include <string>
#include <utility>

namespace polysome {
namespace {

// The exact sum of whole numbers, as an integer.
Int128 whole_sum(const Moments& m) {
  const Magnitude sum = m.sum.magnitude();
  Uint128 out = 0;
  for (int i = 0; i < sum.size; ++i)
    out |= static_cast<Uint128>(sum.digits[i]) << (32 * (sum.low + i - kOriginDigits));
  return sum.negative ? -static_cast<Int128>(out) : static_cast<Int128>(out);
}

template <class T>
T* data_of(duckdb_data_chunk chunk, std::size_t column) {
  return static_cast<T*>(duckdb_vector_get_data(duckdb_data_chunk_get_vector(chunk, column)));
}

void set_null(duckdb_data_chunk chunk, std::size_t column, std::size_t row) {
  duckdb_vector vector = duckdb_data_chunk_get_vector(chunk, column);
  duckdb_vector_ensure_validity_writable(vector);
  duckdb_validity_set_row_invalid(duckdb_vector_get_validity(vector), row);
}

void set_text(duckdb_data_chunk chunk, std::size_t column, std::size_t row, std::string_view text) {
  duckdb_vector_assign_string_element_len(duckdb_data_chunk_get_vector(chunk, column), row,
                                          text.data(), text.size());
}

}  // namespace

template <bool kSquares>
std::uint32_t StateTable<kSquares>::add_group(std::string_view key, std::uint64_t hash) {
  const std::uint32_t group = groups_.add(key, hash);
  if (!shape_.keys.empty()) sums_.resize(size());
  if (!quick_.empty()) quick_.resize(size());
  if (shape_.extremes) {
    doubles_.resize(size());
    wholes_.resize(size());
  }
  if (shape_.memory > 0 && groups_.size() % 1024 == 0) {
    std::size_t states = sums_.bytes() + quick_.capacity() * sizeof(QuickMoments<kSquares>);
    if (shape_.extremes)
      states += doubles_.capacity() * (sizeof(Extremes<double>) + sizeof(Extremes<std::int64_t>));
    // Vectors double: half as much again is taken while they grow.
    too_large_ = groups_.bytes() + states * 3 / 2 > shape_.memory;
  }
  return group;
}

template <bool kSquares>
Moments& StateTable<kSquares>::poured(std::size_t state) {
  if (poured_.size() <= state) poured_.resize(size());
  auto& out = poured_[state];
  if (out == nullptr) {
    out = std::make_unique<Moments>();
    out->has_squares = kSquares;
  }
  return *out;
}

// Values since the last pour: a state without any needs no Moments.
template <bool kSquares>
bool StateTable<kSquares>::pending(std::size_t state) const {
  return (state < sums_.size() && sums_.pending(state) > 0) ||
         (state < quick_.size() && quick_[state].pending() > 0) ||
         (columns_ && columns_->pending(state) > 0);
}

// What the state's values were counted in, added to `out`.
template <bool kSquares>
void StateTable<kSquares>::pour(std::size_t state, bool whole, Moments* out) {
  if (state < sums_.size()) sums_.pour(state, bases_[state % shape_.values.size()], out);
  if (columns_) columns_->pour(state, out);
  if (state < quick_.size()) quick_[state].pour(whole, out);
}

template <bool kSquares>
void StateTable<kSquares>::pour_all() {
  for (std::size_t s = 0; s < size(); ++s)
    if (pending(s))
      pour(s, shape_.values[s % shape_.values.size()] == ValueType::kInt64, &poured(s));
  since_pour_ = 0;
}

// While the states are still there.
template <bool kSquares>
void StateTable<kSquares>::settle_rows() {
  if (shape_.keys.empty()) {
    rows_ = {all_rows_};
    return;
  }
  if (!rows_.empty()) return;
  rows_ = std::move(lacking_);
  rows_.resize(groups_.size());
  for (std::size_t g = 0; g < rows_.size(); ++g) {
    const std::size_t first = g * shape_.values.size();
    rows_[g] += sums_.pending(first);
    if (first < quick_.size()) rows_[g] += quick_[first].pending();
    if (first < poured_.size() && poured_[first] != nullptr)
      rows_[g] += static_cast<std::uint64_t>(poured_[first]->count);
  }
}

template <bool kSquares>
Moments StateTable<kSquares>::take(std::size_t state, bool whole) {
  Moments out;
  out.has_squares = kSquares;
  if (state < poured_.size() && poured_[state] != nullptr) out = std::move(*poured_[state]);
  pour(state, whole, &out);
  return out;
}

template <bool kSquares>
void StateTable<kSquares>::fill_keys(duckdb_data_chunk chunk, std::size_t row,
                                     std::uint32_t group) const {
  std::string_view key = groups_.key(group);
  if (shape_.plain_key()) {
    if (key == kNoKey)
      set_null(chunk, 0, row);
    else
      set_text(chunk, 0, row, key);
    return;
  }
  for (std::size_t k = 0; k < shape_.keys.size(); ++k) {
    const bool there = key.front() != '\0';
    key.remove_prefix(1);
    if (!there) {
      set_null(chunk, k, row);
      continue;
    }
    std::uint64_t word = 0;  // the number, or the size of the text
    std::memcpy(&word, key.data(), sizeof word);
    key.remove_prefix(sizeof word);
    if (shape_.keys[k] == ValueType::kInt64) {
      data_of<std::int64_t>(chunk, k)[row] = static_cast<std::int64_t>(word);
    } else {
      set_text(chunk, k, row, key.substr(0, word));
      key.remove_prefix(word);
    }
  }
}

template <bool kSquares>
std::size_t StateTable<kSquares>::fill(duckdb_data_chunk chunk, Answer* answer) {
  const bool whole = answer->type == ValueType::kInt64;
  const std::size_t n_values = answer->chosen.size();
  const std::size_t total = groups_.size() * n_values;
  std::size_t row = 0;
  for (; row < duckdb_vector_size() && answer->next < total; ++row, ++answer->next) {
    const auto group = static_cast<std::uint32_t>(answer->next / n_values);
    const std::size_t v = answer->chosen[answer->next % n_values];
    const std::size_t state = group * shape_.values.size() + v;
    const Moments m = take(state, whole);
    if (!shape_.keys.empty()) fill_keys(chunk, row, group);
    std::size_t c = shape_.keys.size();
    data_of<std::int32_t>(chunk, c++)[row] = static_cast<std::int32_t>(answer->places[v]);
    data_of<std::int64_t>(chunk, c++)[row] = static_cast<std::int64_t>(rows_[group]);
    data_of<std::int64_t>(chunk, c++)[row] = m.count;
    if (answer->moments) set_text(chunk, c++, row, m.serialize());
    if (whole) {
      const Int128 sum = whole_sum(m);
      data_of<duckdb_hugeint>(chunk, c)[row] = {static_cast<std::uint64_t>(sum),
                                                static_cast<std::int64_t>(sum >> 64)};
      if (m.count == 0) set_null(chunk, c, row);
      ++c;
    }
    if (!shape_.extremes || m.count == 0) {
      set_null(chunk, c, row);
      set_null(chunk, c + 1, row);
    } else if (whole) {
      data_of<std::int64_t>(chunk, c)[row] = wholes_[state].low;
      data_of<std::int64_t>(chunk, c + 1)[row] = wholes_[state].high;
    } else {
      data_of<double>(chunk, c)[row] = doubles_[state].low;
      data_of<double>(chunk, c + 1)[row] = doubles_[state].high;
    }
  }
  return row;
}

template <bool kSquares>
std::shared_ptr<RowSource> StateTable<kSquares>::states(ValueType type, bool moments,
                                                        std::vector<std::uint32_t> places) {
  settle_rows();
  auto out = std::make_shared<RowSource>();
  for (std::size_t k = 0; k < shape_.keys.size(); ++k)
    out->columns.push_back({"k" + std::to_string(k), shape_.keys[k] == ValueType::kInt64
                                                         ? DUCKDB_TYPE_BIGINT
                                                         : DUCKDB_TYPE_VARCHAR});
  const duckdb_type value = type == ValueType::kInt64 ? DUCKDB_TYPE_BIGINT : DUCKDB_TYPE_DOUBLE;
  out->columns.push_back({"col", DUCKDB_TYPE_INTEGER});
  out->columns.push_back({"rows", DUCKDB_TYPE_BIGINT});
  out->columns.push_back({"n", DUCKDB_TYPE_BIGINT});
  if (moments) out->columns.push_back({"m", DUCKDB_TYPE_BLOB});
  if (type == ValueType::kInt64) out->columns.push_back({"s", DUCKDB_TYPE_HUGEINT});
  out->columns.push_back({"lo", value});
  out->columns.push_back({"hi", value});
  Answer answer{type, moments, {}, std::move(places)};
  for (std::size_t v = 0; v < shape_.values.size(); ++v)
    if (shape_.values[v] == type) answer.chosen.push_back(v);
  out->fill = [this, answer = std::move(answer)](duckdb_data_chunk chunk) mutable {
    return fill(chunk, &answer);
  };
  return out;
}

template class StateTable<false>;
template class StateTable<true>;

}  // namespace polysome
