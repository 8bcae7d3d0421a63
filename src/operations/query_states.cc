#include "operations/query_states.h"

#include <algorithm>
#include <array>
#include <cstring>
#include <string_view>
#include <utility>

namespace polysome {
namespace {

constexpr std::size_t kBatch = 64;  // rows whose groups are looked up together

struct Column {
  const void* data = nullptr;
  std::uint64_t* validity = nullptr;

  bool there(std::size_t row) const {
    return validity == nullptr || duckdb_validity_row_is_valid(validity, row);
  }
  template <class T>
  const T& at(std::size_t row) const {
    return static_cast<const T*>(data)[row];
  }
  template <class T>
  const T* from(std::size_t row) const {
    return static_cast<const T*>(data) + row;
  }
  std::string_view text(std::size_t row) const {
    const auto& value = at<duckdb_string_t>(row);
    const std::uint32_t size = value.value.inlined.length;
    const bool inlined = size <= sizeof value.value.inlined.inlined;
    return {inlined ? value.value.inlined.inlined : value.value.pointer.ptr, size};
  }
};

template <bool kSquares>
class States final : public PartialStates {
 public:
  States(Session& session, const QueryStatesPlan& plan)
      : session_(session),
        plan_(plan),
        table_(plan.shape),
        keys_(plan.shape.keys.size()),
        values_(plan.shape.values.size()) {}

  // What does not fit is read by SQL, which spills: `full` is not called.
  Result<bool> read(const std::function<Status()>& /*full*/) override {
    POLYSOME_ASSIGN(RowStream rows, session_.stream(plan_.sql));
    for (;;) {
      POLYSOME_ASSIGN(duckdb_data_chunk chunk, rows.fetch());
      if (chunk == nullptr) break;
      if (plan_.cancelled != nullptr && plan_.cancelled->load(std::memory_order_relaxed))
        return fail(Code::kCancelled, "the task was cancelled");
      if (!add_chunk(chunk) || table_.too_large()) return false;
    }
    return rows_ == plan_.rows;
  }
  std::uint64_t rows() const override { return rows_; }
  std::shared_ptr<RowSource> states(ValueType type, bool moments,
                                    const std::vector<std::uint32_t>& places) override {
    return table_.states(type, moments, places);
  }

 private:
  // False: a key that the table cannot tell from a missing one.
  bool add_chunk(duckdb_data_chunk chunk);
  bool note_key(std::size_t row, std::size_t i);
  void add_values(std::size_t begin, std::size_t n);
  std::uint32_t group_of(std::size_t i) {
    const std::uint32_t found = table_.groups().find(key_[i], hash_[i]);
    return found != GroupIndex::kNone ? found : table_.add_group(key_[i], hash_[i]);
  }

  Session& session_;
  QueryStatesPlan plan_;
  StateTable<kSquares> table_;
  std::vector<Column> keys_, values_;  // of the chunk
  std::array<std::string_view, kBatch> key_;
  std::array<std::uint64_t, kBatch> hash_{};
  std::array<std::uint32_t, kBatch> group_{};
  std::array<std::string, kBatch> packed_;
  std::uint64_t rows_ = 0;
};

template <bool kSquares>
bool States<kSquares>::add_chunk(duckdb_data_chunk chunk) {
  const std::size_t n = duckdb_data_chunk_get_size(chunk);
  std::size_t c = 0;
  for (auto* list : {&keys_, &values_})
    for (auto& column : *list) {
      duckdb_vector vector = duckdb_data_chunk_get_vector(chunk, c++);
      column = {duckdb_vector_get_data(vector), duckdb_vector_get_validity(vector)};
    }
  for (std::size_t begin = 0; begin < n; begin += kBatch) {
    const std::size_t here = std::min(kBatch, n - begin);
    for (std::size_t i = 0; i < here; ++i) {
      if (!note_key(begin + i, i)) return false;
      hash_[i] = GroupIndex::hash(key_[i]);
      table_.groups().prefetch(hash_[i]);
    }
    for (std::size_t i = 0; i < here; ++i)
      if (const auto g = table_.groups().guess(hash_[i]); g != GroupIndex::kNone)
        table_.prefetch(g);
    for (std::size_t i = 0; i < here; ++i) group_[i] = group_of(i);
    add_values(begin, here);
    table_.end_rows(here);
  }
  rows_ += n;
  return true;
}

template <bool kSquares>
bool States<kSquares>::note_key(std::size_t row, std::size_t i) {
  if (plan_.shape.plain_key()) {
    key_[i] = keys_[0].there(row) ? keys_[0].text(row) : kNoKey;
    return key_[i] != kNoKey || !keys_[0].there(row);
  }
  std::string& out = packed_[i];
  out.clear();
  for (std::size_t k = 0; k < keys_.size(); ++k) {
    const bool there = keys_[k].there(row);
    out += static_cast<char>(there);
    if (!there) continue;
    const bool whole = plan_.shape.keys[k] == ValueType::kInt64;
    const std::string_view text = whole ? std::string_view() : keys_[k].text(row);
    const std::uint64_t word =
        whole ? static_cast<std::uint64_t>(keys_[k].template at<std::int64_t>(row)) : text.size();
    out.append(reinterpret_cast<const char*>(&word), sizeof word);
    out += text;
  }
  key_[i] = out;
  return true;
}

template <bool kSquares>
void States<kSquares>::add_values(std::size_t begin, std::size_t n) {
  for (std::size_t v = 0; v < values_.size(); ++v) {
    const Column& column = values_[v];
    const bool whole = plan_.shape.values[v] == ValueType::kInt64;
    std::uint64_t there = 0;
    for (std::size_t i = 0; i < n; ++i) {
      const std::size_t state = group_[i] * values_.size() + v;
      if (!column.there(begin + i))
        table_.add_missing(state);
      else if (whole)
        table_.add(state, column.at<std::int64_t>(begin + i));
      else
        there |= std::uint64_t{1} << i;
    }
    if (there != 0)
      table_.add_batch(group_.data(), v, column.template from<double>(begin), n, there);
  }
}

}  // namespace

std::unique_ptr<PartialStates> make_query_states(Session& session, const QueryStatesPlan& plan) {
  if (plan.squares) return std::make_unique<States<true>>(session, plan);
  return std::make_unique<States<false>>(session, plan);
}

}  // namespace polysome
