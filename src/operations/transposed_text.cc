#include "operations/transposed_text.h"

#include <fcntl.h>
#include <fmt/format.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <charconv>
#include <cmath>

#include "base/files.h"
#include "operations/byte_sink.h"

namespace polysome {
namespace {

constexpr std::size_t kFlushBytes = 1'000'000;

// As DuckDB writes it: the shortest text that reads back the same, with a point or an exponent.
void append_number(double value, bool whole, bool json, std::string* out) {
  std::array<char, 32> text;
  if (std::isinf(value)) {
    if (json)
      *out += value > 0 ? "\"Infinity\"" : "\"-Infinity\"";
    else
      *out += value > 0 ? "inf" : "-inf";
    return;
  }
  if (whole) {
    const auto end =
        std::to_chars(text.data(), text.data() + text.size(), static_cast<std::int64_t>(value)).ptr;
    out->append(text.data(), end);
    return;
  }
  const auto end = fmt::format_to(text.data(), "{}", value);
  out->append(text.data(), end);
  if (std::none_of(text.data(), end, [](char c) { return c == '.' || c == 'e'; })) *out += ".0";
}

std::string quoted(const std::string& text, char delimiter) {
  if (!text.empty() && text.find_first_of(std::string("\"\r\n") + delimiter) == std::string::npos)
    return text;
  std::string out = "\"";
  for (const char c : text) out += c == '"' ? std::string("\"\"") : std::string(1, c);
  return out + "\"";
}

class OutFile {
 public:
  explicit OutFile(std::string path)
      : path_(std::move(path)),
        fd_(::open(path_.c_str(), O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0666)) {}
  ~OutFile() {
    if (fd_ >= 0) ::close(fd_);
  }
  OutFile(const OutFile&) = delete;
  OutFile& operator=(const OutFile&) = delete;

  Status write(std::string_view bytes) {
    at_ += bytes.size();
    return write_all(fd_, bytes, path_);
  }
  // A whole file behind what is there; without a way through this process where the system can.
  Status append(const std::string& from) {
    const int in = ::open(from.c_str(), O_RDONLY | O_CLOEXEC);
    if (in < 0) return fail(Code::kIo, "output lost: " + from + " is not there");
    Status done;
    for (;;) {
      const ssize_t n = ::copy_file_range(in, nullptr, fd_, nullptr, std::size_t{1} << 30, 0);
      if (n > 0) {
        at_ += static_cast<std::uint64_t>(n);
        continue;
      }
      if (n < 0 && errno == EINTR) continue;
      if (n < 0)
        done = errno == EXDEV || errno == EINVAL || errno == ENOSYS
                   ? read_blocks(from, [&](std::string_view block) { return write(block); })
                   : Status(fail(errno_error("cannot write", path_, errno)));
      break;
    }
    ::close(in);
    return done;
  }
  bool open() const { return fd_ >= 0; }
  std::uint64_t at() const { return at_; }

