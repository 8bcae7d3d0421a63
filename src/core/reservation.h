// What is kept free for a job that fits nowhere now. Plain data; made by backfill.h, asked by the
// resource manager when it looks for a place.
#pragma once

#include <algorithm>
#include <cstdint>
#include <optional>
#include <vector>

#include "base/clock.h"

namespace polysome::core {

struct JobRun;

struct Need {
  std::uint32_t stage = 0;
  bool again = false;       // a task that is tried once more
  std::uint32_t tasks = 1;  // at once
  std::uint64_t grant = 0;  // of each
  std::uint32_t avoid = 0;  // a worker's number: it is not to go there; 0: to any
};

struct Reservation {
  JobRun* job = nullptr;
  Need need;
  std::optional<MonoTime> start;  // when there will be room; nullopt: durations are unknown
  // The workers it will run on, and what they have left beside it then.
  struct Spot {
    std::uint32_t worker = 0;
    int tasks = 0;
    int spare_slots = 0;
    std::uint64_t spare_memory = 0;
  };
  std::vector<Spot> spots;

  const Spot* on(std::uint32_t worker) const {
    const auto it = std::ranges::find(spots, worker, &Spot::worker);
    return it == spots.end() ? nullptr : &*it;
  }
  Spot* on(std::uint32_t worker) {
    const auto it = std::ranges::find(spots, worker, &Spot::worker);
    return it == spots.end() ? nullptr : &*it;
  }
};

// What a reservation leaves to one task.
struct Passage {
  const Reservation* reservation = nullptr;
  bool over_before = false;  // the task ends before the reservation begins

  // How many tasks of this grant may be put on a worker that has room for `room`.
  int room(std::uint32_t worker, std::uint64_t grant, int room) const {
    const auto* spot = reservation == nullptr ? nullptr : reservation->on(worker);
    if (spot == nullptr || over_before) return room;
    const std::uint64_t by_memory =
        grant == 0 ? spot->spare_memory : spot->spare_memory / std::max<std::uint64_t>(grant, 1);
    room = std::min(room, spot->spare_slots);
    return static_cast<int>(std::min<std::uint64_t>(static_cast<std::uint64_t>(room), by_memory));
  }
};

}  // namespace polysome::core
