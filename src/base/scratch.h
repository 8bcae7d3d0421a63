// The folder of a process's temporary files, and notes in it of those that had to be made
// elsewhere: beside the place where they are to be published, because only names of one file system
// can be linked. Whoever finds the process dead removes all of them. Any process.
#pragma once

#include <filesystem>
#include <string>
#include <vector>

#include "base/result.h"

namespace polysome {

// Before `path` (".NAME.tmp", file or folder) is made. Gone with the object.
class NoteOfTemporary {
 public:
  static Result<NoteOfTemporary> make(const std::filesystem::path& scratch,
                                      const std::filesystem::path& path);
  ~NoteOfTemporary();
  NoteOfTemporary(NoteOfTemporary&& other) noexcept;
  NoteOfTemporary& operator=(NoteOfTemporary&&) = delete;

 private:
  explicit NoteOfTemporary(std::filesystem::path note) : note_(std::move(note)) {}
  std::filesystem::path note_;
};

// Removes the folder with all it holds and what its notes and those in its subfolders name; of that
// only temporary names below `roots`, since a slot's notes may say anything.
Status remove_scratch(const std::filesystem::path& scratch, const std::vector<std::string>& roots);

}  // namespace polysome
