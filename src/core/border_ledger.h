// Which start state was right at each partition border of a stage (architecture.md, decision 10).
// Every task reports its end state for both start states; composing them from task 0, which starts
// outside quotes, tells each task's true start. One byte a task. Owned by its stage.
//
// Invariant: the end states of tasks [0, known()) are known; they hold however often a task is
// redone.
#pragma once

#include <cstdint>
#include <map>
#include <optional>
#include <utility>
#include <vector>

#include "base/error.h"

namespace polysome::core {

struct BorderEnds {
  bool inside_if_outside = false;
  bool inside_if_inside = false;
};

class BorderLedger {
 public:
  explicit BorderLedger(std::uint32_t tasks) : tasks_(tasks) {}

  // A task finished that had started outside or inside. `disputed`: an error it met, which counts
  // only if that start was right.
  void note(std::uint32_t index, bool started_inside, BorderEnds ends,
            std::optional<Error> disputed = std::nullopt);
  // A finished task is to be done again for another reason (its output was lost).
  void forget(std::uint32_t index);

  struct Verdict {
    std::vector<std::uint32_t>
        wrong;  // finished with the wrong start: forgotten here, do them again
    std::optional<std::pair<std::uint32_t, Error>> error;  // the first dispute that turned out real
  };
  // Moves on over what has become known since the last call. Amortised O(1) a task.
  Verdict compose();

  // The start state to run a task with: the true one as far as known, else outside.
  bool start_of(std::uint32_t index) const;
  bool disputed(std::uint32_t index) const { return disputes_.contains(index); }
  bool all_right() const { return right_ == tasks_.size(); }
  std::uint32_t known() const { return known_; }

 private:
  enum Bit : std::uint8_t {
    kEndsKnown = 1,
    kIfOutside = 2,
    kIfInside = 4,
    kStartedInside = 8,
    kTrueInside = 16,
    kFinished = 32,
    kRight = 64,
  };
  void judge(std::uint32_t index, Verdict* verdict);

  std::vector<std::uint8_t> tasks_;
  std::vector<std::uint32_t> unjudged_;  // finished below known_ since the last compose
  std::map<std::uint32_t, Error> disputes_;
  std::uint32_t known_ = 0;
  std::uint32_t right_ = 0;
  bool inside_ = false;  // true state at the start of task known_
};

}  // namespace polysome::core
