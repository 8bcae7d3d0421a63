#include "data/partitioner.h"

#include <fcntl.h>
#include <fmt/format.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>

#include "base/files.h"

namespace polysome {
namespace {

// Below this, starting a task costs more than sharing its work saves.
constexpr std::uint64_t kWorthATask = 8'000'000;
// Text files of a partition are mapped while it is read; of others DuckDB keeps what it read of
// each.
constexpr std::size_t kMostFilesTogether = 8192;
constexpr std::size_t kMostOthersTogether = 2048;
// Files that are read differently (folders' values, columns they lack) are a query each.
constexpr std::size_t kMostKindsTogether = 64;
// A file that is opened costs about as much as reading so many bytes.
constexpr std::uint64_t kOpening = 16'384;

// Of tables with more columns: the bytes of a partition for each, and the most that come of it.
constexpr std::size_t kVeryWide = 4096;
constexpr std::uint64_t kOfAColumn = 10'000;
constexpr std::uint64_t kMostWide = 400'000'000;

std::uint64_t divided_up(std::uint64_t a, std::uint64_t b) { return (a + b - 1) / b; }

std::uint64_t bytes_of(const SourceFile& file) {
  return file.bytes - std::min(file.data_offset, file.bytes);
}

// How large partitions should be, from how many there should be. What a task does once for each of
// its columns costs about as much as reading some of its bytes: very wide tables have larger ones.
std::uint64_t target_size(std::uint64_t total, std::size_t columns, const CutRules& rules) {
  const bool wide = columns >= kVeryWide && !rules.size_given;
  const std::uint64_t most =
      wide ? std::max(rules.partition_size, std::min(columns * kOfAColumn, kMostWide))
           : rules.partition_size;
  std::uint64_t parts = std::max<std::uint64_t>(1, divided_up(total, most));
  if (!rules.size_given && rules.slots > 1) {
    // The last round of tasks should find work for every slot.
    const std::uint64_t slots = rules.slots;
    const std::uint64_t rounds = divided_up(parts, slots);
    if (rounds <= 16) {
      const std::uint64_t worth = std::max<std::uint64_t>(1, total / kWorthATask);
      parts = std::max(parts, std::min(rounds * slots, worth));
    }
  }
  parts = std::min<std::uint64_t>(parts, rules.most_partitions);
  return std::max<std::uint64_t>(1, divided_up(total, parts));
}

bool same_kind(const SourceFile& a, const SourceFile& b) {
  return a.folder_values == b.folder_values && a.row_fields == b.row_fields;
}

bool is_plain_text(const TableSource& source) {
  return is_delimited(source.format) || source.format == "ndjson";
}

// Neighbouring files that are small, put together.
class Fused {
 public:
  Fused(const TableSource& source, std::uint64_t size, std::uint64_t most, std::uint64_t opening,
        PartitionTable* table)
      : source_(source),
        size_(size),
        most_(most),
        opening_(opening),
        most_files_(is_plain_text(source) ? kMostFilesTogether : kMostOthersTogether),
        table_(table) {}

  void add(std::vector<Partition> whole_file) {
    const SourceFile& file = source_.files[whole_file.front().file];
    std::uint64_t weight = opening_;
    for (const auto& p : whole_file) weight += p.bytes;
    const bool other_kind = !open_.empty() && !same_kind(source_.files[open_.back().file], file);
    const bool full = weight_ + weight > most_ || weight_ >= size_ || files_ >= most_files_ ||
                      (other_kind && kinds_ >= kMostKindsTogether);
    if (!open_.empty() && full) close();
    kinds_ += open_.empty() || other_kind ? 1 : 0;
    weight_ += weight;
    ++files_;
    open_.insert(open_.end(), whole_file.begin(), whole_file.end());
  }
  void close() {
    if (!open_.empty()) table_->add(std::move(open_));
    open_.clear();
    weight_ = 0;
    files_ = kinds_ = 0;
  }

