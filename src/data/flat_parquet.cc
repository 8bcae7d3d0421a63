#include "data/flat_parquet.h"

#include <zstd.h>

#include <algorithm>
#include <array>
#include <bit>
#include <cmath>
#include <cstring>

#include "kernels/snappy_words.h"

namespace polysome {
namespace {

constexpr int kLevel = 1;  // of zstd: numbers get hardly smaller with more
// Numbers whose digits are noise hardly get smaller by zstd, which takes long over them: so many of
// the next ones are not tried.
constexpr int kNoisyChunks = 15;
constexpr double kNoisyShare = 0.6;
// What is not smaller than this is not worth unpacking.
constexpr double kWorthPacking = 0.97;
// Numbers of the format.
constexpr int kPlainCodec = 0, kSnappy = 1, kZstd = 6;
constexpr int kPlain = 0, kRle = 3, kDataPage = 0, kOptional = 1, kUtf8 = 0;
constexpr int kInt64 = 2, kDouble = 5, kByteArray = 6;

template <typename T>
void append_raw(std::string* out, T value) {
  static_assert(std::endian::native == std::endian::little, "Parquet is little endian");
  std::array<char, sizeof(T)> bytes;
  std::memcpy(bytes.data(), &value, sizeof value);
  out->append(bytes.data(), bytes.size());
}

// Which values are there: one bit each, or one run when all are.
template <typename IsThere>
void append_levels(std::size_t n, std::size_t missing, const IsThere& is_there, std::string* out) {
  const std::size_t length_at = out->size();
  append_raw(out, std::uint32_t{0});
  const auto varint = [&](std::uint64_t v) {
    for (; v >= 0x80; v >>= 7) out->push_back(static_cast<char>(v | 0x80));
    out->push_back(static_cast<char>(v));
  };
  if (missing == 0 || missing == n) {
    varint(n << 1);
    out->push_back(missing == 0 ? '\1' : '\0');
  } else {
    const std::size_t groups = (n + 7) / 8;
    varint(groups << 1 | 1);
    for (std::size_t g = 0; g < groups; ++g) {
      unsigned bits = 0;
      for (std::size_t i = 8 * g; i < std::min(n, 8 * g + 8); ++i)
        bits |= static_cast<unsigned>(is_there(i)) << (i % 8);
      out->push_back(static_cast<char>(bits));
    }
  }
  const auto length = static_cast<std::uint32_t>(out->size() - length_at - sizeof(std::uint32_t));
  std::memcpy(out->data() + length_at, &length, sizeof length);
}

int type_number(ParquetFooter::Type type) {
  switch (type) {
    case ParquetFooter::Type::kDouble: return kDouble;
    case ParquetFooter::Type::kInt64: return kInt64;
    case ParquetFooter::Type::kText: return kByteArray;
  }
  return kByteArray;
}

std::string bound(double value, ParquetFooter::Type type, bool least) {
  std::string out;
  if (type == ParquetFooter::Type::kInt64) {
    append_raw(&out, static_cast<std::int64_t>(value));
  } else {
    // Zeros of both signs lie within the bounds.
    append_raw(&out, value == 0 ? (least ? -0.0 : 0.0) : value);
  }
  return out;
}

}  // namespace

void ThriftWriter::number(int field, std::int64_t value, bool wide) {
  head(field, wide ? 6 : 5);
  signed_varint(value);
}

void ThriftWriter::text(int field, std::string_view value) {
  head(field, 8);
  element(value);
}

void ThriftWriter::open(int field) {
  head(field, 12);
  open_element();
}

void ThriftWriter::open_element() {
  outer_.push_back(last_);
  last_ = 0;
}

void ThriftWriter::close() {
  out_->push_back('\0');
  last_ = outer_.back();
  outer_.pop_back();
}

void ThriftWriter::list(int field, Of of, std::size_t size) {
  head(field, 9);
  const auto kind = static_cast<unsigned>(of);
  if (size < 15) {
    out_->push_back(static_cast<char>(size << 4 | kind));
  } else {
    out_->push_back(static_cast<char>(0xf0 | kind));
    varint(size);
  }
}

void ThriftWriter::element(std::string_view value) {
  varint(value.size());
  out_->append(value);
}

void ThriftWriter::element(std::int64_t value) { signed_varint(value); }

void ThriftWriter::end() { out_->push_back('\0'); }

void ThriftWriter::head(int field, int type) {
  out_->push_back(static_cast<char>((field - last_) << 4 | type));
  last_ = field;
}

void ThriftWriter::varint(std::uint64_t v) {
  for (; v >= 0x80; v >>= 7) out_->push_back(static_cast<char>(v | 0x80));
  out_->push_back(static_cast<char>(v));
}

void ThriftWriter::signed_varint(std::int64_t v) {
  varint((static_cast<std::uint64_t>(v) << 1) ^ static_cast<std::uint64_t>(v >> 63));
}

ChunkEncoder::ChunkEncoder() : context_(ZSTD_createCCtx()) {}
ChunkEncoder::~ChunkEncoder() { ZSTD_freeCCtx(context_); }

Result<ColumnChunk> ChunkEncoder::numbers(std::span<const double> values, bool whole,
                                          std::string* out) {
  ColumnChunk chunk;
  chunk.values = values.size();
  double least = HUGE_VAL, most = -HUGE_VAL;
  for (const double v : values) {
    chunk.missing += std::isnan(v) ? 1 : 0;
    least = v < least ? v : least;
    most = v > most ? v : most;
  }
  chunk.least = least;
  chunk.most = most;
  chunk.bounded = chunk.missing < chunk.values ? 1 : 0;
  body_.clear();
  append_levels(
      values.size(), chunk.missing, [&](std::size_t i) { return !std::isnan(values[i]); }, &body_);
  const std::size_t head = body_.size();
  if (chunk.missing == 0 && !whole) {
    body_.append(reinterpret_cast<const char*>(values.data()), values.size_bytes());
  } else {
    for (const double v : values) {
      if (std::isnan(v)) continue;
      if (whole)
        append_raw(&body_, static_cast<std::int64_t>(v));
      else
        append_raw(&body_, v);
    }
  }
  return page(chunk, head, out);
}

template <typename T>
ColumnChunk ChunkEncoder::begin_optional(std::span<const std::optional<T>> values) {
  ColumnChunk chunk;
  chunk.values = values.size();
  for (const auto& v : values) chunk.missing += v ? 0 : 1;
  body_.clear();
  append_levels(
      values.size(), chunk.missing, [&](std::size_t i) { return values[i].has_value(); }, &body_);
  return chunk;
}

Result<ColumnChunk> ChunkEncoder::wholes(std::span<const std::optional<std::int64_t>> values,
                                         std::string* out) {
  const ColumnChunk chunk = begin_optional(values);
  for (const auto& v : values)
    if (v) append_raw(&body_, *v);
  return page(chunk, std::string_view::npos, out);
}

Result<ColumnChunk> ChunkEncoder::texts(std::span<const std::optional<std::string>> values,
                                        std::string* out) {
  const ColumnChunk chunk = begin_optional(values);
  for (const auto& v : values) {
    if (!v) continue;
    append_raw(&body_, static_cast<std::uint32_t>(v->size()));
    body_ += *v;
  }
  return page(chunk, std::string_view::npos, out);
}

Result<ColumnChunk> ChunkEncoder::page(ColumnChunk chunk, std::size_t head, std::string* out) {
  // Sizes of pages have 31 bits.
  if (body_.size() > INT32_MAX)
    return fail(Code::kInternal, "a page of a Parquet file is larger than 2 GB");
  std::string_view packed;
  if (head != std::string_view::npos && noisy_ > 0) {
    --noisy_;
    pack_words(body_, head, &packed_);
    packed = packed_;
    chunk.codec = kSnappy;
  } else {
    packed_.resize(ZSTD_compressBound(body_.size()));
    const std::size_t n = ZSTD_compressCCtx(context_, packed_.data(), packed_.size(), body_.data(),
                                            body_.size(), kLevel);
    if (ZSTD_isError(n) != 0)
      return fail(Code::kInternal, std::string("zstd: ") + ZSTD_getErrorName(n));
    packed = std::string_view(packed_).substr(0, n);
    chunk.codec = kZstd;
    const double share = static_cast<double>(n) / static_cast<double>(body_.size());
    if (head != std::string_view::npos && share > kNoisyShare) noisy_ = kNoisyChunks;
  }
  if (static_cast<double>(packed.size()) > kWorthPacking * static_cast<double>(body_.size())) {
    packed = body_;
    chunk.codec = kPlainCodec;
  }
  const std::size_t begin = out->size();
  ThriftWriter t(out);
  t.number(1, kDataPage);
  t.number(2, static_cast<std::int64_t>(body_.size()));
  t.number(3, static_cast<std::int64_t>(packed.size()));
  t.open(5);
  t.number(1, static_cast<std::int64_t>(chunk.values));
  t.number(2, kPlain);
  t.number(3, kRle);
  t.number(4, kRle);
  t.close();
  t.end();
  chunk.raw_bytes = out->size() - begin + body_.size();
  out->append(packed);
  chunk.bytes = out->size() - begin;
  return chunk;
}

ParquetFooter::ParquetFooter(std::vector<Column> columns, std::uint64_t rows, std::size_t groups)
    : columns_(std::move(columns)), thrift_(&out_) {
  using Of = ThriftWriter::Of;
  thrift_.number(1, 1);
  thrift_.list(2, Of::kStruct, columns_.size() + 1);
  thrift_.open_element();
  thrift_.text(4, "schema");
  thrift_.number(5, static_cast<std::int64_t>(columns_.size()));
  thrift_.close();
  for (const auto& c : columns_) {
    thrift_.open_element();
    thrift_.number(1, type_number(c.type));
    thrift_.number(3, kOptional);
    thrift_.text(4, c.name);
    if (c.type == Type::kText) thrift_.number(6, kUtf8);
    thrift_.close();
  }
  thrift_.number(3, static_cast<std::int64_t>(rows), true);
  thrift_.list(4, Of::kStruct, groups);
}

void ParquetFooter::add_group(std::uint64_t rows,
                              const std::function<Placed(std::size_t)>& placed) {
  using Of = ThriftWriter::Of;
  ThriftWriter& t = thrift_;
  std::uint64_t raw = 0;
  t.open_element();
  t.list(1, Of::kStruct, columns_.size());
  for (std::size_t i = 0; i < columns_.size(); ++i) {
    const auto [at, offset] = placed(i);
    const ColumnChunk& chunk = *at;
    const Column& column = columns_[i];
    raw += chunk.raw_bytes;
    t.open_element();
    t.number(2, static_cast<std::int64_t>(offset), true);
    t.open(3);
    t.number(1, type_number(column.type));
    t.list(2, Of::kNumber, 2);
    t.element(kPlain);
    t.element(kRle);
    t.list(3, Of::kText, 1);
    t.element(column.name);
    t.number(4, chunk.codec);
    t.number(5, static_cast<std::int64_t>(chunk.values), true);
    t.number(6, static_cast<std::int64_t>(chunk.raw_bytes), true);
    t.number(7, static_cast<std::int64_t>(chunk.bytes), true);
    t.number(9, static_cast<std::int64_t>(offset), true);
    t.open(12);
    t.number(3, static_cast<std::int64_t>(chunk.missing), true);
    if (chunk.bounded != 0) {
      t.text(5, bound(chunk.most, column.type, false));
      t.text(6, bound(chunk.least, column.type, true));
    }
    t.close();
    t.close();
    t.close();
  }
  t.number(2, static_cast<std::int64_t>(raw), true);
  t.number(3, static_cast<std::int64_t>(rows), true);
  t.close();
}

void ParquetFooter::add_group(std::uint64_t rows, std::span<const ColumnChunk> chunks,
                              std::uint64_t* at) {
  add_group(rows, [&](std::size_t i) {
    const std::uint64_t offset = *at;
    *at += chunks[i].bytes;
    return Placed{&chunks[i], offset};
  });
}

void ParquetFooter::end() {
  thrift_.text(6, "polysome");
  // Bounds are ordered as their types are: without this they would not be believed.
  thrift_.list(7, ThriftWriter::Of::kStruct, columns_.size());
  for (std::size_t i = 0; i < columns_.size(); ++i) {
    thrift_.open_element();
    thrift_.open(1);
    thrift_.close();
    thrift_.close();
  }
  thrift_.end();
  append_raw(&out_, static_cast<std::uint32_t>(taken_ + out_.size()));
  out_ += kParquetMagic;
}

std::string ParquetFooter::take() {
  taken_ += out_.size();
  std::string out;
  out.swap(out_);
  return out;
}

}  // namespace polysome
