// Files of records in the order of their keys, each written once by one task and read from any
// place on: what sorting and joining leave between stages. Keys are compared byte by byte.
//
//   file    := record* samples footer
//   record  := u32 length of key, u32 length of body, key, body
//   samples := (u32 length of key, u64 offset, u64 ordinal, key)*
//   footer  := u64 records, u64 offset of the samples, u64 number of samples, u64 kMagic
//
// A sample stands for every so many bytes of records, at most kMostSamples in all. Numbers are the
// machine's own: a run lives as long as its job. One thread a reader or writer. Errors: kDiskFull,
// kIo with the path.
#pragma once

#include <cstdint>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "base/result.h"

namespace polysome {

struct RunSample {
  std::string key;
  std::uint64_t offset = 0;   // of its record
  std::uint64_t ordinal = 0;  // of its record
};
struct RunIndex {
  std::uint64_t records = 0;
  std::uint64_t end = 0;  // offset behind the last record
  std::vector<RunSample> samples;
};
inline constexpr std::size_t kMostSamples = 512;

class RunWriter {
 public:
  static Result<RunWriter> create(const std::string& path, std::size_t buffer = 1 << 18);
  ~RunWriter();
  RunWriter(RunWriter&&) noexcept;
  RunWriter& operator=(RunWriter&&) = delete;

  // Keys must not fall.
  Status add(std::string_view key, std::string_view body);
  Status finish();
  std::uint64_t records() const;

 private:
  struct State;
  explicit RunWriter(std::unique_ptr<State> state);
  std::unique_ptr<State> state_;
};

Result<RunIndex> read_run_index(const std::string& path);

class RunReader {
 public:
  // From the record of `from` (a sample of the file's index; a default one is the begin) to `end`.
  static Result<RunReader> open(const std::string& path, const RunSample& from, std::uint64_t end,
                                std::size_t buffer);
  ~RunReader();
  RunReader(RunReader&&) noexcept;
  RunReader& operator=(RunReader&&) = delete;

  // False at the end. key() and body() are valid until the next call.
  Result<bool> next();
  std::string_view key() const;
  std::string_view body() const;
  std::uint64_t ordinal() const;

 private:
  struct State;
  explicit RunReader(std::unique_ptr<State> state);
  std::unique_ptr<State> state_;
};

}  // namespace polysome
