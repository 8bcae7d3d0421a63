#include "operations/wide_states.h"

#include <algorithm>
#include <string_view>
#include <unordered_map>
#include <utility>

#include "kernels/arrow_library.h"

namespace polysome {
namespace {

// What a value takes while its column is read: itself, its level, and the page it comes from.
constexpr std::uint64_t kBytesPerRow = 32;
constexpr std::size_t kColumnsBetweenProgress = 512;

template <bool kSquares>
class States final : public PartialStates {
 public:
  States(const TableSource& source, std::vector<Partition> pieces, const ScanOptions& options,
         const WideStatesPlan& plan)
      : source_(source),
        pieces_(std::move(pieces)),
        options_(options),
        plan_(plan),
        table_(plan.shape) {
    table_.add_group({}, 0);
  }

  Result<bool> read(const std::function<Status()>& /*full*/) override {
    for (const auto& piece : pieces_) {
      POLYSOME_ASSIGN(const bool done, read_piece(piece));
      if (!done || table_.too_large()) return false;
    }
    return true;
  }
  std::uint64_t rows() const override { return rows_; }
  std::shared_ptr<RowSource> states(ValueType type, bool moments,
                                    const std::vector<std::uint32_t>& places) override {
    return table_.states(type, moments, places);
  }

 private:
  // False: a column is not there, or of a type that has to be cast.
  bool find_columns(const ParquetReader& reader);
  Result<bool> read_piece(const Partition& piece);
  // `bytes`: what they weigh in progress.
  Status read_rows(ParquetReader& reader, std::uint64_t first, std::uint64_t n,
                   std::uint64_t bytes);

  const TableSource& source_;
  std::vector<Partition> pieces_;
  ScanOptions options_;
  WideStatesPlan plan_;
  StateTable<kSquares> table_;
  std::vector<std::size_t> at_;  // place of each column in the file
  std::uint64_t rows_ = 0, bytes_ = 0;
};

template <bool kSquares>
bool States<kSquares>::find_columns(const ParquetReader& reader) {
  const auto& columns = reader.columns();
  std::unordered_map<std::string_view, std::size_t> places;
  places.reserve(columns.size());
  for (std::size_t i = 0; i < columns.size(); ++i)
    if (!places.emplace(columns[i].name, i).second) return false;
  at_.clear();
  for (std::size_t v = 0; v < plan_.columns.size(); ++v) {
    const auto it = places.find(plan_.columns[v]);
    if (it == places.end()) return false;
    const auto& column = columns[it->second];
    if (plan_.shape.values[v] == ValueType::kInt64 ? !column.whole : !column.real) return false;
    at_.push_back(it->second);
  }
  return true;
}

template <bool kSquares>
Result<bool> States<kSquares>::read_piece(const Partition& piece) {
  POLYSOME_ASSIGN(const ArrowLibrary* library, arrow_library());
  POLYSOME_ASSIGN(const auto reader, library->open_parquet(source_.files[piece.file].path));
  if (!find_columns(*reader)) return false;
  // A row group at a time: to begin in the middle of one means to pass over what lies before.
  const std::uint64_t end = piece.offset + piece.length;
  std::uint64_t begin = 0;
  for (const std::uint64_t in_group : reader->group_rows()) {
    const std::uint64_t from = std::max(begin, piece.offset);
    const std::uint64_t to = std::min(begin + in_group, end);
    begin += in_group;
    if (from >= to) continue;
    if ((to - from) > QuickMoments<kSquares>::kMostPending / 2) return false;
    if (plan_.shape.memory > 0 && (to - from) * kBytesPerRow > plan_.shape.memory) return false;
    const std::uint64_t bytes = piece.bytes / piece.length * (to - from);
    POLYSOME_TRY(read_rows(*reader, from, to - from, bytes));
    bytes_ += bytes;
  }
  return true;
}

template <bool kSquares>
Status States<kSquares>::read_rows(ParquetReader& reader, std::uint64_t first, std::uint64_t n,
                                   std::uint64_t bytes) {
  table_.count_rows(n);
  for (std::size_t v = 0; v < at_.size(); ++v) {
    if (options_.cancelled != nullptr && options_.cancelled->load(std::memory_order_relaxed))
      return fail(Code::kCancelled, "the task was cancelled");
    if (options_.progress && v % kColumnsBetweenProgress == 0)
      options_.progress(bytes_ + bytes / at_.size() * v);
    if (plan_.shape.values[v] == ValueType::kInt64) {
      POLYSOME_ASSIGN(const auto values, reader.read_wholes(at_[v], first, n));
      for (const auto x : values) table_.add(v, x);
    } else {
      POLYSOME_ASSIGN(const auto values, reader.read_reals(at_[v], first, n));
      for (const double x : values)
        if (x == x) table_.add(v, x);  // NaN is a missing value
    }
  }
  table_.end_rows(n);
  rows_ += n;
  return {};
}

}  // namespace

std::unique_ptr<PartialStates> make_wide_states(const TableSource& source,
                                                std::vector<Partition> pieces,
                                                const ScanOptions& options,
                                                const WideStatesPlan& plan) {
  if (plan.squares) return std::make_unique<States<true>>(source, std::move(pieces), options, plan);
  return std::make_unique<States<false>>(source, std::move(pieces), options, plan);
}

}  // namespace polysome
