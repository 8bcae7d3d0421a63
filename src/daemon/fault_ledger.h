// Failed attempts counted by class, operation and worker, over all services of this state folder:
// what faults/statistics answers. Owned by the engine; loop thread. Plain values.
#pragma once

#include <cstdint>
#include <map>
#include <string>

#include "core/core.h"
#include "model/json.h"

namespace polysome {

class FaultLedger {
 public:
  void attempt_started(const std::string& operation, const std::string& worker);
  void attempt_failed(FaultClass what, const std::string& operation, const std::string& worker);
  // Whether something was counted since the last to_store().
  bool changed(const core::FaultCounts& now) const;

  // The answer of faults/statistics; `now` is what the core counted since this service began.
  Json statistics(const core::FaultCounts& now) const;
  Json to_store(const core::FaultCounts& now);
  // What an earlier service stored.
  void restore(const Json& stored);

 private:
  using Counts = std::map<std::string, std::uint64_t>;
  struct Row {
    std::uint64_t attempts = 0;
    Counts by_class;
  };
  Counts totals(const core::FaultCounts& now) const;

  std::uint64_t attempts_ = 0;
  Counts by_class_;
  std::map<std::string, Row> by_operation_, by_worker_;
  Counts before_;  // the core's counts of earlier services
  WallTime since_ = 0;
  bool changed_ = false;
  std::uint64_t stored_sum_ = 0;
};

}  // namespace polysome
