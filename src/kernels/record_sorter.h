// Brings any number of records into the order of their keys within a given memory: full loads are
// sorted and written aside, at the end all are merged into one run. Records of equal keys keep the
// order in which they came. One thread. Errors: those of runs; kOutOfMemory when one record alone
// is more than the memory.
#pragma once

#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "kernels/sorted_run.h"

namespace polysome {

class RecordSorter {
 public:
  // `scratch`: the beginning of the names of files set aside; they are gone with the sorter.
  // `limit`: only so many first records are wanted.
  RecordSorter(std::size_t memory, std::string scratch, std::optional<std::uint64_t> limit = {});
  ~RecordSorter();
  RecordSorter(const RecordSorter&) = delete;
  RecordSorter& operator=(const RecordSorter&) = delete;

  Status add(std::string_view key, std::string_view body);
  // Writes the run; returns its records.
  Result<std::uint64_t> finish(const std::string& path);

 private:
  struct Entry {
    std::uint64_t prefix;  // first bytes of the key, as a number that compares like them
    const char* record;
    std::uint32_t ordinal;
  };
  std::size_t new_room(std::size_t size) const;
  char* room_for(std::size_t size);
  Status write_load(const std::string& path);
  Status set_aside();
  Result<std::uint64_t> merge_files(const std::vector<std::string>& from,
                                    const std::string& to) const;

  const std::size_t memory_;
  const std::string scratch_;
  const std::uint64_t limit_;
  std::vector<std::unique_ptr<char[]>> blocks_;
  char* block_ = nullptr;  // the one being filled
  std::size_t used_ = 0;   // of it
  std::size_t held_ = 0;   // bytes of all blocks
  std::vector<Entry> entries_;
  std::vector<std::string> aside_;
};

// A place among the records of several runs: behind those of smaller keys and, of its own key,
// behind those of earlier runs and, in run `run`, those up to and with `ordinal`.
struct RunPlace {
  std::string key;
  std::uint32_t run = UINT32_MAX;  // UINT32_MAX: behind all records of the key
  std::uint64_t ordinal = 0;
};
// Several runs as one: the smallest key next; of equal keys that of the earlier run.
class RunMerge {
 public:
  // With places: only the records behind `from` and up to `to`.
  RunMerge(std::vector<RunReader> readers, std::optional<RunPlace> from,
           std::optional<RunPlace> to);
  // False at the end. key() and body() are of the record it stands at.
  Result<bool> next();
  std::string_view key() const { return readers_[heap_.front().reader].key(); }
  std::string_view body() const { return readers_[heap_.front().reader].body(); }

 private:
  struct Head {
    std::uint64_t prefix;
    std::uint32_t reader;
  };
  bool after(const Head& a, const Head& b) const;
  void settle();
  Result<bool> advance(std::uint32_t reader);

  std::vector<RunReader> readers_;
  std::vector<bool> inside_;  // behind `from_`
  std::optional<RunPlace> from_, to_;
  std::vector<Head> heap_;  // least first
  bool begun_ = false;
};

// `parts` - 1 places that cut the runs into parts of about the same size, the same whoever asks.
// `keys_together`: no two records of a key are in different parts.
std::vector<RunPlace> cut_runs(const std::vector<RunIndex>& runs, std::uint32_t parts,
                               bool keys_together);
// The records of all runs behind `from` and up to `to` (nullptr: the ends). `buffer`: memory for
// all readers together.
Result<RunMerge> merge_between(const std::vector<std::string>& paths,
                               const std::vector<RunIndex>& runs, const RunPlace* from,
                               const RunPlace* to, std::size_t buffer);

}  // namespace polysome
