#include "data/text_scan.h"

#include <fmt/format.h>

#include <algorithm>
#include <cstring>
#include <map>
#include <optional>

#include "data/row_cutter.h"
#include "data/row_gate.h"
#include "data/text_problems.h"
#include "data/text_source.h"
#include "kernels/number_text.h"

namespace polysome {
namespace {

constexpr std::size_t kPauseBytes = 1'000'000;  // between looks at progress and cancel
constexpr std::size_t kChunkCells =
    4'000'000;  // of one chunk: bounds the memory of very wide tables

// The state of one scan: where it is, which columns are wanted, what went wrong.
class Scanner {
 public:
  Scanner(std::shared_ptr<TextScan> scan, const std::vector<std::size_t>& wanted, Session* session)
      : scan_(std::move(scan)), session_(session), problems_(scan_.get()) {
    auto settle = std::move(scan_->report->settle);
    *scan_->report = ScanReport();
    scan_->report->settle = std::move(settle);
    for (std::size_t i = 0; i < wanted.size(); ++i) {
      if (wanted[i] >= scan_->columns.size()) continue;  // not a column: rows are only counted
      const ScanColumn& column = scan_->columns[wanted[i]];
      Target target;
      target.place = i;
      target.column = &column;
      target.field = wanted[i];
      target.plain = !column.missing.declared();
      target.quick_double = target.plain && scan_->numbers.usual();
      targets_.push_back(target);
    }
    n_vectors_ = wanted.size();
    if (scan_->tests == nullptr) return;
    std::vector<std::uint32_t> read;
    for (const auto& t : targets_) read.push_back(static_cast<std::uint32_t>(t.field));
    gate_.emplace(*scan_, &problems_, std::move(read));
  }

  // Fills the chunk; sets a session error and returns false when the scan failed.
  bool fill(duckdb_data_chunk chunk);

 private:
  struct Target {
    std::size_t place = 0;  // vector of the chunk
    const ScanColumn* column = nullptr;
    std::size_t field = 0;   // column of the scan
    std::uint32_t at = 0;    // field of the piece's rows
    std::size_t wanted = 0;  // place among the cutter's wanted fields
    bool plain = false;      // no texts are declared to be missing
    bool quick_double = false;
    duckdb_vector vector = nullptr;
    void* data = nullptr;
    std::uint64_t* validity = nullptr;
  };

  bool open_piece();
  void close_piece();
  bool read_row(std::size_t row);
  void read_json_line(std::size_t row);
  void set_missing(Target& target, std::size_t row);
  void read_field(Target& target, std::size_t row, const Field& field);
  void store(Target& target, std::size_t row, std::string_view text, bool in_map);
  void store_json(Target& target, std::size_t row, const Json& value);
  template <class T>
  void put(Target& target, std::size_t row, T value) {
    static_cast<T*>(target.data)[row] = value;
  }
  void put_text(Target& target, std::size_t row, std::string_view text, bool in_map);
  void bad_value(Target& target, std::size_t row, std::string_view text) {
    set_missing(target, row);
    problems_.bad_value(piece_, row_begin_, *target.column, text);
  }
  bool pause();
  bool raise();
  void advance(std::size_t position);

