// The store's tables and how older files become the newest format: forward steps only, each in one
// transaction with its `user_version`. The file is copied to store.vN.bak before the first step.
// Runs at start, on the writer's connection, before any other.
#pragma once

#include <span>

#include "store/sqlite.h"

namespace polysome {

struct Migration {
  int to_version = 0;
  const char* sql = nullptr;
};

// From an empty file to the newest format, in order.
std::span<const Migration> store_migrations();

// Errors: kConflict when the file is of a newer version or not a store at all; kDiskFull, kIo.
Status migrate(Database& db, std::span<const Migration> steps);

}  // namespace polysome
