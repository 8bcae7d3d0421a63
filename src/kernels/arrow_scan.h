// The table function ps_arrow(handle): rows of a file or stream of Arrow IPC, for SQL; and the way
// back, the rows of a SELECT as such a file. Values go over batch by batch, only the columns that
// are asked for. The session's thread.
#pragma once

#include <atomic>
#include <cstdint>
#include <functional>
#include <string>
#include <vector>

#include "kernels/session.h"

namespace polysome {

struct ArrowScan {
  struct Range {
    std::uint64_t first = 0;
    std::uint64_t rows = 0;
  };
  std::string path;
  std::vector<Range> ranges;                    // ascending
  std::function<void(std::uint64_t)> progress;  // rows so far
  const std::atomic<bool>* cancelled = nullptr;
};

// Makes ps_arrow known in the session, once. Errors of a scan: kUserData naming the file.
Status register_arrow_scan(Session& session);

// Writes what `select` gives as an Arrow IPC file (Feather 2); `compression` none or zstd. Not
// synced. Answers the rows.
Result<std::uint64_t> write_arrow(Session& session, const std::string& select,
                                  const std::string& path, const std::string& compression);

}  // namespace polysome
