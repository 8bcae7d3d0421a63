// The wire between service, supervisor and slot: an 8-byte header (payload length, kind, slot) and
// a JSON payload of at most 1 MB. The supervisor routes by the header alone. FrameReader is fed
// what arrives and gives whole frames; hostile lengths are an error, never an allocation.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>

#include "base/result.h"

namespace polysome {

enum class FrameKind : std::uint8_t {
  // service → supervisor (→ slot)
  kStart = 1,     // TaskSpec
  kCancel = 2,    // {"attempt": "3-17"} or {"id": n}: interrupt it if running, drop it if queued
  kRequest = 3,   // data service: {"id": n, "kind": "...", ...}
  kShutdown = 4,  // supervisor ends after its slots' running tasks (graceful) {"force": bool}
  kSlotSeen =
      5,  // the service has read a kSlotLost: what it sends from here is for the new process
  // slot → supervisor → service
  kReady = 16,     // slot is up: {"pid": n}
  kStarted = 17,   // {"attempt": "3-17", "cpu_seconds": of the process until then}
  kProgress = 18,  // TaskProgress
  kFinished = 19,  // TaskResult
  kFailed = 20,    // TaskFailure (also for a cancelled attempt: code "cancelled")
  kReply = 21,     // {"id": n, "ok": {...}} or {"id": n, "error": problem}
  kLog = 22,       // {"level", "message", "attempt"}
  // supervisor → service
  kHello = 32,  // {"pid", "version", "slots"}
  // {"pid", "signal", "status", "out_of_memory", "message", "peak_memory", "cpu_seconds"}; the last
  // two of the attempt that ran. A new slot process is already starting.
  // Work that was on its way to the old one is dropped until kSlotSeen.
  kSlotLost = 33,
  kHealth = 34,  // every second: {"slots": [{"pid","rss","cpu_percent"}], "memory", "cpu_percent"}
};

inline constexpr std::size_t kFrameHeaderBytes = 8;
inline constexpr std::uint16_t kNoSlot = 0xffff;

struct Frame {
  FrameKind kind{};
  std::uint16_t slot = kNoSlot;
  std::string payload;
};

// Appends one frame to `out`. The payload must be at most kMaxFrameBytes (assert).
void append_frame(std::string* out, FrameKind kind, std::uint16_t slot, std::string_view payload);

class FrameReader {
 public:
  void feed(std::string_view bytes) { buffer_.append(bytes); }
  // The next whole frame; nullopt when more bytes are needed; kMalformed for a bad header, after
  // which the connection must be closed.
  Result<std::optional<Frame>> next();

 private:
  std::string buffer_;
  std::size_t at_ = 0;
};

}  // namespace polysome
