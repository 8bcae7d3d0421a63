// One seeded life of a service in virtual time: jobs of several shapes and users on a cluster whose
// workers crash, hang, repeat themselves and run out of memory, while people submit, cancel, hold,
// pause, limit, scale, drain and stop, the machine sleeps, its clock steps back, and the service
// itself is killed. Then the world calms down, and every job must come to its end. The seed is the
// whole run: the same seed gives the same steps, with or without its story.
#pragma once

#include <deque>
#include <functional>
#include <random>
#include <string>
#include <vector>

#include "core/simulated_cluster.h"
#include "judge.h"
#include "store.h"

namespace polysome::simulation {

struct Telling {
  bool story = false;             // keep lines to print
  std::uint64_t check_every = 1;  // steps between the checks that cost O(everything)
};

class Life {
 public:
  Life(std::uint64_t seed, Telling telling, Met& met);

  void run();

  bool failed() const { return !judge_.broken.empty(); }
  const std::vector<std::string>& broken() const { return judge_.broken; }
  const std::deque<std::string>& story() const { return story_; }
  std::uint64_t steps() const { return steps_; }
  std::uint64_t fingerprint() const { return fingerprint_; }  // of all commands

 private:
  core::Config config();
  std::uint64_t pick(std::uint64_t n) { return random_() % n; }
  bool one_in(std::uint64_t n) { return chaos_ && pick(n) == 0; }
  MonoTime at_random();
  void note(const std::string& line);
  void run_until(const std::function<bool()>& reached);
  void step(const core::Event& event);
  void check_everything();
  void calm_down();
  void note_stuck();

  // What people do (people.cc).
  void submit(std::uint32_t n);
  JobLimits some_limits(bool gang);
  void submit_batch();
  void start();
  void interfere();
  void interfere_with_job(std::uint64_t choice);
  void interfere_with_worker(std::uint64_t choice);
  void change_limits();
  void restart();

  core::Outcome outcome(const core::StartTask& task);

  std::mt19937_64 random_;
  Telling telling_;
  Met& met_;
  Store store_;
  Judge judge_;
  core::VirtualTime time_;
  std::uint32_t epoch_ = 0;
  core::Core core_;
  core::SimulatedCluster cluster_;
  bool chaos_ = true;
  std::uint32_t submitted_ = 0;
  std::size_t restart_after_ = 0;  // kind of event; beyond all: never
  bool restart_due_ = false, restoring_ = false;
  std::uint64_t steps_ = 0;
  std::uint64_t fingerprint_ = 0;
  std::deque<std::string> story_;
};

std::string_view kind_of(const core::Event& event);

}  // namespace polysome::simulation
