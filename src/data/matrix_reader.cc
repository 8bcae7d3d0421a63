#include "data/matrix_reader.h"

#include <algorithm>
#include <bit>
#include <cmath>
#include <limits>
#include <utility>

#include "kernels/number_batch.h"
#include "kernels/number_text.h"

namespace polysome {
namespace {

constexpr std::size_t kPauseBytes = 1'000'000;  // between looks at progress and cancel
constexpr std::size_t kLeastBatch = 8;          // neighbours that are worth reading side by side
constexpr std::int64_t kMostExact = std::int64_t{1} << 53;

}  // namespace

MatrixReader::MatrixReader(std::shared_ptr<TextScan> scan, const std::vector<std::uint32_t>& labels,
                           const std::vector<std::uint32_t>& values)
    : scan_(std::move(scan)), problems_(scan_.get()) {
  const auto column = [&](std::uint32_t index) {
    Column out;
    out.column = &scan_->columns[index];
    out.index = index;
    out.plain = !out.column->missing.declared();
    out.quick = out.plain && (out.column->type == ValueType::kInt64 || scan_->numbers.usual());
    return out;
  };
  for (const auto c : labels) labels_.push_back(column(c));
  for (const auto c : values) values_.push_back(column(c));
  if (scan_->tests == nullptr) return;
  std::vector<std::uint32_t> read = labels;
  read.insert(read.end(), values.begin(), values.end());
  gate_.emplace(*scan_, &problems_, std::move(read));
}

bool MatrixReader::open_next_piece() {
  if (cutter_) {
    ScanPiece& done = scan_->pieces[piece_];
    done.without_quotes = !cutter_->met_quotes();
    if (done.limit > counted_ && !pause(done.limit)) return false;
    cutter_.reset();
  }
  if (next_piece_ == scan_->pieces.size()) return false;
  piece_ = next_piece_++;
  const ScanPiece& p = scan_->pieces[piece_];
  std::vector<std::uint32_t> tested;
  if (gate_) gate_->need(p, &tested);
  const auto wanted = place_fields(p, {&labels_, &values_}, std::move(tested));
  floor_ = p.file->text().data();
  counted_ = p.begin;
  cutter_.emplace(p.file->text(), p.begin, p.limit, scan_->shape, scan_->expected_fields, wanted);
  if (gate_) gate_->open_piece(piece_, wanted);
  find_runs();
  return true;
}

void MatrixReader::find_runs() {
  runs_.clear();
  const ScanPiece& piece = scan_->pieces[piece_];
  const auto field = [&](std::size_t v) { return piece.field_of(values_[v].index); };
  const auto batched = [&](std::size_t v) {
    return cutter_->dense() && values_[v].quick && values_[v].column->type == ValueType::kDouble &&
           field(v) > 0;
  };
  for (std::size_t v = 0; v < values_.size();) {
    Run run;
    run.first = v;
    while (v < values_.size() && batched(v) && field(v) == field(run.first) + (v - run.first)) ++v;
    run.size = v - run.first;
    run.batched = run.size >= kLeastBatch;
    if (run.batched) {
      run.mark = field(run.first) - 1;
    } else {
      v = std::max(v, run.first + 1);
      run.size = v - run.first;
    }
    runs_.push_back(run);
  }
}

bool MatrixReader::pause(std::size_t position) {
  scan_->report->bytes += position - counted_;
  counted_ = position;
  if (scan_->options.progress) scan_->options.progress(scan_->report->bytes);
  if (scan_->options.cancelled == nullptr ||
      !scan_->options.cancelled->load(std::memory_order_relaxed))
    return true;
  problems_.cancelled();
  return false;
}

Result<std::size_t> MatrixReader::read(std::size_t most, double* out, std::vector<Label>* labels,
                                       std::vector<Beyond>* beyond) {
  std::size_t n = 0;
  beyond_ = beyond;
  RowCutter::Row row;
  while (n < most && !problems_.enough()) {
    if (!cutter_ && !open_next_piece()) break;
    const auto next = cutter_->next(&row);
    if (next == RowCutter::Next::kEnd) {
      if (!open_next_piece()) break;
      continue;
    }
    row_begin_ = cutter_->row_begin();
    if (next != RowCutter::Next::kRow) {
      problems_.unreadable_row(piece_, row_begin_, next);
      break;
    }
    if (row.fields != scan_->expected_fields && !problems_.repaired(piece_, row_begin_, row.fields))
      break;
    if (!gate_ || gate_->lets(*cutter_, row, row_begin_)) {
      row_ = n;
      read_row(row, out + n * values_.size(), labels);
      ++n;
    }
    if (row_begin_ >= counted_ + kPauseBytes && !pause(row_begin_)) break;
  }
  // What is wrong is told at the end, when more of it may have been met.
  if (n < most || problems_.enough())
    if (const auto error = problems_.error()) return fail(*error);
  scan_->report->rows += n;
  return n;
}

void MatrixReader::read_row(const RowCutter::Row& row, double* out, std::vector<Label>* labels) {
  for (const auto& c : labels_) read_label(c, field_of(row, c), labels);
  const bool room = row.begin - floor_ >= 8;  // before the first field that ends in this row
  for (const Run& run : runs_) {
    if (run.batched && room && run.mark + run.size < row.fields) {
      read_run(row, run, out + run.first);
      continue;
    }
    for (std::size_t v = run.first; v < run.first + run.size; ++v)
      out[v] = read_value(v, field_of(row, values_[v]));
  }
}

void MatrixReader::read_run(const RowCutter::Row& row, const Run& run, double* out) {
  for (std::size_t done = 0; done < run.size; done += kNumberBatch) {
    const std::size_t n = std::min(kNumberBatch, run.size - done);
    const std::uint64_t taken =
        convert_fields(row.base, row.marks + run.mark + done, n, out + done);
    std::uint64_t left = ~taken & (~std::uint64_t{0} >> (64 - n));
    for (; left != 0; left &= left - 1) {
      const auto i = done + static_cast<std::size_t>(std::countr_zero(left));
      const std::size_t v = run.first + i;
      out[i] = read_value(v, cutter_->field(row, values_[v].wanted));
    }
  }
}

double MatrixReader::read_value(std::size_t value, const Field& field) {
  const Column& c = values_[value];
  constexpr double kMissing = std::numeric_limits<double>::quiet_NaN();
  const bool whole = c.column->type == ValueType::kInt64;
  if (field.begin == nullptr) return kMissing;
  double number = 0;
  std::int64_t count = 0;
  if (c.quick) {
    if (!whole && quick_double(field.begin, field.end, floor_, &number)) return number;
    if (whole && quick_int64(field.begin, field.end, floor_, &count) &&
        std::abs(count) <= kMostExact)
      return static_cast<double>(count);
  }
  const auto text = trim(field_text(field, scan_->shape.quote, &buffer_));
  if (c.plain ? is_missing_number(text) : c.column->missing.holds(text)) return kMissing;
  if (!whole) {
    if (const auto v = parse_double(text, scan_->numbers)) return *v;
  } else if (const auto v = parse_int64(text, scan_->numbers)) {
    if (*v >= -kMostExact && *v <= kMostExact) return static_cast<double>(*v);
    if (beyond_ != nullptr) {
      beyond_->push_back({row_, value, *v});
      return static_cast<double>(*v);
    }
    problems_.row_error(piece_, row_begin_,
                        "column \"" + c.column->name + "\" holds " + std::string(text) +
                            ", a whole number beyond 2^53, which a matrix can't hold exactly",
                        "declare the column a label, or its type double: layout.types");
    return kMissing;
  }
  problems_.bad_value(piece_, row_begin_, *c.column, text);
  return kMissing;
}

void MatrixReader::read_label(const Column& c, const Field& field, std::vector<Label>* labels) {
  if (field.begin == nullptr) {
    labels->emplace_back();
    return;
  }
  const auto text = field_text(field, scan_->shape.quote, &buffer_);
  const bool missing = c.plain ? text.empty() : c.column->missing.holds(text);
  if (!missing && !valid_text(text)) {
    problems_.bad_value(piece_, row_begin_, *c.column, "bytes that are not UTF-8 or are NUL");
    labels->emplace_back();
    return;
  }
  if (missing)
    labels->emplace_back();
  else
    labels->emplace_back(text);
}

}  // namespace polysome
