// Numbers groups by their keys' bytes, in the order they are first met: a hash table with open
// addressing whose keys lie one behind another. Finding is in two steps, so that a caller with many
// keys at hand can have the table's lines fetched ahead. Plain memory, one thread.
#pragma once

#include <cstddef>
#include <cstdint>
#include <cstring>
#include <string>
#include <string_view>
#include <vector>

namespace polysome {

class GroupIndex {
 public:
  static constexpr std::uint32_t kNone = UINT32_MAX;

  static std::uint64_t hash(std::string_view key) {
    const char* p = key.data();
    std::size_t n = key.size();
    std::uint64_t seed = kA ^ n;
    for (; n > 16; n -= 16, p += 16) seed = mix(load(p, 8) ^ kB, load(p + 8, 8) ^ seed);
    std::uint64_t a = 0, b = 0;
    ends(p, n, &a, &b);
    return mix(a ^ kB, b ^ seed);
  }

  // What finding a key looks at, worked out once.
  struct Lookup {
    std::uint64_t hash = 0;
    std::uint64_t a = 0, b = 0;  // the key's short form
    std::uint32_t check = 0;
    bool whole = false;  // which is all of it
  };
  static Lookup lookup(std::string_view key) {
    Lookup out;
    const Short own = short_of(key);
    out.a = own.a;
    out.b = own.b;
    out.whole = key.size() <= kShort;
    out.hash = out.whole ? short_hash(own.a, own.b, key.size()) : hash(key);
    out.check = check_of(key.size(), out.hash);
    return out;
  }

  // Inlined always: GCC leaves out calls of functions that only fetch ahead, as without effect.
  [[gnu::always_inline]] void prefetch(std::uint64_t hash) const {
    if (!slots_.empty()) __builtin_prefetch(&slots_[hash & (slots_.size() - 1)]);
  }
  // The group that a key of this hash has, most likely, once its line is there; what finding it
  // will look at is fetched. kNone: there is none near the first place.
  [[gnu::always_inline]] std::uint32_t guess(std::uint64_t hash) const {
    if (slots_.empty()) return kNone;
    const std::size_t mask = slots_.size() - 1;
    std::size_t i = hash & mask;
    for (int tries = 0; tries < 3 && !likely(slots_[i], hash); ++tries) i = (i + 1) & mask;
    const Slot& slot = slots_[i];
    if (!likely(slot, hash)) return kNone;
    __builtin_prefetch(&shorts_[slot.group]);
    return slot.group;
  }
  // The same for a key whose short form is at hand; holds() tells whether it is that group.
  [[gnu::always_inline]] std::uint32_t candidate(const Lookup& key) const {
    if (slots_.empty()) return kNone;
    const std::size_t mask = slots_.size() - 1;
    std::size_t i = key.hash & mask;
    for (int tries = 0; tries < 3 && slots_[i].check != key.check; ++tries) i = (i + 1) & mask;
    const Slot& slot = slots_[i];
    if (slot.check != key.check) return kNone;
    if (slot.group != kNone) __builtin_prefetch(&shorts_[slot.group]);
    return slot.group;
  }
  // True: the group candidate() gave has this key. False: find() tells.
  bool holds(std::uint32_t group, const Lookup& key) const {
    const Short& here = shorts_[group];
    return key.whole && ((here.a ^ key.a) | (here.b ^ key.b)) == 0;
  }
  // kNone when it is not there.
  std::uint32_t find(std::string_view key, std::uint64_t hash) const {
    if (slots_.empty()) return kNone;
    const std::size_t mask = slots_.size() - 1;
    const Short wanted = short_of(key);
    const std::uint32_t check = check_of(key.size(), hash);
    for (std::size_t i = hash & mask;; i = (i + 1) & mask) {
      const Slot& slot = slots_[i];
      if (slot.group == kNone) return kNone;
      if (slot.check != check) continue;
      const Short& here = shorts_[slot.group];
      if (((here.a ^ wanted.a) | (here.b ^ wanted.b)) != 0) continue;
      if (key.size() <= kShort || this->key(slot.group) == key) return slot.group;
    }
  }
  // The number of a key that is not there.
  std::uint32_t add(std::string_view key, std::uint64_t hash) {
    const auto group = static_cast<std::uint32_t>(size());
    keys_.append(key);
    ends_.push_back(keys_.size());
    shorts_.push_back(short_of(key));
    if (slots_.size() * 3 < 4 * (size() + 1)) {
      slots_.assign(slots_.empty() ? 64 : 2 * slots_.size(), Slot());
      for (std::uint32_t g = 0; g <= group; ++g) {
        const std::string_view there = this->key(g);
        place(g, there.size(), g == group ? hash : this->hash(there));
      }
    } else {
      place(group, key.size(), hash);
    }
    return group;
  }

