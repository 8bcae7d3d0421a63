// What must hold after each step, checked by tests and the simulation: every count equals what it
// counts, ceilings hold, nobody waits without a reason, nothing that could run is left lying.
// O(all).
#pragma once

#include <string>
#include <vector>

#include "core/machine.h"

namespace polysome::core {

// The broken ones, in words; empty when all is well.
std::vector<std::string> broken_invariants(const Machine& m);

}  // namespace polysome::core
