#include "model/frames.h"

#include <cassert>
#include <cstring>

#include "model/plan.h"

namespace polysome {
namespace {

bool known(std::uint8_t kind) {
  return (kind >= 1 && kind <= 5) || (kind >= 16 && kind <= 22) || (kind >= 32 && kind <= 34);
}

}  // namespace

void append_frame(std::string* out, FrameKind kind, std::uint16_t slot, std::string_view payload) {
  assert(payload.size() <= kMaxFrameBytes);
  const auto length = static_cast<std::uint32_t>(payload.size());
  const std::uint8_t header[kFrameHeaderBytes] = {
      static_cast<std::uint8_t>(length),       static_cast<std::uint8_t>(length >> 8),
      static_cast<std::uint8_t>(length >> 16), static_cast<std::uint8_t>(length >> 24),
      static_cast<std::uint8_t>(kind),         0x50,
      static_cast<std::uint8_t>(slot),         static_cast<std::uint8_t>(slot >> 8)};
  out->append(reinterpret_cast<const char*>(header), sizeof header);
  out->append(payload);
}

Result<std::optional<Frame>> FrameReader::next() {
  if (buffer_.size() - at_ < kFrameHeaderBytes) {
    // Whole frames were taken: keep the rest at the front, so the buffer never grows without end.
    if (at_ > 0) {
      buffer_.erase(0, at_);
      at_ = 0;
    }
    return std::nullopt;
  }
  const auto* h = reinterpret_cast<const std::uint8_t*>(buffer_.data() + at_);
  const std::size_t length = static_cast<std::size_t>(h[0]) | static_cast<std::size_t>(h[1]) << 8 |
                             static_cast<std::size_t>(h[2]) << 16 |
                             static_cast<std::size_t>(h[3]) << 24;
  if (length > kMaxFrameBytes || h[5] != 0x50 || !known(h[4]))
    return fail(Code::kMalformed, "a frame with a bad header");
  if (buffer_.size() - at_ < kFrameHeaderBytes + length) {
    if (at_ > 0) {
      buffer_.erase(0, at_);
      at_ = 0;
    }
    return std::nullopt;
  }
  Frame frame;
  frame.kind = static_cast<FrameKind>(h[4]);
  frame.slot = static_cast<std::uint16_t>(h[6] | h[7] << 8);
  frame.payload.assign(buffer_, at_ + kFrameHeaderBytes, length);
  at_ += kFrameHeaderBytes + length;
  return frame;
}

}  // namespace polysome
