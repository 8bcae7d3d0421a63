#include "operations/pending_rows.h"

#include <algorithm>
#include <string_view>

namespace polysome {
namespace {

constexpr std::ptrdiff_t kReadBefore = 16;  // an end, by convert_spread
constexpr std::string_view kNoNumber = "                ";
static_assert(kNoNumber.size() >= kReadBefore);

}  // namespace

void PendingRows::set_fields(std::size_t value, const char* base, const std::uint32_t* marks,
                             std::size_t stride, std::size_t n, const char* begin, bool last) {
  const char** const ends = &ends_[value * kMost + n_];
  std::uint64_t* const sizes = &sizes_[value * kMost + n_];
  for (std::size_t r = 0; r < n; ++r) {
    const std::uint32_t* const mark = marks + r * stride;
    const char* const from = r == 0 ? begin : base + mark[-1] + 1;
    const char* end = base + *mark;
    if (last && end != from && end[-1] == '\r') --end;
    ends[r] = end;
    sizes[r] = static_cast<std::uint64_t>(end - from);
  }
  there_[value] |= ~std::uint64_t{0} >> (kMost - n) << n_;
}

std::uint64_t PendingRows::convert(std::size_t value, const char* floor, double* out) const {
  const char* const* ends = &ends_[value * kMost];
  const std::uint64_t* sizes = &sizes_[value * kMost];
  const std::uint64_t all = ~std::uint64_t{0} >> (kMost - n_);
  // Ends ascend.
  if (there_[value] == all && ends[0] - floor >= kReadBefore)
    return convert_spread(ends, sizes, n_, out);
  std::array<const char*, kMost> some_ends;
  std::array<std::uint64_t, kMost> some_sizes;
  std::uint64_t usable = 0;
  for (std::size_t i = 0; i < n_; ++i) {
    const bool is = (there_[value] >> i & 1) != 0 && ends[i] - floor >= kReadBefore;
    usable |= std::uint64_t{is} << i;
    some_ends[i] = is ? ends[i] : kNoNumber.data() + kNoNumber.size();
    some_sizes[i] = is ? sizes[i] : 0;
  }
  return usable & convert_spread(some_ends.data(), some_sizes.data(), n_, out);
}

}  // namespace polysome
