// The store as an SQLite file in the state folder (architecture.md, decision 3): WAL,
// synchronous=FULL, one writer with its own connection and thread (writer.h), reads on the loop
// through a query-only one.
#pragma once

#include <filesystem>
#include <functional>
#include <memory>
#include <string>

#include "store/retention.h"
#include "store/store.h"

namespace polysome {

struct SqliteStoreOptions {
  RetentionLimits retention;
  std::string vfs;  // another SQLite file layer, to inject failures; empty: the default
};

// Locks the folder, brings the file to the newest format (a copy goes to store.vN.bak first),
// starts the writer. `post_to_loop` is called from the loop and from the writer's thread and must
// outlive the store; the destructor commits what is queued. Errors: kConflict when the folder is in
// use, the file is of a newer version or somebody else's; kInvalid on a network filesystem;
// kDiskFull, kIo.
Result<std::unique_ptr<Store>> open_sqlite_store(
    const std::filesystem::path& state_folder,
    std::function<void(std::function<void()>)> post_to_loop, SqliteStoreOptions options = {});

}  // namespace polysome
