#include "plan/stage_files.h"

#include <filesystem>

#include "model/plan.h"

namespace polysome {

Result<std::vector<Manifest>> stage_manifests(const std::string& job_folder,
                                              const std::string& stage, std::uint32_t first,
                                              std::uint32_t count) {
  const auto folder = std::filesystem::path(job_folder) / stage;
  std::vector<Manifest> out;
  out.reserve(count);
  for (std::uint32_t i = 0; i < count; ++i) {
    POLYSOME_ASSIGN(Manifest one, read_manifest(folder, first + i, false));
    out.push_back(std::move(one));
  }
  return out;
}

std::vector<StageFile> files_of(const std::string& job_folder, const std::string& stage,
                                const std::vector<Manifest>& manifests, std::uint32_t first,
                                const std::string& role) {
  const auto folder = std::filesystem::path(job_folder) / stage;
  std::vector<StageFile> out;
  for (std::size_t i = 0; i < manifests.size(); ++i)
    for (const auto& f : manifests[i].files)
      if (f.role == role)
        out.push_back(
            {(folder / f.name).string(), first + static_cast<std::uint32_t>(i), f.bytes, f.rows});
  return out;
}

std::uint32_t fan_in_tasks(std::uint32_t inputs) { return (inputs + kMaxFanIn - 1) / kMaxFanIn; }

}  // namespace polysome
