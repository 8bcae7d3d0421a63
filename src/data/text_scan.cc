#include "data/text_scan.h"

#include <fmt/format.h>

#include <algorithm>
#include <cstring>
#include <filesystem>
#include <optional>

namespace polysome {
namespace {

constexpr std::size_t kMaxErrors = 20;
constexpr std::size_t kShownValue = 80;
constexpr std::size_t kPauseBytes = 1'000'000;  // between looks at progress and cancel
constexpr std::size_t kChunkCells =
    4'000'000;  // of one chunk: bounds the memory of very wide tables

// The state of one scan: where it is, which columns are wanted, what went wrong.
class Scanner {
 public:
  Scanner(std::shared_ptr<TextScan> scan, std::vector<std::size_t> wanted, Session* session)
      : scan_(std::move(scan)), wanted_(std::move(wanted)), session_(session) {
    *scan_->report = {0, 0, 0, scan_->report->ends_inside_if_outside,
                      scan_->report->ends_inside_if_inside};
  }

  // Fills the chunk; sets a function error and returns false when the scan failed.
  bool fill(duckdb_data_chunk chunk);

 private:
  struct Target {
    duckdb_vector vector = nullptr;
    void* data = nullptr;
    std::uint64_t* validity = nullptr;
  };

  bool open_piece();
  bool read_delimited(std::size_t row);
  bool read_json_line(std::size_t row);
  void set_missing(Target& target, std::size_t row);
  void store(Target& target, std::size_t row, const ScanColumn& column, std::string_view text,
             bool in_map);
  void store_json(Target& target, std::size_t row, const ScanColumn& column, const Json& value);
  template <class T>
  void put(Target& target, std::size_t row, T value) {
    static_cast<T*>(target.data)[row] = value;
  }
  void put_text(Target& target, std::size_t row, std::string_view text, bool in_map);
  void bad_value(Target& target, std::size_t row, const ScanColumn& column, std::string_view text);
  void row_error(const std::string& what, std::string hint);
  bool pause();
  bool raise();
  void advance(std::size_t position);

  std::shared_ptr<TextScan> scan_;
  std::vector<std::size_t> wanted_;  // column of each vector; past the end: not a column
  Session* session_;
  std::vector<Target> targets_;
  std::size_t piece_ = 0;
  std::optional<RowScanner> rows_;
  std::size_t row_begin_ = 0;
  std::size_t counted_ = 0;  // bytes of the current piece already in the report
  std::string buffer_;
  std::vector<ErrorItem> errors_;
  std::optional<Error> fatal_;
  std::size_t line_counted_at_ = 0;  // line numbers are counted on from the last one asked for
  std::uint64_t line_ = 1;
  std::size_t line_piece_ = SIZE_MAX;

