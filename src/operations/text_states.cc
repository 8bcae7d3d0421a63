#include "operations/text_states.h"

#include <algorithm>
#include <array>
#include <bit>
#include <optional>
#include <utility>

#include "data/row_cutter.h"
#include "data/row_gate.h"
#include "data/text_problems.h"
#include "kernels/number_text.h"
#include "operations/pending_rows.h"
#include "operations/state_table.h"

namespace polysome {
namespace {

constexpr std::size_t kPauseBytes = 1'000'000;  // between looks at progress and cancel
constexpr std::size_t kLeastBatch = 8;          // neighbours that are worth reading side by side
constexpr std::size_t kBatch = PendingRows::kMost;

void append_raw(std::string* out, const void* bytes, std::size_t n) {
  out->append(static_cast<const char*>(bytes), n);
}

StateShape shape_of(const TextScan& scan, const TextStatesPlan& plan) {
  StateShape out;
  for (const auto c : plan.keys) out.keys.push_back(scan.columns[c].type);
  for (const auto c : plan.values) out.values.push_back(scan.columns[c].type);
  out.extremes = plan.extremes;
  out.memory = plan.memory;
  return out;
}

template <bool kSquares>
class States final : public PartialStates {
 public:
  States(std::shared_ptr<TextScan> scan, const TextStatesPlan& plan)
      : scan_(std::move(scan)),
        plan_(plan),
        problems_(scan_.get()),
        table_(shape_of(*scan_, plan)) {
    for (const auto c : plan_.keys) keys_.push_back(column(c));
    for (const auto c : plan_.values) values_.push_back(column(c));
    // One text is its own key; else keys are packed one after another.
    plain_key_ = keys_.size() == 1 && keys_[0].column->type == ValueType::kString;
    if (!keys_.empty()) {
      pending_.set_values(values_.size());
      numbers_.resize(kBatch * values_.size());
      taken_.resize(values_.size());
    }
    if (scan_->tests != nullptr) {
      std::vector<std::uint32_t> read = plan_.keys;
      read.insert(read.end(), plan_.values.begin(), plan_.values.end());
      gate_.emplace(*scan_, &problems_, std::move(read));
    }
    if (keys_.empty()) table_.add_group({}, 0);
  }

  Result<bool> read(const std::function<Status()>& full) override;
  std::uint64_t rows() const override { return scan_->report->rows; }
  std::shared_ptr<RowSource> states(ValueType type, bool moments,
                                    const std::vector<std::uint32_t>& places) override {
    return table_.states(type, moments, places);
  }

 private:
  struct Column {
    const ScanColumn* column = nullptr;
    std::size_t index = 0;
    std::uint32_t at = 0;    // field of the piece's rows
    std::size_t wanted = 0;  // place among the cutter's wanted fields
    bool plain = false;      // no texts are declared to be missing
    bool quick_double = false;
    bool quick = false;  // the usual forms of its numbers may be read the short way
  };
  struct Run {
    std::size_t first = 0, size = 0;  // values
    bool batched = false;
    std::size_t mark = 0;  // of the separator before the first
  };
  // What a short row lacks has no begin.
  Field field_of(const RowCutter::Row& row, const Column& c) const {
    return c.at < row.fields ? cutter_->field(row, c.wanted) : Field{};
  }
  Column column(std::uint32_t index) const {
    Column out;
    out.column = &scan_->columns[index];
    out.index = index;
    out.plain = !out.column->missing.declared();
    out.quick_double =
        out.plain && out.column->type == ValueType::kDouble && scan_->numbers.usual();
    out.quick = out.plain && (out.column->type == ValueType::kInt64 || scan_->numbers.usual());
    return out;
  }

