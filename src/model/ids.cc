#include "model/ids.h"

#include <charconv>
#include <cstring>

namespace polysome {
namespace {

int hex_digit(char c) {
  if (c >= '0' && c <= '9') return c - '0';
  if (c >= 'a' && c <= 'f') return c - 'a' + 10;
  if (c >= 'A' && c <= 'F') return c - 'A' + 10;
  return -1;
}

template <class T>
bool number(std::string_view text, T* out) {
  const auto [end, ec] = std::from_chars(text.data(), text.data() + text.size(), *out);
  return ec == std::errc() && end == text.data() + text.size() && !text.empty();
}

}  // namespace

std::string JobId::text() const {
  static constexpr char kHex[] = "0123456789abcdef";
  std::string out;
  out.reserve(36);
  for (std::size_t i = 0; i < bytes.size(); ++i) {
    if (i == 4 || i == 6 || i == 8 || i == 10) out.push_back('-');
    out.push_back(kHex[bytes[i] >> 4]);
    out.push_back(kHex[bytes[i] & 15]);
  }
  return out;
}

std::optional<JobId> JobId::parse(std::string_view text) {
  if (text.size() != 36) return std::nullopt;
  JobId id;
  std::size_t at = 0;
  for (std::size_t i = 0; i < 36; ++i) {
    if (i == 8 || i == 13 || i == 18 || i == 23) {
      if (text[i] != '-') return std::nullopt;
      continue;
    }
    const int digit = hex_digit(text[i]);
    if (digit < 0) return std::nullopt;
    auto& byte = id.bytes[at / 2];
    byte = static_cast<std::uint8_t>(at % 2 == 0 ? digit << 4 : byte | digit);
    ++at;
  }
  return id;
}

JobId JobId::make(std::int64_t wall_ms, const std::array<std::uint8_t, 10>& random) {
  JobId id;
  for (std::size_t i = 0; i < 6; ++i)
    id.bytes[i] = static_cast<std::uint8_t>(static_cast<std::uint64_t>(wall_ms) >> (8 * (5 - i)));
  std::memcpy(id.bytes.data() + 6, random.data(), random.size());
  id.bytes[6] = static_cast<std::uint8_t>(0x70 | (id.bytes[6] & 0x0f));
  id.bytes[8] = static_cast<std::uint8_t>(0x80 | (id.bytes[8] & 0x3f));
  return id;
}

std::string AttemptId::text() const { return std::to_string(epoch) + "-" + std::to_string(n); }

std::optional<AttemptId> AttemptId::parse(std::string_view text) {
  const auto dash = text.find('-');
  AttemptId id;
  if (dash == std::string_view::npos || !number(text.substr(0, dash), &id.epoch) ||
      !number(text.substr(dash + 1), &id.n))
    return std::nullopt;
  return id;
}

std::string WorkerId::text() const { return "w" + std::to_string(n); }

std::optional<WorkerId> WorkerId::parse(std::string_view text) {
  WorkerId id;
  if (text.size() < 2 || text[0] != 'w' || !number(text.substr(1), &id.n)) return std::nullopt;
  return id;
}

}  // namespace polysome

std::size_t std::hash<polysome::JobId>::operator()(const polysome::JobId& id) const noexcept {
  std::uint64_t a = 0, b = 0;
  std::memcpy(&a, id.bytes.data(), 8);
  std::memcpy(&b, id.bytes.data() + 8, 8);
  return std::hash<std::uint64_t>()(a * 0x9E3779B97F4A7C15ULL ^ b);
}
