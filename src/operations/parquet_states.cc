#include "operations/parquet_states.h"

#include <algorithm>
#include <array>
#include <cmath>
#include <string_view>
#include <type_traits>
#include <unordered_map>
#include <utility>

#include "kernels/arrow_library.h"

namespace polysome {
namespace {

constexpr std::size_t kBatch = 1024;  // rows taken together: their values stay in the first cache
constexpr std::size_t kLooked = 64;   // keys whose places in the table are fetched together
constexpr std::size_t kAhead = 64;    // rows that are added together, the next ones' states fetched
constexpr std::size_t kCodesPerRow = 4;   // of the combinations of several dictionaries' codes
constexpr std::size_t kFewCodes = 65536;  // are combined however few rows there are
constexpr std::uint64_t kBatchesBetweenProgress = 256;
constexpr std::uint32_t kNone = GroupIndex::kNone;

template <bool kSquares>
class States final : public PartialStates {
 public:
  States(const TableSource& source, std::vector<Partition> pieces, const ScanOptions& options,
         const ParquetStatesPlan& plan)
      : source_(source),
        pieces_(std::move(pieces)),
        options_(options),
        plan_(plan),
        table_(plan.shape),
        keys_(plan.keys.size()),
        values_(plan.values.size()),
        place_(plan.keys.size()) {}

  Result<bool> read(const std::function<Status()>& full) override {
    full_ = full;
    for (const auto& piece : pieces_) {
      const auto done = read_piece(piece);
      if (!stopped_) return std::unexpected(stopped_.error());
      if (!done || !*done) return false;
    }
    return true;
  }
  std::uint64_t rows() const override { return rows_; }
  std::shared_ptr<RowSource> states(ValueType type, bool moments,
                                    const std::vector<std::uint32_t>& places) override {
    return table_.states(type, moments, places);
  }

 private:
  struct Column {
    std::size_t at = 0;  // in the file
    std::unique_ptr<ParquetColumn> reader;
    ParquetColumn::Rows rows;
    std::size_t next = 0;  // of a key: the value of the next row that has one
  };
  struct Key {
    std::string_view bytes;
    std::uint64_t hash = 0;
  };

  // False: a column is not there, or of a type that has to be cast.
  bool find_columns(const ParquetReader& reader);
  Result<bool> read_piece(const Partition& piece);
  // Rows [first, first + n) of a row group.
  Result<bool> read_rows(ParquetReader& reader, std::size_t group, std::uint64_t first,
                         std::uint64_t n);
  Status open_columns(ParquetReader& reader, std::size_t group, std::uint64_t first);
  // Takes the next rows, at most n; 0 where the columns end.
  Result<std::size_t> take(std::uint64_t n);
  bool go_on();
  bool has_room();

  // Each finds the groups of the n rows taken; false: a key that is for SQL.
  bool find_by_code(std::size_t n);
  bool find_by_bytes(std::size_t n);
  bool in_codes() const;
  void look_up_codes(std::uint64_t rows);
  void look_up_dictionary(const std::vector<std::string_view>& texts);
  std::size_t size_of(const Column& key) const;
  std::uint32_t group_of_code(std::size_t code);
  bool note_key(std::size_t row, Key* key, std::string* packed);
  void pack(std::size_t k, const std::string_view* text, const std::int64_t* whole,
            std::string* packed) const;
  std::uint32_t group_of(const Key& key);
  void add_values(std::size_t n);
  void add_wholes(std::size_t v, const std::int64_t* x, const std::int16_t* there, std::size_t n);
  void add_reals(std::size_t v, const double* x, const std::int16_t* there, std::size_t n);

