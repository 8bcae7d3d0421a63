// What a job needs to run in this process: the share of the machine it may take, the folder its
// work is kept in, and its files as absolute sources. Reads the file system.
#pragma once

#include <string>
#include <vector>

#include "cli/machine.h"
#include "cli/settings.h"
#include "daemon/service.h"

namespace polysome::cli {

struct LocalShare {
  ClusterSpec cluster;
  std::string scratch;  // empty: in the work folder
  std::string line;     // "2 cores, 6.4GB memory (80 % of this machine's 8GB), scratch /tmp"
};

// `workers` 0 and `memory` 0 mean: as much as the machine gives.
LocalShare share_of(const MachineShare& machine, int workers, std::uint64_t memory,
                    const std::string& scratch, const Environment& environment);

// ".polysome/<16 hex digits>", the same for the same job.
std::string work_folder_of(const Json& body, const std::vector<std::string>& files);
// The address of a database's table with its file's path made absolute; `must_exist`: kInvalid when
// a SQLite file is not there. Addresses of servers stay as they are.
Result<std::string> absolute_database(const std::string& url, bool must_exist);
// Absolute paths of files, folders and globs, and addresses of databases' tables. Errors: kInvalid
// with the nearest name in the folder.
Result<std::vector<std::string>> absolute_sources(const std::vector<std::string>& given);

// The settings that serve and run share: worker program, attempts, delays, partition size, scratch.
Result<ServeConfig> base_config(const Settings& settings);

}  // namespace polysome::cli
