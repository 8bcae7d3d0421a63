// The command line of polysome-worker. It is written by the executor and by the supervisor (for its
// slots), not by people, so it is a flat list of flags with values and knows no short forms.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "base/result.h"

namespace polysome {

enum class WorkerMode : std::uint8_t { kHelp, kVersion, kDescribe, kSupervisor, kSlot };

struct WorkerOptions {
  WorkerMode mode = WorkerMode::kHelp;
  int fd = -1;                     // socket to the one above: service or supervisor
  int slots = 1;                   // supervisor: how many
  int index = 0;                   // slot: which
  std::uint64_t memory = 0;        // bytes: of the worker; of a slot, its share
  std::string worker = "worker";   // "w3", in messages and names
  std::string lock_file;           // supervisor: flock'ed while it and its slots live
  std::string control_group;       // supervisor: folder to make its slots' groups in
  bool prepare = false;            // a new slot opens ahead what the first task will need
  std::vector<std::string> read;   // folders that slots may read; none: everything
  std::vector<std::string> write;  // folders that slots may write
  std::string connections;         // file of databases' credentials, read before the sandbox
  std::string scratch;             // folder for spills; a slot's own is a subfolder
};

// Errors: kInvalid naming the flag.
Result<WorkerOptions> parse_worker_options(const std::vector<std::string>& arguments);
// The arguments (without the program's name) that parse to these options.
std::vector<std::string> worker_arguments(const WorkerOptions& options);
std::string worker_usage();

}  // namespace polysome