  std::size_t size() const { return ends_.size() - 1; }
  std::string_view key(std::uint32_t group) const {
    return std::string_view(keys_).substr(ends_[group], ends_[group + 1] - ends_[group]);
  }
  std::size_t bytes() const {
    return keys_.capacity() + ends_.capacity() * sizeof(std::size_t) +
           shorts_.capacity() * sizeof(Short) + slots_.size() * sizeof(Slot);
  }

 private:
  struct Slot {
    std::uint32_t group = kNone;
    std::uint32_t check = 0;  // upper bits of the hash, and the size of a short key
  };

  // After wyhash by Wang Yi: two multiplications for the usual short key.
  static constexpr std::uint64_t kA = 0xa0761d6478bd642f, kB = 0xe7037ed1a0b428db;
  static std::uint64_t short_hash(std::uint64_t a, std::uint64_t b, std::size_t n) {
    return mix(a ^ kB, b ^ kA ^ n);
  }

  static constexpr std::size_t kShort = 16;
  static constexpr std::uint32_t kSizeBits = 5;
  static std::uint32_t check_of(std::size_t size, std::uint64_t hash) {
    const std::size_t told = size <= kShort ? size : kShort + 1;
    return static_cast<std::uint32_t>(hash >> 32) << kSizeBits | static_cast<std::uint32_t>(told);
  }
  static bool likely(const Slot& slot, std::uint64_t hash) {
    return slot.group != kNone &&
           slot.check >> kSizeBits ==
               static_cast<std::uint32_t>(hash >> 32 << kSizeBits) >> kSizeBits;
  }
  // All of a key of up to kShort bytes, else its last ones.
  struct Short {
    std::uint64_t a = 0, b = 0;
  };
  static Short short_of(std::string_view key) {
    const std::size_t n = key.size() < kShort ? key.size() : kShort;
    Short out;
    ends(key.data() + (key.size() - n), n, &out.a, &out.b);
    return out;
  }
  // All of n <= 16 bytes in two words, some twice.
  static void ends(const char* p, std::size_t n, std::uint64_t* a, std::uint64_t* b) {
    if (n >= 8) {
      *a = load(p, 8);
      *b = load(p + n - 8, 8);
    } else if (n >= 4) {
      *a = load(p, 4);
      *b = load(p + n - 4, 4);
    } else if (n > 0) {
      *a = std::uint64_t{static_cast<unsigned char>(p[0])} << 16 |
           std::uint64_t{static_cast<unsigned char>(p[n / 2])} << 8 |
           static_cast<unsigned char>(p[n - 1]);
    }
  }
  static std::uint64_t load(const char* p, std::size_t n) {
    std::uint64_t w = 0;
    std::memcpy(&w, p, n);
    return w;
  }
  static std::uint64_t mix(std::uint64_t a, std::uint64_t b) {
    __extension__ using Wide = unsigned __int128;
    const Wide product = static_cast<Wide>(a) * b;
    return static_cast<std::uint64_t>(product) ^ static_cast<std::uint64_t>(product >> 64);
  }
  void place(std::uint32_t group, std::size_t size, std::uint64_t hash) {
    const std::size_t mask = slots_.size() - 1;
    std::size_t i = hash & mask;
    while (slots_[i].group != kNone) i = (i + 1) & mask;
    slots_[i] = {group, check_of(size, hash)};
  }

  std::string keys_;
  std::vector<std::size_t> ends_{0};  // key g: [ends_[g], ends_[g + 1])
  std::vector<Short> shorts_;
  std::vector<Slot> slots_;
};

}  // namespace polysome
