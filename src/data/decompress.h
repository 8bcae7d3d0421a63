// gzip (with members, as bgzip writes them) and zstd as a stream of blocks. One thread.
#pragma once

#include <cstdint>
#include <functional>
#include <string>
#include <string_view>

#include "base/result.h"

namespace polysome {

// "gzip", "zstd" or "" by the file's first bytes. Errors: kIo.
Result<std::string> compression_of(const std::string& path);

// Calls `block` with unpacked bytes in order until it answers false or the end. `read` is called
// with the compressed bytes taken so far. Errors: kUserData for a truncated or damaged file, kIo.
Status decompress(const std::string& path, const std::string& compression,
                  const std::function<Result<bool>(std::string_view)>& block,
                  const std::function<void(std::uint64_t)>& read);

}  // namespace polysome
