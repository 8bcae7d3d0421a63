// How a dataset is cut into the pieces that tasks work on: about `partition_size` bytes each,
// balanced, as many as keep all slots busy; large files are split, tiny ones read together. Made by
// the planner, kept as a table file in which each task finds its own. One thread.
#pragma once

#include <cstdint>
#include <span>
#include <string>
#include <vector>

#include "data/table_source.h"

namespace polysome {

struct CutRules {
  std::uint64_t partition_size = 100'000'000;
  // Asked for by the caller: kept to. Else a size to aim at, smaller where that gives every slot
  // the same number of partitions.
  bool size_given = false;
  std::uint32_t slots = 1;
  std::uint32_t most_partitions = 4096;  // the size is raised instead
};

// Partition i reads the ranges [ends[i-1], ends[i]) in order; ranges of one file adjoin.
struct PartitionTable {
  std::vector<Partition> ranges;
  std::vector<std::uint32_t> ends;
  std::uint64_t partition_size = 0;  // as used

  std::uint32_t size() const { return static_cast<std::uint32_t>(ends.size()); }
  std::span<const Partition> of(std::uint32_t index) const;
  void add(std::vector<Partition> partition);
};

// The ends of rows in text are looked for in the files; compressed text and JSON are one partition
// a file until they are unpacked. Errors: kIo, kInvalid (partition_size 0).
Result<PartitionTable> make_partitions(const TableSource& source, const CutRules& rules);
// True when a partition begins within a file of delimited text: whether it begins within quotes is
// known only when the ones before it have run.
bool has_open_borders(const TableSource& source, const PartitionTable& table);

// No fsync (it is remade with the plan).
Status write_partitions(const std::string& path, const PartitionTable& table);
Result<std::vector<Partition>> read_partition(const std::string& path, std::uint32_t index);
Result<PartitionTable> read_partitions(const std::string& path);

}  // namespace polysome