  void open_piece(std::size_t piece);
  bool has_room();
  bool read_piece();
  bool pause(std::size_t position);
  void find_runs();
  void add_row(const RowCutter::Row& row);
  void add_run(const RowCutter::Row& row, const Run& run);
  void note_row(const RowCutter::Row& row);
  void note_rows(const RowCutter::Rows& rows);
  void pack_key(const Column& key, const Field& field);
  void end_key(PendingRows::Key* key);
  void pack_text(const Column& key, std::string_view text);
  bool is_plain_text(const Column& key, std::string_view text) const;
  std::string_view bytes_of(const PendingRows::Key& key) const {
    return key.text != nullptr ? std::string_view(key.text, key.size)
                               : std::string_view(packed_).substr(key.at, key.size);
  }
  std::uint32_t group_of(const PendingRows::Key& key);
  void flush();
  void add_value(std::size_t state, const Column& value, const Field& field);
  bool read_whole(const Column& c, const Field& field, std::int64_t* out);
  bool read_double(const Column& c, const Field& field, double* out);
  std::optional<std::string_view> present(const Column& c, const Field& field);
  static bool is_missing_text(const Column& c, const Field& field, std::string_view text) {
    return field.begin == nullptr || (c.plain ? text.empty() : c.column->missing.holds(text));
  }
  std::shared_ptr<TextScan> scan_;
  TextStatesPlan plan_;
  TextProblems problems_;
  std::optional<RowGate> gate_;
  std::vector<Column> keys_, values_;
  std::vector<Run> runs_;  // of the values, for rows without groups
  bool plain_key_ = false;

  std::optional<RowCutter> cutter_;
  std::function<Status()> full_;
  Status taking_;  // what it said
  std::size_t piece_ = 0;
  const char* floor_ = nullptr;
  std::size_t row_begin_ = 0;  // of the row whose values are being added
  std::size_t counted_ = 0;
  std::string buffer_;

  PendingRows pending_;
  // of the pending rows, for each value: those that could be read side by side
  std::vector<double> numbers_;
  std::vector<std::uint64_t> taken_;
  std::string packed_;

