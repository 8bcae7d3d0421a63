// The outputs of finished stages, found through their manifests: what a consumer task reads. A
// manifest or file that is gone is kIo "output lost: …", which makes the core run its task again.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "data/manifest.h"

namespace polysome {

struct StageFile {
  std::string path;  // absolute
  std::uint32_t task = 0;
  std::uint64_t bytes = 0;
  std::uint64_t rows = 0;
};

// Manifests of tasks [first, first + count) of a stage, in order.
Result<std::vector<Manifest>> stage_manifests(const std::string& job_folder,
                                              const std::string& stage, std::uint32_t first,
                                              std::uint32_t count);
// The files of one role among them; tasks that wrote none of it are left out.
std::vector<StageFile> files_of(const std::string& job_folder, const std::string& stage,
                                const std::vector<Manifest>& manifests, std::uint32_t first,
                                const std::string& role);
// Tasks needed to bring `inputs` together with at most kMaxFanIn each.
std::uint32_t fan_in_tasks(std::uint32_t inputs);

}  // namespace polysome
