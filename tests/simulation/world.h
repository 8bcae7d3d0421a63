// What jobs are like in the simulation: their plans, and how a task of each goes when nothing of
// the cluster interferes. All of it follows from the job and the task, so a second attempt goes as
// the first.
#pragma once

#include "core/simulated_cluster.h"
#include "store.h"

namespace polysome::simulation {

inline constexpr int kLargestGang = 4;

Shape shape_of(std::uint64_t choice, std::uint32_t tasks);
bool has_gang(const Shape& shape);

core::Outcome good_outcome(const Kept& kept, const core::StartTask& task);
// Makes it the outcome of a task with too small a grant, if it has one.
bool runs_out_of_memory(const Kept& kept, const core::StartTask& task, core::Outcome& outcome);

}  // namespace polysome::simulation
