// What may follow the words of a command line, for the shells' completion. Pure.
#pragma once

#include <CLI/App.hpp>
#include <string>
#include <vector>

#include "model/operation.h"

namespace polysome::cli {

// Candidates for the last of `words` (which may be empty), sorted; none: a file's name, say.
std::vector<std::string> complete(const CLI::App& app, const OperationCatalog& operations,
                                  const std::vector<std::string>& words);

}  // namespace polysome::cli