  std::shared_ptr<TextScan> scan_;
  Session* session_;
  TextProblems problems_;
  std::vector<Target> targets_;
  std::optional<RowGate> gate_;
  std::size_t n_vectors_ = 0;
  std::size_t piece_ = 0;
  std::optional<RowCutter> rows_;
  RowCutter::Row row_;
  const char* floor_ = nullptr;  // the file's first byte
  std::size_t row_begin_ = 0;
  std::size_t counted_ = 0;  // bytes of the current piece already in the report
  std::string buffer_;
};

bool Scanner::open_piece() {
  if (piece_ >= scan_->pieces.size()) return false;
  const ScanPiece& piece = scan_->pieces[piece_];
  const auto text = piece.file->text();
  counted_ = piece.begin;
  floor_ = text.data();
  std::vector<std::uint32_t> fields;
  for (const auto& t : targets_) fields.push_back(scan_->ndjson ? 0 : piece.field_of(t.field));
  std::vector<std::uint32_t> sorted = fields;
  if (gate_) gate_->need(piece, &sorted);
  std::ranges::sort(sorted);
  sorted.erase(std::unique(sorted.begin(), sorted.end()), sorted.end());
  if (sorted.empty() && scan_->ndjson) sorted.push_back(0);
  for (std::size_t i = 0; i < targets_.size(); ++i) {
    targets_[i].at = fields[i];
    targets_[i].wanted =
        static_cast<std::size_t>(std::ranges::lower_bound(sorted, fields[i]) - sorted.begin());
  }
  rows_.emplace(text, piece.begin, piece.limit, scan_->shape, scan_->expected_fields, sorted);
  if (gate_) gate_->open_piece(piece_, sorted);
  return true;
}

void Scanner::close_piece() {
  ScanPiece& piece = scan_->pieces[piece_];
  piece.without_quotes = !rows_->met_quotes();
  advance(piece.limit);
  rows_.reset();
  ++piece_;
}

void Scanner::advance(std::size_t position) {
  position = std::min(position, scan_->pieces[piece_].limit);
  if (position <= counted_) return;
  scan_->report->bytes += position - counted_;
  counted_ = position;
  scan_->pieces[piece_].file->let_go(position);
}

void Scanner::set_missing(Target& target, std::size_t row) {
  if (target.validity == nullptr) {
    duckdb_vector_ensure_validity_writable(target.vector);
    target.validity = duckdb_vector_get_validity(target.vector);
  }
  duckdb_validity_set_row_invalid(target.validity, row);
}

void Scanner::put_text(Target& target, std::size_t row, std::string_view text, bool in_map) {
  auto& value = static_cast<duckdb_string_t*>(target.data)[row];
  if (text.size() <= sizeof value.value.inlined.inlined) {
    value = {};
    value.value.inlined.length = static_cast<std::uint32_t>(text.size());
    std::memcpy(value.value.inlined.inlined, text.data(), text.size());
    return;
  }
  // A long text that lies in the map is referred to, not copied: the map lives as long as the view.
  if (!in_map || text.size() > UINT32_MAX) {
    duckdb_vector_assign_string_element_len(target.vector, row, text.data(), text.size());
    return;
  }
  value.value.pointer.length = static_cast<std::uint32_t>(text.size());
  std::memcpy(value.value.pointer.prefix, text.data(), 4);
  value.value.pointer.ptr = const_cast<char*>(text.data());
}

void Scanner::store(Target& target, std::size_t row, std::string_view text, bool in_map) {
  const ScanColumn& column = *target.column;
  if (column.type == ValueType::kString) {
    if (target.plain ? text.empty() : column.missing.holds(text)) return set_missing(target, row);
    if (!valid_text(text)) return bad_value(target, row, "bytes that are not UTF-8 or are NUL");
    return put_text(target, row, text, in_map);
  }
  text = trim(text);
  if (target.plain ? text.empty() : column.missing.holds(text)) return set_missing(target, row);
  switch (column.type) {
    case ValueType::kInt64:
      if (const auto v = parse_int64(text, scan_->numbers)) return put(target, row, *v);
      break;
    case ValueType::kDouble:
      if (const auto v = parse_double(text, scan_->numbers)) return put(target, row, *v);
      break;
    case ValueType::kBool:
      if (const auto v = parse_bool(text)) return put(target, row, *v);
      break;
    case ValueType::kDate:
      if (const auto v = parse_date(text)) return put(target, row, *v);
      break;
    case ValueType::kTimestamp:
      if (const auto v = parse_timestamp(text)) return put(target, row, *v);
      break;
    case ValueType::kString: break;
  }
  if (target.plain && is_missing_number(text)) return set_missing(target, row);
  bad_value(target, row, text);
}

void Scanner::store_json(Target& target, std::size_t row, const Json& value) {
  const ValueType type = target.column->type;
  if (value.is_null()) return set_missing(target, row);
  if (value.is_string()) return store(target, row, value.get_ref<const std::string&>(), false);
  if (type == ValueType::kDouble && value.is_number()) return put(target, row, value.get<double>());
  if (type == ValueType::kBool && value.is_boolean()) return put(target, row, value.get<bool>());
  if (type == ValueType::kInt64 && value.is_number_integer() &&
      (!value.is_number_unsigned() || value.get<std::uint64_t>() <= INT64_MAX))
    return put(target, row, value.get<std::int64_t>());
  const std::string text = dump(value);
  if (type == ValueType::kString) return put_text(target, row, text, false);
  bad_value(target, row, text);
}

void Scanner::read_field(Target& target, std::size_t row, const Field& field) {
  // The usual forms of numbers; all else takes the long way.
  if (target.column->type == ValueType::kDouble && target.quick_double) {
    double v = 0;
    if (quick_double(field.begin, field.end, floor_, &v)) return put(target, row, v);
  } else if (target.column->type == ValueType::kInt64 && target.plain) {
    std::int64_t v = 0;
    if (quick_int64(field.begin, field.end, floor_, &v)) return put(target, row, v);
  }
  const auto text = field_text(field, scan_->shape.quote, &buffer_);
  store(target, row, text, text.data() != buffer_.data());
}

void Scanner::read_json_line(std::size_t row) {
  const Field line = rows_->field(row_, 0);
  const std::string_view text(line.begin, static_cast<std::size_t>(line.end - line.begin));
  const auto object = parse_json(text, {64, 1'000'000, SIZE_MAX});
  if (!object || !object->is_object())
    return problems_.row_error(piece_, row_begin_,
                               object ? std::string("not a JSON object") : object.error().message,
                               "NDJSON has one object a line");
  for (auto& target : targets_) {
    const auto it = object->find(target.column->name);
    if (it == object->end())
      set_missing(target, row);
    else
      store_json(target, row, *it);
  }
}

bool Scanner::raise() {
  const auto error = problems_.error();
  if (!error) return true;
  session_->set_error(*error);
  return false;
}

// Tells the progress. False: the scan was cancelled.
bool Scanner::pause() {
  if (rows_) advance(row_begin_);
  if (scan_->options.progress) scan_->options.progress(scan_->report->bytes);
  if (scan_->options.cancelled == nullptr ||
      !scan_->options.cancelled->load(std::memory_order_relaxed))
    return true;
  problems_.cancelled();
  return false;
}

// Reads the next row into row `row` of the chunk. False: there is none, or it cannot be read.
bool Scanner::read_row(std::size_t row) {
  bool whole = true;  // as many fields as there should be
  for (;;) {
    if (!rows_ && !open_piece()) return false;
    const auto next = rows_->next(&row_);
    row_begin_ = rows_->row_begin();
    if (next == RowCutter::Next::kRow) {
      whole = scan_->ndjson || row_.fields == scan_->expected_fields;
      if (!whole && !problems_.repaired(piece_, row_begin_, row_.fields)) return false;
      if (!gate_ || gate_->lets(*rows_, row_, row_begin_)) break;
      if (problems_.enough() || (row_begin_ >= counted_ + kPauseBytes && !pause())) return false;
      continue;
    }
    if (next != RowCutter::Next::kEnd) {
      problems_.unreadable_row(piece_, row_begin_, next);
      return false;
    }
    close_piece();
  }
  if (scan_->ndjson) {
    read_json_line(row);
  } else if (!whole && row_.fields < scan_->expected_fields) {
    for (auto& target : targets_)
      if (target.at < row_.fields)
        read_field(target, row, rows_->field(row_, target.wanted));
      else
        set_missing(target, row);
  } else {
    for (auto& target : targets_) read_field(target, row, rows_->field(row_, target.wanted));
  }
  return !problems_.enough();
}

bool Scanner::fill(duckdb_data_chunk chunk) {
  for (auto& target : targets_) {
    target.vector = duckdb_data_chunk_get_vector(chunk, target.place);
    target.data = duckdb_vector_get_data(target.vector);
    target.validity = nullptr;
  }
  const std::size_t most = std::clamp<std::size_t>(
      kChunkCells / std::max<std::size_t>(1, n_vectors_), 16, duckdb_vector_size());
  std::size_t row = 0;
  while (row < most && read_row(row)) {
    ++row;
    if (row_begin_ >= counted_ + kPauseBytes && !pause()) return raise();
  }
  if (problems_.enough()) return raise();
  scan_->report->rows += row;
  if (!pause()) return raise();
  if (row == 0 && !raise()) return false;
  duckdb_data_chunk_set_size(chunk, row);
  return true;
}

struct Bound {
  std::shared_ptr<TextScan> scan;
};
struct Started {
  std::unique_ptr<Scanner> scanner;
};

duckdb_type type_of(ValueType type) {
  switch (type) {
    case ValueType::kInt64: return DUCKDB_TYPE_BIGINT;
    case ValueType::kDouble: return DUCKDB_TYPE_DOUBLE;
    case ValueType::kBool: return DUCKDB_TYPE_BOOLEAN;
    case ValueType::kDate: return DUCKDB_TYPE_DATE;
    case ValueType::kTimestamp: return DUCKDB_TYPE_TIMESTAMP;
    case ValueType::kString: return DUCKDB_TYPE_VARCHAR;
  }
  return DUCKDB_TYPE_VARCHAR;
}

void bind(duckdb_bind_info info) {
  auto* session = static_cast<Session*>(duckdb_bind_get_extra_info(info));
  duckdb_value parameter = duckdb_bind_get_parameter(info, 0);
  const std::uint64_t handle = duckdb_get_uint64(parameter);
  duckdb_destroy_value(&parameter);
  auto scan = std::static_pointer_cast<TextScan>(session->held(handle));
  if (scan == nullptr) {
    duckdb_bind_set_error(info, "ps_scan is for Polysome's own plans");
    return;
  }
  for (const auto& column : scan->columns) {
    duckdb_logical_type type = duckdb_create_logical_type(type_of(column.type));
    duckdb_bind_add_result_column(info, column.name.c_str(), type);
    duckdb_destroy_logical_type(&type);
  }
  duckdb_bind_set_bind_data(info, new Bound{std::move(scan)},
                            [](void* p) { delete static_cast<Bound*>(p); });
}

void start(duckdb_init_info info) {
  auto* session = static_cast<Session*>(duckdb_init_get_extra_info(info));
  const auto* bound = static_cast<Bound*>(duckdb_init_get_bind_data(info));
  std::vector<std::size_t> wanted;
  for (idx_t i = 0; i < duckdb_init_get_column_count(info); ++i)
    wanted.push_back(duckdb_init_get_column_index(info, i));
  duckdb_init_set_max_threads(info, 1);
  duckdb_init_set_init_data(info,
                            new Started{std::make_unique<Scanner>(bound->scan, wanted, session)},
                            [](void* p) { delete static_cast<Started*>(p); });
}

void scan_chunk(duckdb_function_info info, duckdb_data_chunk chunk) {
  auto* started = static_cast<Started*>(duckdb_function_get_init_data(info));
  bool good = false;
  try {
    good = started->scanner->fill(chunk);
  } catch (const std::bad_alloc&) {
    static_cast<Session*>(duckdb_function_get_extra_info(info))
        ->set_error(Error(Code::kOutOfMemory, "not enough memory to read a row"));
  } catch (const std::exception& e) {
    static_cast<Session*>(duckdb_function_get_extra_info(info))
        ->set_error(Error(Code::kInternal, std::string("reading failed: ") + e.what()));
  }
  if (!good) duckdb_function_set_error(info, "the scan failed");
}

}  // namespace

Status register_text_scan(Session& session) {
  return session.register_table_function({.name = "ps_scan",
                                          .bind = bind,
                                          .start = start,
                                          .fill = scan_chunk,
                                          .only_asked_columns = true});
}

Result<std::shared_ptr<ScanReport>> open_text_view(Session& session, const std::string& view,
                                                   const TableSource& source,
                                                   const std::vector<Partition>& partitions,
                                                   const ScanOptions& options) {
  POLYSOME_TRY(register_text_scan(session));
  POLYSOME_ASSIGN(auto scan, make_text_scan(source, partitions, options));
  // With the report lives the scan: its borders may be asked for when the view is another.
  std::shared_ptr<ScanReport> report(scan, scan->report.get());
  const std::uint64_t handle = session.hold(std::move(scan));
  POLYSOME_TRY(
      session.open_view(view, fmt::format("SELECT * FROM ps_scan({}::UBIGINT)", handle), {handle}));
  return report;
}

}  // namespace polysome
