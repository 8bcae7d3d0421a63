// A task's outputs and their only commit point. Files are written under names of their own attempt
// and never renamed; publishing links the manifest to <index>.json, which exactly one attempt can
// win. With start_inside_quotes the manifest's name is <index>.in.json (a rerun after a wrong
// border state).
#pragma once

#include <cstdint>
#include <filesystem>
#include <string>
#include <vector>

#include "model/json.h"
#include "model/task.h"

namespace polysome {

struct OutputFile {
  std::string name;  // in the stage's folder: "<index>.<epoch>.<n>.<role>"
  std::string
      role;  // "table.parquet", "state.parquet", "values.parquet", "part.csv", "fragment.json" …
  std::uint64_t bytes = 0;
  std::uint64_t rows = 0;
  std::string
      xxhash;  // 16 hex digits of XXH3-64 over the content; filled in by publish, if not known
};

struct Manifest {
  AttemptId attempt;
  std::vector<OutputFile> files;
  TaskResult result;  // as reported

  Json to_json() const;
  static Result<Manifest> from_json(const Json& j);
};

// Where a task's files and manifest lie.
std::filesystem::path stage_folder(const TaskSpec& spec);
std::filesystem::path output_path(const TaskSpec& spec, std::string_view role);
std::filesystem::path manifest_path(const std::filesystem::path& stage_folder, std::uint32_t index,
                                    bool start_inside_quotes);

// Hashes (and fsyncs, when durable) the files, links the manifest. False: another attempt won; the
// own files were removed. A manifest in the way whose files are lost or damaged is replaced.
// Errors: kIo, kDiskFull.
Result<bool> publish(const TaskSpec& spec, Manifest manifest, bool durable);
// The winning manifest of a finished task; the .in.json one is preferred when there. kIo with
// message "output lost: STAGE/INDEX: …" when absent or a file's size is wrong; with check_hash also
// when its hash is.
Result<Manifest> read_manifest(const std::filesystem::path& stage_folder, std::uint32_t index,
                               bool check_hash);
// The same of one manifest file.
Result<Manifest> read_manifest_at(const std::filesystem::path& manifest, bool check_hash);
// Removes whatever an attempt that failed has left in its stage's folder.
void discard_outputs(const TaskSpec& spec);

}  // namespace polysome
