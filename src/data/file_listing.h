// Which files a source names: itself, those of a folder and of its key=value folders, those that
// match a pattern; in order by name, one folder after another. Names only, nothing is opened. Any
// thread.
#pragma once

#include <cstddef>
#include <deque>
#include <string>

#include "base/result.h"

namespace polysome {

struct ListedFile {
  std::string path;
  bool real = false;  // links are resolved already
};
struct FileListing {
  std::deque<ListedFile> files;
  std::string root;   // the folder that the source names for sure
  bool more = false;  // there are more than were asked for
};
// At most the first `most` files. Errors: kIo (not there), kUserData (no file).
Result<FileListing> list_files(const std::string& source, std::size_t most);

// A folder whose name gives a column's value (Hive, Spark, Arrow): year=2024.
bool is_key_folder(const std::string& name);

}  // namespace polysome