  std::uint64_t line_of(std::size_t at);
};

std::string shown(std::string_view text) {
  std::string out(text.substr(0, kShownValue));
  if (text.size() > kShownValue) out += "…";
  return out;
}

std::string_view kind_name(ValueType type) {
  switch (type) {
    case ValueType::kInt64: return "a whole number";
    case ValueType::kDouble: return "a number";
    case ValueType::kBool: return "true or false";
    case ValueType::kDate: return "a date (YYYY-MM-DD)";
    case ValueType::kTimestamp: return "a time (YYYY-MM-DD HH:MM:SS)";
    case ValueType::kString: return "text in UTF-8";
  }
  return "a value";
}

std::uint64_t Scanner::line_of(std::size_t at) {
  const auto text = scan_->pieces[piece_].file->text();
  if (line_piece_ != piece_ || at < line_counted_at_) {
    line_piece_ = piece_;
    line_counted_at_ = 0;
    line_ = scan_->pieces[piece_].first_line;
  }
  line_ += static_cast<std::uint64_t>(
      std::count(text.begin() + static_cast<std::ptrdiff_t>(line_counted_at_),
                 text.begin() + static_cast<std::ptrdiff_t>(at), '\n'));
  line_counted_at_ = at;
  return line_;
}

bool Scanner::open_piece() {
  if (rows_) {
    advance(scan_->pieces[piece_].limit);
    ++piece_;
    rows_.reset();
  }
  if (piece_ >= scan_->pieces.size()) return false;
  const ScanPiece& piece = scan_->pieces[piece_];
  counted_ = piece.begin;
  rows_.emplace(piece.file->text(), piece.begin, scan_->shape);
  return true;
}

void Scanner::advance(std::size_t position) {
  position = std::min(position, scan_->pieces[piece_].limit);
  if (position <= counted_) return;
  scan_->report->bytes += position - counted_;
  counted_ = position;
}

void Scanner::set_missing(Target& target, std::size_t row) {
  if (target.validity == nullptr) {
    duckdb_vector_ensure_validity_writable(target.vector);
    target.validity = duckdb_vector_get_validity(target.vector);
  }
  duckdb_validity_set_row_invalid(target.validity, row);
}

void Scanner::put_text(Target& target, std::size_t row, std::string_view text, bool in_map) {
  // A long text that lies in the map is referred to, not copied: the map lives as long as the view.
  if (!in_map || text.size() <= 12 || text.size() > UINT32_MAX) {
    duckdb_vector_assign_string_element_len(target.vector, row, text.data(), text.size());
    return;
  }
  auto& value = static_cast<duckdb_string_t*>(target.data)[row];
  value.value.pointer.length = static_cast<std::uint32_t>(text.size());
  std::memcpy(value.value.pointer.prefix, text.data(), 4);
  value.value.pointer.ptr = const_cast<char*>(text.data());
}

void Scanner::bad_value(Target& target, std::size_t row, const ScanColumn& column,
                        std::string_view text) {
  set_missing(target, row);
  if (scan_->bad_is_missing) {
    ++scan_->report->bad_values;
    return;
  }
  if (errors_.size() >= kMaxErrors) return;
  ErrorItem item;
  item.file = scan_->pieces[piece_].label;
  item.line = line_of(row_begin_);
  item.column = column.name;
  item.value = shown(text);
  item.message = fmt::format("not {}", kind_name(column.type));
  errors_.push_back(std::move(item));
}

void Scanner::row_error(const std::string& what, std::string hint) {
  fatal_ = Error(Code::kUserData,
                 fmt::format("{}, line {}: {}", scan_->pieces[piece_].label,
                             with_thousands(line_of(row_begin_)), what),
                 std::move(hint));
  ErrorItem item;
  item.file = scan_->pieces[piece_].label;
  item.line = line_of(row_begin_);
  item.message = what;
  fatal_->errors.push_back(std::move(item));
}

void Scanner::store(Target& target, std::size_t row, const ScanColumn& column,
                    std::string_view text, bool in_map) {
  if (column.type == ValueType::kString) {
    if (column.missing.declared() ? column.missing.holds(text) : text.empty())
      return set_missing(target, row);
    if (!valid_utf8(text) || text.find('\0') != std::string_view::npos)
      return bad_value(target, row, column, "bytes that are not UTF-8 or are NUL");
    return put_text(target, row, text, in_map);
  }
  text = trim(text);
  if (column.missing.declared() ? column.missing.holds(text) : text.empty())
    return set_missing(target, row);
  switch (column.type) {
    case ValueType::kInt64:
      if (const auto v = parse_int64(text)) return put(target, row, *v);
      break;
    case ValueType::kDouble:
      if (const auto v = parse_double(text, scan_->decimal)) return put(target, row, *v);
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
  if (!column.missing.declared() && is_missing_number(text)) return set_missing(target, row);
  bad_value(target, row, column, text);
}

void Scanner::store_json(Target& target, std::size_t row, const ScanColumn& column,
                         const Json& value) {
  if (value.is_null()) return set_missing(target, row);
  if (value.is_string())
    return store(target, row, column, value.get_ref<const std::string&>(), false);
  if (column.type == ValueType::kDouble && value.is_number())
    return put(target, row, value.get<double>());
  if (column.type == ValueType::kBool && value.is_boolean())
    return put(target, row, value.get<bool>());
  if (column.type == ValueType::kInt64 && value.is_number_integer() &&
      (!value.is_number_unsigned() || value.get<std::uint64_t>() <= INT64_MAX))
    return put(target, row, value.get<std::int64_t>());
  const std::string text = dump(value);
  if (column.type == ValueType::kString) return put_text(target, row, text, false);
  bad_value(target, row, column, text);
}

bool Scanner::read_delimited(std::size_t row) {
  if (!rows_->read_row()) {
    row_error("a quoted field begins here and is never closed",
              "close the quote, or double the quotes inside the field");
    return false;
  }
  const auto& fields = rows_->fields();
  if (fields.size() != scan_->expected_fields) {
    row_error(fmt::format("{} field{} where the header has {}", with_thousands(fields.size()),
                          fields.size() == 1 ? "" : "s", with_thousands(scan_->expected_fields)),
              "repair the row, or declare layout.delimiter or layout.comment if the file was read "
              "wrongly");
    return false;
  }
  const ScanPiece& piece = scan_->pieces[piece_];
  for (std::size_t i = 0; i < targets_.size(); ++i) {
    const std::size_t c = wanted_[i];
    if (c >= scan_->columns.size()) continue;
    const Field& field = fields[piece.fields.empty() ? c : piece.fields[c]];
    const auto text = field_text(field, scan_->shape.quote, &buffer_);
    store(targets_[i], row, scan_->columns[c], text, text.data() != buffer_.data());
  }
  return true;
}

bool Scanner::read_json_line(std::size_t row) {
  // The row scanner with no delimiter and no quote gives whole lines.
  rows_->read_row();
  const Field& line = rows_->fields().front();
  const std::string_view text(line.begin, static_cast<std::size_t>(line.end - line.begin));
  const auto object = parse_json(text, {64, 1'000'000, SIZE_MAX});
  if (!object || !object->is_object()) {
    row_error(object ? std::string("not a JSON object") : object.error().message,
              "NDJSON has one object a line");
    return false;
  }
  for (std::size_t i = 0; i < targets_.size(); ++i) {
    const std::size_t c = wanted_[i];
    if (c >= scan_->columns.size()) continue;
    const auto it = object->find(scan_->columns[c].name);
    if (it == object->end())
      set_missing(targets_[i], row);
    else
      store_json(targets_[i], row, scan_->columns[c], *it);
  }
  return true;
}

bool Scanner::raise() {
  if (!fatal_ && !errors_.empty()) {
    const ErrorItem& first = errors_.front();
    const std::string more = errors_.size() == 1 ? std::string()
                             : errors_.size() < kMaxErrors
                                 ? fmt::format(" (and {} more)", errors_.size() - 1)
                                 : fmt::format(" (and at least {} more)", errors_.size() - 1);
    fatal_ = Error(
        Code::kUserData,
        fmt::format("{}, line {}, column \"{}\": \"{}\" is {}{}", first.file,
                    with_thousands(*first.line), first.column, first.value, first.message, more),
        "repair the values, declare the column's type (layout.types), or count such values as "
        "missing: on_bad_value \"null\"");
    fatal_->errors = errors_;
  }
  if (!fatal_) return true;
  session_->set_error(*fatal_);
  return false;
}

// Tells the progress. False: the scan was cancelled.
bool Scanner::pause() {
  if (rows_) advance(row_begin_);
  if (scan_->options.progress) scan_->options.progress(scan_->report->bytes);
  if (scan_->options.cancelled == nullptr ||
      !scan_->options.cancelled->load(std::memory_order_relaxed))
    return true;
  fatal_ = Error(Code::kCancelled, "cancelled");
  return false;
}

bool Scanner::fill(duckdb_data_chunk chunk) {
  targets_.resize(wanted_.size());
  for (std::size_t i = 0; i < wanted_.size(); ++i) {
    targets_[i].vector = duckdb_data_chunk_get_vector(chunk, i);
    targets_[i].data = duckdb_vector_get_data(targets_[i].vector);
    targets_[i].validity = nullptr;
  }
  const std::size_t most = std::clamp<std::size_t>(
      kChunkCells / std::max<std::size_t>(1, wanted_.size()), 16, duckdb_vector_size());
  std::size_t row = 0;
  if (!rows_) open_piece();
  while (row < most && rows_) {
    row_begin_ = rows_->next_row();
    if (row_begin_ >= scan_->pieces[piece_].limit) {
      open_piece();
      continue;
    }
    const bool good = scan_->ndjson ? read_json_line(row) : read_delimited(row);
    if (!good || errors_.size() >= kMaxErrors) return raise();
    ++row;
    if (row_begin_ >= counted_ + kPauseBytes && !pause()) return raise();
  }
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
  duckdb_init_set_init_data(
      info, new Started{std::make_unique<Scanner>(bound->scan, std::move(wanted), session)},
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

std::string file_label(const std::string& path) {
  return std::filesystem::path(path).filename().string();
}

std::string shown_name(const SourceFile& file) {
  return file.shown_as.empty() ? file_label(file.path) : file.shown_as;
}

std::string with_thousands(std::uint64_t n) {
  std::string digits = std::to_string(n);
  for (std::size_t i = digits.size(); i > 3;) {
    i -= 3;
    digits.insert(i, ",");
  }
  return digits;
}

Status register_text_scan(Session& session) {
  auto& done = session.attachment("text_scan");
  if (done != nullptr) return {};
  duckdb_table_function f = duckdb_create_table_function();
  duckdb_table_function_set_name(f, "ps_scan");
  duckdb_logical_type handle = duckdb_create_logical_type(DUCKDB_TYPE_UBIGINT);
  duckdb_table_function_add_parameter(f, handle);
  duckdb_destroy_logical_type(&handle);
  duckdb_table_function_set_extra_info(f, &session, nullptr);
  duckdb_table_function_set_bind(f, bind);
  duckdb_table_function_set_init(f, start);
  duckdb_table_function_set_function(f, scan_chunk);
  duckdb_table_function_supports_projection_pushdown(f, true);
  const bool good = duckdb_register_table_function(session.connection(), f) == DuckDBSuccess;
  duckdb_destroy_table_function(&f);
  if (!good) return fail(Code::kInternal, "the text reader could not be registered");
  done = std::make_shared<int>(1);
  return {};
}

}  // namespace polysome