  const TableSource& source_;
  std::vector<Partition> pieces_;
  ScanOptions options_;
  ParquetStatesPlan plan_;
  StateTable<kSquares> table_;
  std::function<Status()> full_;
  Status stopped_;  // why, when it was not for the file
  std::vector<Column> keys_, values_;
  std::array<std::uint32_t, kBatch> code_{};
  std::array<std::uint32_t, kBatch + 2 * kAhead> group_{};
  std::vector<std::uint32_t> group_of_code_;  // of the row group
  std::vector<std::size_t> place_;            // of a combination of codes: that of each key
  bool looked_up_ = false, combines_ = false;
  std::array<std::string, kLooked> packed_;
  std::uint64_t rows_ = 0, bytes_ = 0, batches_ = 0;
};

template <bool kSquares>
bool States<kSquares>::find_columns(const ParquetReader& reader) {
  const auto& columns = reader.columns();
  std::unordered_map<std::string_view, std::size_t> places;
  for (std::size_t i = 0; i < columns.size(); ++i)
    if (!places.emplace(columns[i].name, i).second) return false;
  const auto find = [&](const std::string& name, ValueType type, Column* out) {
    const auto it = places.find(name);
    if (it == places.end()) return false;
    out->at = it->second;
    const auto& column = columns[it->second];
    return type == ValueType::kString  ? column.text
           : type == ValueType::kInt64 ? column.whole
                                       : column.real;
  };
  for (std::size_t k = 0; k < keys_.size(); ++k)
    if (!find(plan_.keys[k], plan_.shape.keys[k], &keys_[k])) return false;
  for (std::size_t v = 0; v < values_.size(); ++v)
    if (!find(plan_.values[v], plan_.shape.values[v], &values_[v])) return false;
  return true;
}

template <bool kSquares>
Result<bool> States<kSquares>::read_piece(const Partition& piece) {
  if (piece.length == 0) return true;
  POLYSOME_ASSIGN(const ArrowLibrary* library, arrow_library());
  POLYSOME_ASSIGN(const auto reader, library->open_parquet(source_.files[piece.file].path));
  // Columns read from the file that is closed at the end of this function.
  struct Closed {
    States* states;
    ~Closed() {
      for (auto* list : {&states->keys_, &states->values_})
        for (auto& column : *list) column.reader.reset();
    }
  } const closed{this};
  if (!find_columns(*reader)) return false;
  const std::uint64_t end = piece.offset + piece.length;
  std::uint64_t begin = 0, left = piece.length;
  const auto& groups = reader->group_rows();
  for (std::size_t g = 0; g < groups.size(); begin += groups[g++]) {
    const std::uint64_t from = std::max(begin, piece.offset);
    const std::uint64_t to = std::min(begin + groups[g], end);
    if (from >= to) continue;
    POLYSOME_ASSIGN(const bool done, read_rows(*reader, g, from - begin, to - from));
    if (!done) return false;
    left -= to - from;
    bytes_ += piece.bytes / piece.length * (to - from);
  }
  return left == 0;
}

template <bool kSquares>
Status States<kSquares>::open_columns(ParquetReader& reader, std::size_t group,
                                      std::uint64_t first) {
  for (auto* list : {&keys_, &values_})
    for (auto& column : *list) {
      POLYSOME_ASSIGN(column.reader, reader.open_column(column.at, group, list == &keys_));
      POLYSOME_TRY(column.reader->pass(first));
    }
  return {};
}

template <bool kSquares>
Result<bool> States<kSquares>::read_rows(ParquetReader& reader, std::size_t group,
                                         std::uint64_t first, std::uint64_t n) {
  if (plan_.unpacked > 0) {
    std::uint64_t bytes = 0;  // a page and a dictionary of each column are held, at the most
    for (const auto* list : {&keys_, &values_})
      for (const auto& column : *list) bytes += reader.unpacked_bytes(column.at, group);
    if (bytes > plan_.unpacked) return false;
  }
  POLYSOME_TRY(open_columns(reader, group, first));
  looked_up_ = false;
  for (std::uint64_t left = n; left > 0;) {
    POLYSOME_ASSIGN(const std::size_t here, take(left));
    if (here == 0 || !go_on()) return false;
    const bool by_code = in_codes();
    if (by_code && !looked_up_) look_up_codes(n);
    if (!(by_code && combines_ ? find_by_code(here) : find_by_bytes(here))) return false;
    add_values(here);
    table_.end_rows(here);
    rows_ += here;
    left -= here;
    if (!has_room()) return false;
  }
  return true;
}

template <bool kSquares>
Result<std::size_t> States<kSquares>::take(std::uint64_t n) {
  n = std::min<std::uint64_t>(n, kBatch);
  for (auto* list : {&keys_, &values_})
    for (auto& column : *list) {
      POLYSOME_ASSIGN(const std::uint64_t there, column.reader->available());
      n = std::min(n, there);
    }
  if (n == 0) return std::size_t{0};
  for (auto* list : {&keys_, &values_})
    for (auto& column : *list) {
      POLYSOME_ASSIGN(column.rows, column.reader->take(n));
      column.next = 0;
    }
  return static_cast<std::size_t>(n);
}

template <bool kSquares>
bool States<kSquares>::go_on() {
  if (options_.cancelled != nullptr && options_.cancelled->load(std::memory_order_relaxed))
    stopped_ = fail(Code::kCancelled, "the task was cancelled");
  else if (options_.progress && batches_++ % kBatchesBetweenProgress == 0)
    options_.progress(bytes_);
  return stopped_.has_value();
}

// True: there is room in the table, again or still.
template <bool kSquares>
bool States<kSquares>::has_room() {
  if (!table_.too_large()) return true;
  if (!full_) return false;
  stopped_ = full_();
  table_.clear();
  looked_up_ = false;
  return stopped_.has_value();
}

// --- keys by their codes ---

template <bool kSquares>
bool States<kSquares>::in_codes() const {
  return std::ranges::all_of(keys_, [](const auto& key) { return key.rows.codes != nullptr; });
}

template <bool kSquares>
std::size_t States<kSquares>::size_of(const Column& key) const {
  const auto& dictionary = key.reader->dictionary();
  return std::max(dictionary.texts.size(), dictionary.wholes.size());
}

// The group of each code of the row group, or of each combination of codes; a missing key counts as
// the code behind the last. Those that no row of the table has met have none.
template <bool kSquares>
void States<kSquares>::look_up_codes(std::uint64_t rows) {
  looked_up_ = true;
  std::size_t most = std::max<std::size_t>(kFewCodes, kCodesPerRow * rows);
  if (plan_.shape.memory > 0)
    most = std::min<std::size_t>(most, plan_.shape.memory / 4 / sizeof(std::uint32_t));
  std::size_t codes = 1;
  combines_ = true;
  for (const auto& key : keys_) {
    const std::size_t size = size_of(key) + 1;
    combines_ = combines_ && size <= most / codes;
    if (!combines_) return;
    codes *= size;
  }
  group_of_code_.assign(codes, kNone);
  if (plan_.shape.plain_key()) look_up_dictionary(keys_[0].reader->dictionary().texts);
}

template <bool kSquares>
void States<kSquares>::look_up_dictionary(const std::vector<std::string_view>& texts) {
  std::array<std::uint64_t, kLooked> hash;
  for (std::size_t begin = 0; begin < texts.size(); begin += kLooked) {
    const std::size_t n = std::min(kLooked, texts.size() - begin);
    for (std::size_t i = 0; i < n; ++i) {
      hash[i] = GroupIndex::hash(texts[begin + i]);
      table_.groups().prefetch(hash[i]);
    }
    for (std::size_t i = 0; i < n; ++i) table_.groups().guess(hash[i]);
    for (std::size_t i = 0; i < n; ++i)
      if (texts[begin + i] != kNoKey)
        group_of_code_[begin + i] = table_.groups().find(texts[begin + i], hash[i]);
  }
}

template <bool kSquares>
bool States<kSquares>::find_by_code(std::size_t n) {
  for (std::size_t k = 0; k < keys_.size(); ++k) {
    const auto& rows = keys_[k].rows;
    const auto missing = static_cast<std::uint32_t>(size_of(keys_[k]));
    const std::uint32_t scale = k == 0 ? 0 : missing + 1;
    if (rows.there == nullptr) {
      for (std::size_t i = 0; i < n; ++i)
        code_[i] = code_[i] * scale + static_cast<std::uint32_t>(rows.codes[i]);
    } else {
      for (std::size_t i = 0, next = 0; i < n; ++i) {
        const bool there = rows.there[i] != 0;
        code_[i] =
            code_[i] * scale + (there ? static_cast<std::uint32_t>(rows.codes[next]) : missing);
        next += there ? 1 : 0;
      }
    }
  }
  for (std::size_t i = 0; i < n; ++i) {
    std::uint32_t& group = group_of_code_[code_[i]];
    if (group == kNone) [[unlikely]] {
      group = group_of_code(code_[i]);
      if (group == kNone) return false;
    }
    group_[i] = group;
  }
  return true;
}

template <bool kSquares>
std::uint32_t States<kSquares>::group_of_code(std::size_t code) {
  for (std::size_t k = keys_.size(); k-- > 0;) {
    const std::size_t size = size_of(keys_[k]) + 1;
    place_[k] = code % size;
    code /= size;
  }
  Key key;
  if (plan_.shape.plain_key()) {
    const auto& texts = keys_[0].reader->dictionary().texts;
    const bool there = place_[0] < texts.size();
    key.bytes = there ? texts[place_[0]] : kNoKey;
    if (there && key.bytes == kNoKey) return kNone;
  } else {
    packed_[0].clear();
    for (std::size_t k = 0; k < keys_.size(); ++k) {
      const auto& dictionary = keys_[k].reader->dictionary();
      pack(k, place_[k] < dictionary.texts.size() ? &dictionary.texts[place_[k]] : nullptr,
           place_[k] < dictionary.wholes.size() ? &dictionary.wholes[place_[k]] : nullptr,
           &packed_[0]);
    }
    key.bytes = packed_[0];
  }
  key.hash = GroupIndex::hash(key.bytes);
  return group_of(key);
}

// --- keys by their bytes ---

// As the table wants a key of several.
template <bool kSquares>
void States<kSquares>::pack(std::size_t k, const std::string_view* text, const std::int64_t* whole,
                            std::string* packed) const {
  const bool is_whole = plan_.shape.keys[k] == ValueType::kInt64;
  const bool there = is_whole ? whole != nullptr : text != nullptr;
  *packed += static_cast<char>(there);
  if (!there) return;
  const std::uint64_t word = is_whole ? static_cast<std::uint64_t>(*whole) : text->size();
  packed->append(reinterpret_cast<const char*>(&word), sizeof word);
  if (!is_whole) *packed += *text;
}

template <bool kSquares>
bool States<kSquares>::note_key(std::size_t row, Key* key, std::string* packed) {
  packed->clear();
  for (std::size_t k = 0; k < keys_.size(); ++k) {
    const auto& rows = keys_[k].rows;
    const bool there = rows.there == nullptr || rows.there[row] != 0;
    const std::string_view* text = nullptr;
    const std::int64_t* whole = nullptr;
    if (there) {
      const std::size_t at = keys_[k].next++;
      const auto& dictionary = keys_[k].reader->dictionary();
      const auto code = rows.codes != nullptr ? static_cast<std::size_t>(rows.codes[at]) : 0;
      if (plan_.shape.keys[k] == ValueType::kInt64)
        whole = rows.codes != nullptr ? &dictionary.wholes[code] : &rows.wholes[at];
      else
        text = rows.codes != nullptr ? &dictionary.texts[code] : &rows.texts[at];
    }
    if (plan_.shape.plain_key()) {
      key->bytes = there ? *text : kNoKey;
      return !there || *text != kNoKey;
    }
    pack(k, text, whole, packed);
  }
  key->bytes = *packed;
  return true;
}

template <bool kSquares>
bool States<kSquares>::find_by_bytes(std::size_t n) {
  std::array<Key, kLooked> keys;
  for (std::size_t begin = 0; begin < n; begin += kLooked) {
    const std::size_t here = std::min(kLooked, n - begin);
    for (std::size_t i = 0; i < here; ++i) {
      if (!note_key(begin + i, &keys[i], &packed_[i])) return false;
      keys[i].hash = GroupIndex::hash(keys[i].bytes);
      table_.groups().prefetch(keys[i].hash);
    }
    for (std::size_t i = 0; i < here; ++i) table_.groups().guess(keys[i].hash);
    for (std::size_t i = 0; i < here; ++i) {
      group_[begin + i] = group_of(keys[i]);
      if (group_[begin + i] == kNone) return false;
    }
  }
  return true;
}

// kNone: a key that DuckDB has to look at, no valid text or one with a NUL.
template <bool kSquares>
std::uint32_t States<kSquares>::group_of(const Key& key) {
  const std::uint32_t group = table_.groups().find(key.bytes, key.hash);
  if (group != kNone) return group;
  if (plan_.shape.plain_key()) {
    if (key.bytes != kNoKey && !valid_text(key.bytes)) return kNone;
  } else {
    std::string_view rest = key.bytes;
    for (const auto type : plan_.shape.keys) {
      const bool there = rest.front() != '\0';
      rest.remove_prefix(1);
      if (!there) continue;
      std::uint64_t size = 0;
      rest.copy(reinterpret_cast<char*>(&size), sizeof size);
      rest.remove_prefix(sizeof size);
      if (type == ValueType::kInt64) continue;
      if (!valid_text(rest.substr(0, size))) return kNone;
      rest.remove_prefix(size);
    }
  }
  return table_.add_group(key.bytes, key.hash);
}

// --- values ---

template <bool kSquares>
void States<kSquares>::add_wholes(std::size_t v, const std::int64_t* x, const std::int16_t* there,
                                  std::size_t n) {
  for (std::size_t i = 0; i < n; ++i) {
    const std::size_t state = group_[i] * values_.size() + v;
    if (there == nullptr || there[i] != 0)
      table_.add(state, *x++);
    else
      table_.add_missing(state);
  }
}

template <bool kSquares>
void States<kSquares>::add_reals(std::size_t v, const double* x, const std::int16_t* there,
                                 std::size_t n) {
  std::array<double, kAhead> spread;
  for (std::size_t begin = 0; begin < n; begin += kAhead) {
    const std::size_t here = std::min(kAhead, n - begin);
    const std::uint32_t* const groups = group_.data() + begin;
    // Those of the next batch are fetched while this one is added.
    for (std::size_t i = 0; i < kAhead; ++i) table_.prefetch(groups[kAhead + i]);
    std::uint64_t which = ~std::uint64_t{0} >> (64 - here);
    const double* numbers = x;
    if (there == nullptr) {
      x += here;
    } else {
      numbers = spread.data();
      for (std::size_t i = 0; i < here; ++i) {
        if (there[begin + i] != 0) {
          spread[i] = *x++;
        } else {
          spread[i] = 0;
          which &= ~(std::uint64_t{1} << i);
          table_.add_missing(groups[i] * values_.size() + v);
        }
      }
    }
    table_.add_batch(groups, v, numbers, here, which);
  }
}

template <bool kSquares>
void States<kSquares>::add_values(std::size_t n) {
  std::fill_n(group_.begin() + static_cast<std::ptrdiff_t>(n), 2 * kAhead, group_[n - 1]);
  for (std::size_t v = 0; v < values_.size(); ++v) {
    const auto& rows = values_[v].rows;
    if (plan_.shape.values[v] == ValueType::kInt64)
      add_wholes(v, rows.wholes, rows.there, n);
    else
      add_reals(v, rows.reals, rows.there, n);
  }
}

}  // namespace

std::unique_ptr<PartialStates> make_parquet_states(const TableSource& source,
                                                   std::vector<Partition> pieces,
                                                   const ScanOptions& options,
                                                   const ParquetStatesPlan& plan) {
  if (plan.squares) return std::make_unique<States<true>>(source, std::move(pieces), options, plan);
  return std::make_unique<States<false>>(source, std::move(pieces), options, plan);
}

}  // namespace polysome
