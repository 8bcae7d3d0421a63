#include "plan/plan_document.h"

#include <filesystem>

#include "base/files.h"
#include "data/partitioner.h"

namespace polysome {

Result<std::vector<Partition>> InputTable::partition(const std::string& job_folder,
                                                     std::uint32_t index) const {
  if (partitions == 0) return std::vector<Partition>{};
  const auto path = std::filesystem::path(job_folder) / partitions_file;
  return read_partition(path.string(), index);
}

Result<std::vector<Partition>> InputTable::all_partitions(const std::string& job_folder) const {
  if (partitions == 0) return std::vector<Partition>{};
  POLYSOME_ASSIGN(PartitionTable table,
                  read_partitions((std::filesystem::path(job_folder) / partitions_file).string()));
  return std::move(table.ranges);
}

Json PlanDocument::to_json() const {
  Json tables = Json::array();
  for (const auto& t : inputs)
    tables.push_back({{"source", t.source.to_json(t.files_file.empty())},
                      {"files_file", t.files_file},
                      {"partitions_file", t.partitions_file},
                      {"partitions", t.partitions},
                      {"open_borders", t.open_borders}});
  return {{"inputs", std::move(tables)}, {"details", details}, {"warnings", warnings}};
}

Result<PlanDocument> PlanDocument::from_json(Json j) {
  try {
    PlanDocument out;
    for (const auto& item : j.at("inputs")) {
      InputTable t;
      POLYSOME_ASSIGN(t.source, TableSource::from_json(item.at("source")));
      t.files_file = item.at("files_file").get<std::string>();
      t.partitions_file = item.at("partitions_file").get<std::string>();
      t.partitions = item.at("partitions").get<std::uint32_t>();
      t.open_borders = item.at("open_borders").get<bool>();
      out.inputs.push_back(std::move(t));
    }
    out.details = std::move(j.at("details"));
    out.warnings = std::move(j.at("warnings"));
    return out;
  } catch (const std::exception& e) {
    return fail(Code::kInternal, std::string("unreadable plan: ") + e.what());
  }
}

Result<PlanDocument> read_plan_document(const std::string& job_folder, const std::string& name) {
  const auto path = std::filesystem::path(job_folder) / name;
  auto text = read_file(path);
  if (!text) return fail(Code::kIo, "output lost: " + text.error().message);
  POLYSOME_ASSIGN(Json j, parse_trusted_json(*text));
  POLYSOME_ASSIGN(PlanDocument out, PlanDocument::from_json(std::move(j)));
  for (auto& t : out.inputs)
    if (!t.files_file.empty()) {
      POLYSOME_ASSIGN(t.source.files,
                      FileList::open((std::filesystem::path(job_folder) / t.files_file).string()));
    }
  return out;
}

}  // namespace polysome
