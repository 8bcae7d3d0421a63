// Where a caller wants the answer (spec.output) and how it gets there: written under a temporary
// name beside its place, fsynced, then linked (if_exists error) or renamed (replace). A second
// attempt of the final task recognises what an earlier one of the same job put there. Slot's
// thread.
#pragma once

#include <functional>
#include <optional>
#include <string>

#include "operations/table_files.h"
#include "operations/task_env.h"

namespace polysome {

struct Delivery {
  std::string path;  // absolute; empty: a file in the work folder (convert without output)
  FileFormat format;
  bool parts = false;  // a folder of files
  bool replace = false;
  std::string database;  // an address in place of a path; then the format says nothing

  Json to_json() const;
  static std::optional<Delivery> from_json(const Json& j);  // null: nothing to deliver
};

// Reads spec.output; nullopt without a path. `fallback` is the format where neither `format` nor
// the file's name says one. Errors (kUserData, pointer /output/path): outside the output folders;
// exists already although if_exists is error.
Result<std::optional<Delivery>> delivery_of(const JobDescription& job, const FileFormat& fallback);

// Calls `write` with the temporary name (a folder that exists, for parts), then publishes it.
Status deliver(const TaskEnv& env, const Delivery& delivery,
               const std::function<Status(const std::string&)>& write);

}  // namespace polysome