 private:
  const TableSource& source_;
  std::uint64_t size_;
  std::uint64_t most_;
  std::uint64_t opening_;  // weight of each file beside its bytes
  std::size_t most_files_;
  PartitionTable* table_;
  std::vector<Partition> open_;
  std::uint64_t weight_ = 0;
  std::size_t files_ = 0;
  std::size_t kinds_ = 0;
};

// One file of the source as a source of its own.
TableSource only(const TableSource& source, std::uint32_t file) {
  TableSource one;
  one.id = source.id;
  one.format = source.format;
  one.dialect = source.dialect;
  one.files = {source.files[file]};
  return one;
}

constexpr std::size_t kRecordBytes = 40;

void put(std::string* to, std::uint64_t value) {
  for (int i = 0; i < 8; ++i) to->push_back(static_cast<char>(value >> (8 * i)));
}
std::uint64_t get(const char* from) {
  std::uint64_t value = 0;
  for (int i = 0; i < 8; ++i)
    value |= static_cast<std::uint64_t>(static_cast<unsigned char>(from[i])) << (8 * i);
  return value;
}
Partition record(const char* at) {
  return {static_cast<std::uint32_t>(get(at)), get(at + 8), get(at + 16), get(at + 24),
          get(at + 32)};
}

Result<std::string> read_at(int fd, const std::string& path, std::uint64_t offset,
                            std::size_t bytes) {
  std::string out(bytes, '\0');
  const ssize_t n = ::pread(fd, out.data(), bytes, static_cast<off_t>(offset));
  if (n != static_cast<ssize_t>(bytes)) return fail(Code::kIo, fmt::format("{} is cut off", path));
  return out;
}

}  // namespace

std::span<const Partition> PartitionTable::of(std::uint32_t index) const {
  const std::uint32_t first = index == 0 ? 0 : ends[index - 1];
  return std::span(ranges).subspan(first, ends[index] - first);
}

void PartitionTable::add(std::vector<Partition> partition) {
  ranges.insert(ranges.end(), partition.begin(), partition.end());
  ends.push_back(static_cast<std::uint32_t>(ranges.size()));
}

Result<PartitionTable> make_partitions(const TableSource& source, const CutRules& rules) {
  if (rules.partition_size == 0)
    return fail(Code::kInvalid, "partition_size must be at least 1 byte");
  PartitionTable out;
  if (!source.splittable()) {
    for (std::uint32_t f = 0; f < source.files.size(); ++f)
      out.add({{f, 0, source.files[f].bytes, source.files[f].bytes, 0}});
    out.partition_size = rules.partition_size;
    return out;
  }
  std::uint64_t total = 0;
  const std::uint64_t opening = rules.size_given ? 0 : kOpening;
  for (const auto& f : source.files) total += bytes_of(f) + (source.files.size() > 1 ? opening : 0);
  const std::uint64_t size = target_size(total, source.columns.size(), rules);
  // With a given size no partition of several files is larger than it.
  const std::uint64_t most =
      std::max(size, rules.size_given ? rules.partition_size : size + size / 4);
  out.partition_size = rules.size_given ? std::max(size, rules.partition_size) : size;
  Fused fused(source, size, most, opening, &out);
  const bool text = is_plain_text(source);
  out.ranges.reserve(source.files.size());
  for (std::uint32_t f = 0; f < source.files.size(); ++f) {
    if (const std::uint64_t bytes = bytes_of(source.files[f]); text && bytes <= size) {
      fused.add({{f, source.files[f].bytes - bytes, bytes, bytes, 0}});
      continue;
    }
    POLYSOME_ASSIGN(auto ranges, cut(only(source, f), size));
    for (auto& r : ranges) r.file = f;
    if (ranges.empty()) continue;
    if (ranges.size() == 1) {
      fused.add(std::move(ranges));
      continue;
    }
    fused.close();
    for (const auto& r : ranges) out.add({r});
  }
  fused.close();
  return out;
}

bool has_open_borders(const TableSource& source, const PartitionTable& table) {
  if (!is_delimited(source.format)) return false;
  for (std::uint32_t i = 0; i < table.size(); ++i) {
    const auto& first = table.of(i).front();
    if (first.offset > source.files[first.file].data_offset) return true;
  }
  return false;
}

// Layout: number of partitions, the end of each in ranges, ranges; all numbers 64 bits, little
// endian.
Status write_partitions(const std::string& path, const PartitionTable& table) {
  std::string bytes;
  bytes.reserve(8 * (1 + table.ends.size()) + table.ranges.size() * kRecordBytes);
  put(&bytes, table.ends.size());
  for (const auto end : table.ends) put(&bytes, end);
  for (const auto& p : table.ranges)
    for (const std::uint64_t v : {std::uint64_t{p.file}, p.offset, p.length, p.bytes, p.rows})
      put(&bytes, v);
  return write_file(path, bytes, false);
}

Result<std::vector<Partition>> read_partition(const std::string& path, std::uint32_t index) {
  const int fd = ::open(path.c_str(), O_RDONLY | O_CLOEXEC);
  if (fd < 0) return fail(errno_error("cannot open", path, errno));
  const auto read = [&]() -> Result<std::vector<Partition>> {
    POLYSOME_ASSIGN(const std::string head, read_at(fd, path, 0, 8));
    const std::uint64_t partitions = get(head.data());
    if (index >= partitions)
      return fail(Code::kIo, fmt::format("{} has no partition {}", path, index));
    std::uint64_t first = 0;
    if (index > 0) {
      POLYSOME_ASSIGN(const std::string before, read_at(fd, path, 8ULL * index, 8));
      first = get(before.data());
    }
    POLYSOME_ASSIGN(const std::string end, read_at(fd, path, 8ULL * (index + 1ULL), 8));
    const std::uint64_t count = get(end.data()) - first;
    POLYSOME_ASSIGN(const std::string records,
                    read_at(fd, path, 8 * (partitions + 1) + first * kRecordBytes,
                            static_cast<std::size_t>(count * kRecordBytes)));
    std::vector<Partition> out;
    for (std::size_t at = 0; at < records.size(); at += kRecordBytes)
      out.push_back(record(records.data() + at));
    return out;
  };
  auto out = read();
  ::close(fd);
  return out;
}

Result<PartitionTable> read_partitions(const std::string& path) {
  POLYSOME_ASSIGN(const std::string bytes, read_file(path));
  const auto cut_off = [&] { return fail(Code::kIo, path + " is cut off"); };
  if (bytes.size() < 8) return cut_off();
  const std::uint64_t partitions = get(bytes.data());
  const std::uint64_t records = 8 * (partitions + 1);
  if (bytes.size() < records || (bytes.size() - records) % kRecordBytes != 0) return cut_off();
  PartitionTable out;
  for (std::uint64_t i = 0; i < partitions; ++i)
    out.ends.push_back(static_cast<std::uint32_t>(get(bytes.data() + 8 * (i + 1))));
  for (std::size_t at = records; at < bytes.size(); at += kRecordBytes)
    out.ranges.push_back(record(bytes.data() + at));
  if (out.ends.empty() ? !out.ranges.empty() : out.ends.back() != out.ranges.size())
    return cut_off();
  return out;
}

}  // namespace polysome
