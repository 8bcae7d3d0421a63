// From a dataset's source (file, folder of one kind, glob, list) to its files, in order by name.
// Looks at names, sizes, first and last bytes. Folders named key=value (as Hive, Spark and Arrow
// write them) are entered; their keys become columns. Errors: kUserData, kIo; kForbidden for what
// lies outside the read roots.
#pragma once

#include <string>
#include <vector>

#include "data/table_source.h"

namespace polysome {

// csv, tsv, parquet, ndjson or json by the name's ending, compression endings ignored; empty:
// unknown.
std::string format_by_name(const std::string& path);

struct FoundFiles {
  std::vector<SourceFile> files;
  std::string format;             // common to all
  std::vector<std::string> keys;  // of key=value folders; each file has a value for each
};
Result<FoundFiles> find_files(const DatasetRef& ref, const std::vector<std::string>& read_roots);

}  // namespace polysome
