// From a dataset's source (file, folder of one kind, glob, list) to its files, in order by name.
// Looks at names, sizes, first and last bytes. Folders named key=value (as Hive, Spark and Arrow
// write them) are entered; their keys become columns. Errors: kUserData, kIo; kForbidden for what
// lies outside the read roots.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "data/table_source.h"

namespace polysome {

// csv, tsv, parquet, ndjson or json by the name's ending, compression endings ignored; empty:
// unknown.
std::string format_by_name(const std::string& path);

struct FoundFiles {
  FileList files;
  std::string format;                      // common to all
  std::vector<std::string> keys;           // of key=value folders; each file has a value for each
  std::vector<std::uint64_t> first_lines;  // of each file: FileLook::first_line
  bool more = false;                       // there are more than options.most_listed
  std::string last;                        // the first path in the folder of the last file
};
Result<FoundFiles> find_files(const DatasetRef& ref, const std::vector<std::string>& read_roots,
                              const InspectOptions& options = {});

}  // namespace polysome