  StateTable<kSquares> table_;
};

template <bool kSquares>
void States<kSquares>::open_piece(std::size_t piece) {
  piece_ = piece;
  const ScanPiece& p = scan_->pieces[piece];
  std::vector<std::uint32_t> tested;
  if (gate_) gate_->need(p, &tested);
  const auto wanted = place_fields(p, {&keys_, &values_}, std::move(tested));
  floor_ = p.file->text().data();
  counted_ = p.begin;
  cutter_.emplace(p.file->text(), p.begin, p.limit, scan_->shape, scan_->expected_fields, wanted);
  if (gate_) gate_->open_piece(piece, wanted);
  find_runs();
}

template <bool kSquares>
bool States<kSquares>::pause(std::size_t position) {
  scan_->report->bytes += position - counted_;
  counted_ = position;
  scan_->pieces[piece_].file->let_go(position);
  if (scan_->options.progress) scan_->options.progress(scan_->report->bytes);
  if (scan_->options.cancelled == nullptr ||
      !scan_->options.cancelled->load(std::memory_order_relaxed))
    return true;
  problems_.cancelled();
  return false;
}

// True: there is room in the table, again or still.
template <bool kSquares>
bool States<kSquares>::has_room() {
  if (!table_.too_large()) return true;
  if (!full_) return false;
  flush();
  if (const Status taken = full_(); !taken) {
    taking_ = taken;
    return false;
  }
  table_.clear();
  return true;
}

template <bool kSquares>
Result<bool> States<kSquares>::read(const std::function<Status()>& full) {
  full_ = full;
  for (std::size_t p = 0; p < scan_->pieces.size(); ++p) {
    open_piece(p);
    if (!read_piece()) break;
    ScanPiece& piece = scan_->pieces[p];
    piece.without_quotes = !cutter_->met_quotes();
    if (piece.limit > counted_ && !pause(piece.limit)) break;
  }
  if (!taking_) return std::unexpected(taking_.error());
  if (const auto error = problems_.error()) return fail(*error);
  return !table_.too_large();
}

template <bool kSquares>
bool States<kSquares>::read_piece() {
  RowCutter::Row row;
  std::uint64_t rows = 0;
  for (;;) {
    if (!keys_.empty() && !gate_) {
      const auto some = cutter_->take_rows(pending_.room());
      if (some.n > 0) {
        note_rows(some);
        rows += some.n;
        if (pending_.full()) flush();
        const std::size_t begin = cutter_->row_begin();
        if (begin >= counted_ + kPauseBytes && !pause(begin)) break;
        if (problems_.enough() || !has_room()) break;
        continue;
      }
    }
    const auto next = cutter_->next(&row);
    if (next != RowCutter::Next::kRow) {
      flush();
      if (next != RowCutter::Next::kEnd)
        problems_.unreadable_row(piece_, cutter_->row_begin(), next);
      break;
    }
    const std::size_t begin = cutter_->row_begin();
    if (row.fields != scan_->expected_fields && !problems_.repaired(piece_, begin, row.fields)) {
      flush();
      break;
    }
    if (gate_ && !gate_->lets(*cutter_, row, begin)) {
      if (begin >= counted_ + kPauseBytes && !pause(begin)) break;
      if (problems_.enough()) break;
      continue;
    }
    ++rows;
    if (keys_.empty()) {
      row_begin_ = begin;
      add_row(row);
      table_.end_rows(1);
    } else {
      note_row(row);
      if (pending_.full()) flush();
    }
    if (begin >= counted_ + kPauseBytes && !pause(begin)) break;
    if (problems_.enough() || !has_room()) break;
  }
  if (keys_.empty()) table_.count_rows(rows);
  scan_->report->rows += rows;
  return !problems_.enough() && has_room();
}

// Values whose fields are neighbours are read side by side.
template <bool kSquares>
void States<kSquares>::find_runs() {
  runs_.clear();
  const ScanPiece& piece = scan_->pieces[piece_];
  const auto batched = [&](std::size_t v) {
    return cutter_->dense() && !plan_.extremes && values_[v].quick_double &&
           piece.field_of(values_[v].index) > 0;
  };
  for (std::size_t v = 0; v < values_.size();) {
    Run run;
    run.first = v;
    const std::uint32_t field = piece.field_of(values_[v].index);
    while (v < values_.size() && batched(v) &&
           piece.field_of(values_[v].index) == field + (v - run.first))
      ++v;
    run.size = v - run.first;
    run.batched = run.size >= kLeastBatch;
    if (run.batched) {
      run.mark = field - 1;
    } else {
      v = std::max(v, run.first + 1);
      run.size = v - run.first;
    }
    runs_.push_back(run);
  }
}

// All values of a row, without groups.
template <bool kSquares>
void States<kSquares>::add_row(const RowCutter::Row& row) {
  const bool room = row.begin - floor_ >= 8;  // before the first field that ends in this row
  for (const Run& run : runs_) {
    if (run.batched && room && run.mark + run.size < row.fields)
      add_run(row, run);
    else
      for (std::size_t v = run.first; v < run.first + run.size; ++v)
        add_value(v, values_[v], field_of(row, values_[v]));
  }
}

template <bool kSquares>
void States<kSquares>::add_run(const RowCutter::Row& row, const Run& run) {
  std::array<double, kNumberBatch> numbers;
  for (std::size_t done = 0; done < run.size; done += kNumberBatch) {
    const std::size_t n = std::min(kNumberBatch, run.size - done);
    const std::size_t first = run.first + done;
    const std::uint64_t taken =
        convert_fields(row.base, row.marks + run.mark + done, n, numbers.data());
    std::uint64_t left = ~taken & (~std::uint64_t{0} >> (64 - n));
    left |= table_.add_side_by_side(first, n, numbers.data(), taken);
    for (; left != 0; left &= left - 1) {
      const std::size_t v = first + static_cast<std::size_t>(std::countr_zero(left));
      add_value(v, values_[v], cutter_->field(row, values_[v].wanted));
    }
  }
}

// --- groups ---

template <bool kSquares>
void States<kSquares>::note_row(const RowCutter::Row& row) {
  const std::size_t at = pending_.size();
  PendingRows::Key& key = pending_.key(at);
  key.row_begin = row_begin_ = cutter_->row_begin();
  key.text = nullptr;
  key.at = packed_.size();
  if (plain_key_) {
    const Field field = field_of(row, keys_[0]);
    const auto text = field_text(field, scan_->shape.quote, &buffer_);
    if (field.begin != nullptr && text.data() != buffer_.data() && is_plain_text(keys_[0], text)) {
      key.text = text.data();
      key.size = text.size();
    } else {
      pack_key(keys_[0], field);
    }
  } else {
    for (const auto& k : keys_) pack_key(k, field_of(row, k));
  }
  end_key(&key);
  for (std::size_t v = 0; v < values_.size(); ++v)
    pending_.set_field(v, at, field_of(row, values_[v]));
  pending_.add(1);
}

// The same for many, whose fields need no second look.
template <bool kSquares>
void States<kSquares>::note_rows(const RowCutter::Rows& rows) {
  const std::size_t fields = scan_->expected_fields;
  const auto field_at = [&](const Column& c, std::size_t r) {
    const std::uint32_t* const mark = rows.marks + r * fields + c.at;
    Field out;
    out.begin = r == 0 && c.at == 0 ? rows.begin : rows.base + mark[-1] + 1;
    out.end = rows.base + *mark;
    if (c.at + 1 == fields && out.end != out.begin && out.end[-1] == '\r') --out.end;
    return out;
  };
  const char* const text = scan_->pieces[piece_].file->text().data();
  for (std::size_t r = 0; r < rows.n; ++r) {
    PendingRows::Key& key = pending_.key(pending_.size() + r);
    const char* const begin = r == 0 ? rows.begin : rows.base + rows.marks[r * fields - 1] + 1;
    key.row_begin = row_begin_ = static_cast<std::size_t>(begin - text);
    key.text = nullptr;
    key.at = packed_.size();
    const Field first = field_at(keys_[0], r);
    const std::string_view whole(first.begin, first.end);
    if (plain_key_ && is_plain_text(keys_[0], whole)) {
      key.text = whole.data();
      key.size = whole.size();
    } else {
      for (const auto& k : keys_) pack_key(k, field_at(k, r));
    }
    end_key(&key);
  }
  for (std::size_t v = 0; v < values_.size(); ++v) {
    const std::size_t at = values_[v].at;
    pending_.set_fields(v, rows.base, rows.marks + at, fields, rows.n,
                        at == 0 ? rows.begin : rows.base + rows.marks[at - 1] + 1,
                        at + 1 == fields);
  }
  pending_.add(rows.n);
}

// It stands for itself: not missing, nor what stands for a missing one.
template <bool kSquares>
bool States<kSquares>::is_plain_text(const Column& key, std::string_view text) const {
  return !(key.plain ? text.empty() : key.column->missing.holds(text)) && text != kNoKey;
}

template <bool kSquares>
void States<kSquares>::end_key(PendingRows::Key* key) {
  if (key->text == nullptr) key->size = packed_.size() - key->at;
  key->lookup = GroupIndex::lookup(bytes_of(*key));
  table_.groups().prefetch(key->lookup.hash);
}

template <bool kSquares>
void States<kSquares>::pack_key(const Column& key, const Field& field) {
  if (key.column->type == ValueType::kInt64) {
    std::int64_t v = 0;
    const bool there = read_whole(key, field, &v);
    packed_ += static_cast<char>(there);
    if (there) append_raw(&packed_, &v, sizeof v);
    return;
  }
  const auto text = field_text(field, scan_->shape.quote, &buffer_);
  if (is_missing_text(key, field, text)) {
    if (plain_key_)
      packed_ += kNoKey;
    else
      packed_ += '\0';
  } else if (plain_key_ && text != kNoKey) {
    packed_ += text;
  } else {
    pack_text(key, text);
  }
}

// A text that is not missing, checked; one that is no text counts as missing.
template <bool kSquares>
void States<kSquares>::pack_text(const Column& key, std::string_view text) {
  const bool valid = valid_text(text);
  if (!valid)
    problems_.bad_value(piece_, row_begin_, *key.column, "bytes that are not UTF-8 or are NUL");
  packed_ += static_cast<char>(valid);
  if (!valid) return;
  const std::uint64_t size = text.size();
  append_raw(&packed_, &size, sizeof size);
  packed_ += text;
}

template <bool kSquares>
std::uint32_t States<kSquares>::group_of(const PendingRows::Key& pending) {
  std::string_view key = bytes_of(pending);
  std::uint64_t hash = pending.lookup.hash;
  std::uint32_t group = table_.groups().find(key, hash);
  if (group != GroupIndex::kNone) return group;
  // A text is looked at when it is met first.
  if (plain_key_ && key != kNoKey && !valid_text(key)) {
    problems_.bad_value(piece_, pending.row_begin, *keys_[0].column,
                        "bytes that are not UTF-8 or are NUL");
    key = kNoKey;
    hash = GroupIndex::hash(key);
    group = table_.groups().find(key, hash);
    if (group != GroupIndex::kNone) return group;
  }
  return table_.add_group(key, hash);
}

template <bool kSquares>
void States<kSquares>::flush() {
  const std::size_t n = pending_.size();
  if (n == 0) return;
  std::array<std::uint32_t, kBatch> group;
  for (std::size_t i = 0; i < n; ++i) {
    group[i] = table_.groups().candidate(pending_.key(i).lookup);
    if (group[i] != GroupIndex::kNone) table_.prefetch(group[i]);
  }
  for (std::size_t v = 0; v < values_.size(); ++v)
    taken_[v] = values_[v].quick_double ? pending_.convert(v, floor_, &numbers_[v * kBatch]) : 0;
  for (std::size_t i = 0; i < n; ++i) {
    const PendingRows::Key& key = pending_.key(i);
    if (group[i] == GroupIndex::kNone || !table_.groups().holds(group[i], key.lookup))
      group[i] = group_of(key);
  }
  std::uint64_t left = 0;  // rows with values that are not read yet
  for (std::size_t v = 0; v < values_.size(); ++v) {
    table_.add_batch(group.data(), v, &numbers_[v * kBatch], n, taken_[v]);
    left |= ~taken_[v];
  }
  left &= ~std::uint64_t{0} >> (kBatch - n);
  for (; left != 0; left &= left - 1) {
    const auto i = static_cast<std::size_t>(std::countr_zero(left));
    row_begin_ = pending_.key(i).row_begin;
    for (std::size_t v = 0; v < values_.size(); ++v)
      if ((taken_[v] >> i & 1) == 0)
        add_value(group[i] * values_.size() + v, values_[v], pending_.field(v, i));
  }
  table_.end_rows(n);
  pending_.clear();
  packed_.clear();
}

// --- values ---

// The field's text, or nothing when it is missing.
template <bool kSquares>
std::optional<std::string_view> States<kSquares>::present(const Column& c, const Field& field) {
  if (field.begin == nullptr) return std::nullopt;
  const auto text = trim(field_text(field, scan_->shape.quote, &buffer_));
  if (c.plain ? is_missing_number(text) : c.column->missing.holds(text)) return std::nullopt;
  return text;
}

template <bool kSquares>
bool States<kSquares>::read_whole(const Column& c, const Field& field, std::int64_t* out) {
  if (c.quick && quick_int64(field.begin, field.end, floor_, out)) return true;
  const auto text = present(c, field);
  if (!text) return false;
  if (const auto v = parse_int64(*text, scan_->numbers)) {
    *out = *v;
    return true;
  }
  problems_.bad_value(piece_, row_begin_, *c.column, *text);
  return false;
}

template <bool kSquares>
bool States<kSquares>::read_double(const Column& c, const Field& field, double* out) {
  const auto text = present(c, field);
  if (!text) return false;
  if (const auto v = parse_double(*text, scan_->numbers)) {
    *out = *v;
    return true;
  }
  problems_.bad_value(piece_, row_begin_, *c.column, *text);
  return false;
}

template <bool kSquares>
inline void States<kSquares>::add_value(std::size_t state, const Column& value,
                                        const Field& field) {
  if (value.column->type == ValueType::kDouble) {
    double x = 0;
    if ((value.quick && quick_double(field.begin, field.end, floor_, &x)) ||
        read_double(value, field, &x))
      table_.add(state, x);
    else
      table_.add_missing(state);
  } else {
    std::int64_t x = 0;
    if (read_whole(value, field, &x))
      table_.add(state, x);
    else
      table_.add_missing(state);
  }
}

}  // namespace

std::unique_ptr<PartialStates> make_text_states(std::shared_ptr<TextScan> scan,
                                                const TextStatesPlan& plan) {
  if (plan.squares) return std::make_unique<States<true>>(std::move(scan), plan);
  return std::make_unique<States<false>>(std::move(scan), plan);
}

}  // namespace polysome
