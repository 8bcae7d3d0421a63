#include "kernels/record_sorter.h"

#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <cstring>
#include <filesystem>
#include <system_error>

namespace polysome {
namespace {

constexpr std::size_t kBlock = 1 << 20;
constexpr std::size_t kHead = 8;
constexpr std::size_t kLeastBuffer = 4 << 10;
constexpr std::size_t kMostBuffer = 1 << 20;
// Files set aside are merged into one before there are more.
constexpr std::size_t kMostAside = 256;

std::uint64_t prefix_of(std::string_view key) {
  std::uint64_t out = 0;
  if (!key.empty()) std::memcpy(&out, key.data(), std::min<std::size_t>(key.size(), sizeof out));
  return __builtin_bswap64(out);
}

std::string_view key_in(const char* record) {
  std::uint32_t length = 0;
  std::memcpy(&length, record, sizeof length);
  return {record + kHead, length};
}

std::string_view body_in(const char* record) {
  std::uint32_t key = 0, length = 0;
  std::memcpy(&key, record, sizeof key);
  std::memcpy(&length, record + 4, sizeof length);
  return {record + kHead + key, length};
}

void remove_quietly(const std::string& path) {
  std::error_code ec;
  std::filesystem::remove(path, ec);
}

}  // namespace

RecordSorter::RecordSorter(std::size_t memory, std::string scratch,
                           std::optional<std::uint64_t> limit)
    : memory_(std::max(memory, 4 * kBlock)),
      scratch_(std::move(scratch)),
      limit_(limit.value_or(UINT64_MAX)) {}

RecordSorter::~RecordSorter() {
  for (const auto& path : aside_) remove_quietly(path);
}

// What has to be allocated for so many bytes more.
std::size_t RecordSorter::new_room(std::size_t size) const {
  if (size > kBlock) return size;
  return block_ == nullptr || used_ + size > kBlock ? kBlock : 0;
}

char* RecordSorter::room_for(std::size_t size) {
  if (const std::size_t more = new_room(size)) {
    blocks_.push_back(std::make_unique_for_overwrite<char[]>(more));
    held_ += more;
    if (more > kBlock) return blocks_.back().get();  // of its own
    block_ = blocks_.back().get();
    used_ = 0;
  }
  used_ += size;
  return block_ + used_ - size;
}

Status RecordSorter::add(std::string_view key, std::string_view body) {
  const std::size_t size = kHead + key.size() + body.size();
  if (size > memory_ / 2)
    return fail(Code::kOutOfMemory,
                fmt::format("one row takes {} bytes, more than can be sorted in memory", size));
  // Entries move when they grow: both places count.
  const bool grows = entries_.size() == entries_.capacity();
  const std::size_t entries = (grows ? 3 * entries_.size() : entries_.capacity()) * sizeof(Entry);
  if (!entries_.empty() && held_ + new_room(size) + entries > memory_) POLYSOME_TRY(set_aside());
  char* at = room_for(size);
  const std::array<std::uint32_t, 2> lengths = {static_cast<std::uint32_t>(key.size()),
                                                static_cast<std::uint32_t>(body.size())};
  std::memcpy(at, lengths.data(), kHead);
  if (!key.empty()) std::memcpy(at + kHead, key.data(), key.size());
  if (!body.empty()) std::memcpy(at + kHead + key.size(), body.data(), body.size());
  entries_.push_back({prefix_of(key), at, static_cast<std::uint32_t>(entries_.size())});
  return {};
}

Status RecordSorter::write_load(const std::string& path) {
  std::ranges::sort(entries_, [](const Entry& a, const Entry& b) {
    if (a.prefix != b.prefix) return a.prefix < b.prefix;
    const int order = key_in(a.record).compare(key_in(b.record));
    return order != 0 ? order < 0 : a.ordinal < b.ordinal;
  });
  if (entries_.size() > limit_) entries_.resize(limit_);
  POLYSOME_ASSIGN(RunWriter writer, RunWriter::create(path));
  for (const auto& e : entries_) POLYSOME_TRY(writer.add(key_in(e.record), body_in(e.record)));
  return writer.finish();
}

Status RecordSorter::set_aside() {
  aside_.push_back(fmt::format("{}.{}", scratch_, aside_.size()));
  POLYSOME_TRY(write_load(aside_.back()));
  entries_.clear();
  blocks_.clear();
  block_ = nullptr;
  held_ = 0;
  return {};
}

Result<std::uint64_t> RecordSorter::finish(const std::string& path) {
  if (aside_.empty()) {
    POLYSOME_TRY(write_load(path));
    const std::uint64_t records = entries_.size();
    entries_.clear();
    blocks_.clear();
    return records;
  }
  if (!entries_.empty()) POLYSOME_TRY(set_aside());
  entries_ = {};
  // Groups of neighbours, so that equal keys keep their order.
  for (int round = 0; aside_.size() > kMostAside; ++round) {
    std::vector<std::string> fewer;
    for (std::size_t first = 0; first < aside_.size(); first += kMostAside) {
      const std::vector<std::string> group(
          aside_.begin() + static_cast<std::ptrdiff_t>(first),
          aside_.begin() +
              static_cast<std::ptrdiff_t>(std::min(first + kMostAside, aside_.size())));
      fewer.push_back(fmt::format("{}.r{}.{}", scratch_, round, fewer.size()));
      POLYSOME_TRY(merge_files(group, fewer.back()));
      for (const auto& done : group) remove_quietly(done);
    }
    aside_ = std::move(fewer);
  }
  return merge_files(aside_, path);
}

Result<std::uint64_t> RecordSorter::merge_files(const std::vector<std::string>& from,
                                                const std::string& to) const {
  std::vector<RunIndex> runs;
  for (const auto& file : from) {
    POLYSOME_ASSIGN(runs.emplace_back(), read_run_index(file));
    runs.back().samples.clear();  // all is read
  }
  POLYSOME_ASSIGN(RunMerge merge, merge_between(from, runs, nullptr, nullptr, memory_ / 2));
  POLYSOME_ASSIGN(RunWriter writer, RunWriter::create(to));
  while (writer.records() < limit_) {
    POLYSOME_ASSIGN(const bool more, merge.next());
    if (!more) break;
    POLYSOME_TRY(writer.add(merge.key(), merge.body()));
  }
  POLYSOME_TRY(writer.finish());
  return writer.records();
}

// --- merging ---

RunMerge::RunMerge(std::vector<RunReader> readers, std::optional<RunPlace> from,
                   std::optional<RunPlace> to)
    : readers_(std::move(readers)),
      inside_(readers_.size(), !from),
      from_(std::move(from)),
      to_(std::move(to)) {}

namespace {

// Whether the record (key, ordinal) of `run` is behind the place.
bool is_behind(std::string_view key, std::uint32_t run, std::uint64_t ordinal,
               const RunPlace& place) {
  const int order = key.compare(place.key);
  if (order != 0) return order > 0;
  if (place.run == UINT32_MAX) return false;
  return run != place.run ? run > place.run : ordinal > place.ordinal;
}

}  // namespace

// To the reader's next record within the places.
Result<bool> RunMerge::advance(std::uint32_t index) {
  RunReader& reader = readers_[index];
  for (;;) {
    POLYSOME_ASSIGN(const bool more, reader.next());
    if (!more) return false;
    if (!inside_[index]) {
      if (!is_behind(reader.key(), index, reader.ordinal(), *from_)) continue;
      inside_[index] = true;
    }
    return !to_ || !is_behind(reader.key(), index, reader.ordinal(), *to_);
  }
}

bool RunMerge::after(const Head& a, const Head& b) const {
  if (a.prefix != b.prefix) return a.prefix > b.prefix;
  const int order = readers_[a.reader].key().compare(readers_[b.reader].key());
  return order != 0 ? order > 0 : a.reader > b.reader;
}

// The first head has changed: down to its place.
void RunMerge::settle() {
  for (std::size_t at = 0;;) {
    std::size_t least = at;
    for (const std::size_t child : {2 * at + 1, 2 * at + 2})
      if (child < heap_.size() && after(heap_[least], heap_[child])) least = child;
    if (least == at) return;
    std::swap(heap_[at], heap_[least]);
    at = least;
  }
}

Result<bool> RunMerge::next() {
  if (!begun_) {
    begun_ = true;
    for (std::uint32_t i = 0; i < readers_.size(); ++i) {
      POLYSOME_ASSIGN(const bool any, advance(i));
      if (any) heap_.push_back({prefix_of(readers_[i].key()), i});
    }
    std::ranges::make_heap(heap_, [this](const Head& a, const Head& b) { return after(a, b); });
    return !heap_.empty();
  }
  if (heap_.empty()) return false;
  const std::uint32_t first = heap_.front().reader;
  POLYSOME_ASSIGN(const bool more, advance(first));
  if (more) {
    heap_.front().prefix = prefix_of(readers_[first].key());
  } else {
    heap_.front() = heap_.back();
    heap_.pop_back();
  }
  settle();
  return !heap_.empty();
}

// --- parts ---

std::vector<RunPlace> cut_runs(const std::vector<RunIndex>& runs, std::uint32_t parts,
                               bool keys_together) {
  struct Mark {
    const RunSample* sample;
    std::uint32_t run;
    std::uint64_t bytes;  // of the records from it to the next
  };
  std::vector<Mark> marks;
  std::uint64_t total = 0;
  for (std::uint32_t r = 0; r < runs.size(); ++r) {
    const auto& samples = runs[r].samples;
    for (std::size_t i = 0; i < samples.size(); ++i) {
      const std::uint64_t end = i + 1 < samples.size() ? samples[i + 1].offset : runs[r].end;
      marks.push_back({&samples[i], r, end - samples[i].offset});
      total += marks.back().bytes;
    }
  }
  std::ranges::sort(marks, [](const Mark& a, const Mark& b) {
    const int order = a.sample->key.compare(b.sample->key);
    if (order != 0) return order < 0;
    return a.run != b.run ? a.run < b.run : a.sample->ordinal < b.sample->ordinal;
  });
  std::vector<RunPlace> out;
  std::uint64_t before = 0;
  std::size_t at = 0;
  for (std::uint32_t part = 1; part < parts; ++part) {
    const auto wanted = total / parts * part + total % parts * part / parts;
    while (at + 1 < marks.size() && before + marks[at].bytes <= wanted) before += marks[at++].bytes;
    if (marks.empty())
      out.emplace_back();
    else if (keys_together)
      out.push_back({marks[at].sample->key, UINT32_MAX, 0});
    else
      out.push_back({marks[at].sample->key, marks[at].run, marks[at].sample->ordinal});
  }
  return out;
}

namespace {

// The last sample that is not behind the place, or the begin.
RunSample begin_before(const RunIndex& index, std::uint32_t run, const RunPlace* place) {
  if (place == nullptr) return {};
  const auto it = std::ranges::partition_point(
      index.samples, [&](const RunSample& s) { return !is_behind(s.key, run, s.ordinal, *place); });
  return it == index.samples.begin() ? RunSample{} : *(it - 1);
}

// Where the first sample behind the place is, or the end.
std::uint64_t end_after(const RunIndex& index, std::uint32_t run, const RunPlace* place) {
  if (place == nullptr) return index.end;
  const auto it = std::ranges::partition_point(
      index.samples, [&](const RunSample& s) { return !is_behind(s.key, run, s.ordinal, *place); });
  return it == index.samples.end() ? index.end : it->offset;
}

}  // namespace

Result<RunMerge> merge_between(const std::vector<std::string>& paths,
                               const std::vector<RunIndex>& runs, const RunPlace* from,
                               const RunPlace* to, std::size_t buffer) {
  const std::size_t each =
      std::clamp(buffer / std::max<std::size_t>(paths.size(), 1), kLeastBuffer, kMostBuffer);
  std::vector<RunReader> readers;
  for (std::uint32_t i = 0; i < paths.size(); ++i) {
    const RunSample begin = begin_before(runs[i], i, from);
    const std::uint64_t end = end_after(runs[i], i, to);
    POLYSOME_ASSIGN(RunReader reader,
                    RunReader::open(paths[i], begin, std::max(begin.offset, end), each));
    readers.push_back(std::move(reader));
  }
  return RunMerge(std::move(readers), from ? std::optional(*from) : std::nullopt,
                  to ? std::optional(*to) : std::nullopt);
}

}  // namespace polysome
