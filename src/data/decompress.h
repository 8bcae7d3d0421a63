// gzip (with members, as bgzip writes them) and zstd (with frames) as a stream of blocks. One
// thread.
#pragma once

#include <cstdint>
#include <functional>
#include <string>
#include <string_view>

#include "base/result.h"

namespace polysome {

// Calls `block` with unpacked bytes in order until it answers false or the end. `read` is called
// with the compressed bytes taken so far, before they are unpacked. Only the members or frames of
// the bytes [begin, end). Errors: kUserData for a truncated or damaged file, kIo.
Status decompress(const std::string& path, const std::string& compression,
                  const std::function<Result<bool>(std::string_view)>& block,
                  const std::function<void(std::uint64_t)>& read, std::uint64_t begin = 0,
                  std::uint64_t end = UINT64_MAX);

}  // namespace polysome