 private:
  std::string path_;
  int fd_;
  std::uint64_t at_ = 0;
};

}  // namespace

bool is_plain_text(const std::string& format) {
  return format == "csv" || format == "tsv" || format == "ndjson" || format == "json";
}

Json number_json(double value, bool whole) {
  if (std::isnan(value)) return {};
  if (std::isinf(value)) return value > 0 ? "Infinity" : "-Infinity";
  if (whole) return static_cast<std::int64_t>(value);
  return value;
}

Result<std::uint64_t> write_transposed(TaskEnv& env, const TransposedText& text,
                                       const TileReader& reader, const TilePlan& plan,
                                       std::size_t first, std::size_t end,
                                       const std::string& path) {
  const std::string& format = text.format.format;
  const bool json = format == "json" || format == "ndjson";
  const char delimiter = format == "tsv" ? '\t' : ',';
  POLYSOME_ASSIGN(auto sink,
                  ByteSink::create(path, format == "json" ? "none" : text.format.compression));
  if (reader.rows() + 1 != text.names.size())
    return fail(Code::kIo, "output lost: the tiles hold another number of rows than their index");
  std::vector<std::string> before;  // what stands before each value
  if (json)
    for (std::size_t i = 0; i < text.names.size(); ++i)
      before.push_back((i == 0 ? "{" : ",") + dump(Json(text.names[i])) + ":");
  std::vector<double> values;
  std::string out;
  std::uint64_t rows = 0;
  for (std::size_t b = first; b < end; ++b) {
    POLYSOME_TRY(env.check_cancelled());
    const std::size_t column = b * plan.block;
    const std::size_t n = std::min(plan.block, plan.columns - column);
    values.resize(reader.rows() * n);
    POLYSOME_TRY(reader.read(column, n, values.data()));
    for (std::size_t i = 0; i < n; ++i, ++rows) {
      const std::string& label = text.labels[column + i];
      out += json ? before[0] + dump(Json(label)) : quoted(label, delimiter);
      for (std::size_t r = 0; r < reader.rows(); ++r) {
        const double v = values[r * n + i];
        if (json)
          out += before[r + 1];
        else
          out += delimiter;
        if (!std::isnan(v))
          append_number(v, text.whole, json, &out);
        else if (json)
          out += "null";
        if (out.size() >= kFlushBytes) {
          POLYSOME_TRY(sink->write(out));
          out.clear();
        }
      }
      out += json ? "}\n" : "\n";
    }
    if (env.context.progress)
      env.context.progress((b + 1 - first) * plan.block * reader.rows() * sizeof(double));
  }
  POLYSOME_TRY(sink->write(out));
  POLYSOME_TRY(sink->finish());
  return rows;
}

Status write_transposed_parquet(const std::string& path, const TilePlan& plan,
                                const std::vector<std::string>& names,
                                const std::vector<std::string>& labels,
                                const std::vector<std::string>& chunks,
                                const std::vector<TileIndex>& indexes) {
  OutFile file(path);
  if (!file.open()) return fail(errno_error("cannot write", path, errno));
  POLYSOME_TRY(file.write(kParquetMagic));
  ParquetFooter footer;
  footer.add_column(names[0], ParquetFooter::Type::kText);
  const auto type = plan.whole ? ParquetFooter::Type::kInt64 : ParquetFooter::Type::kDouble;
  for (std::size_t i = 1; i < names.size(); ++i) footer.add_column(names[i], type);

  const std::size_t groups = plan.groups();
  ChunkEncoder encoder;
  std::vector<std::pair<ColumnChunk, std::uint64_t>> label_chunks;
  for (std::size_t g = 0; g < groups; ++g) {
    std::string bytes;
    const std::uint64_t at = file.at();
    const std::size_t first = g * plan.group;
    POLYSOME_ASSIGN(
        const ColumnChunk chunk,
        encoder.texts(std::span(labels).subspan(first, std::min(plan.group, labels.size() - first)),
                      &bytes));
    POLYSOME_TRY(file.write(bytes));
    label_chunks.emplace_back(chunk, at);
  }
  std::vector<std::uint64_t> parts;  // where each task's chunks begin
  for (const auto& part : chunks) {
    parts.push_back(file.at());
    POLYSOME_TRY(file.append(part));
  }
  for (std::size_t g = 0; g < groups; ++g) {
    footer.begin_row_group(std::min(plan.group, labels.size() - g * plan.group));
    footer.add_chunk(label_chunks[g].first, label_chunks[g].second);
    for (std::size_t p = 0; p < indexes.size(); ++p) {
      std::uint64_t at = parts[p];
      for (std::size_t i = 0; i < indexes[p].chunks.size(); ++i) {
        if (i % groups == g) footer.add_chunk(indexes[p].chunks[i], at);
        at += indexes[p].chunks[i].bytes;
      }
      const std::uint64_t end = p + 1 < parts.size() ? parts[p + 1] : file.at();
      if (at != end)
        return fail(Code::kIo, "output lost: chunks do not have the sizes that their index says");
    }
  }
  return file.write(footer.bytes());
}

}  // namespace polysome
