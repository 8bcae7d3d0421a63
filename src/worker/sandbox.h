// Keeps a slot process to its folders with Landlock, where the kernel has it: hostile files and
// callers' SQL can read the data and write the work folders, nothing else. Call before the process
// has a second thread; it cannot be taken back. Files already open stay usable.
#pragma once

#include <string>
#include <vector>

#include "base/result.h"

namespace polysome {

// False: this kernel has no Landlock (or forbids it), nothing was done. `read` empty leaves reading
// free. Folders that do not exist are left out. Errors: kInternal when a kernel that has Landlock
// refuses the rules; the process must then not go on.
Result<bool> restrict_to_folders(const std::vector<std::string>& read,
                                 const std::vector<std::string>& write);
bool sandbox_available();

}  // namespace polysome
