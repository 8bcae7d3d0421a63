// The `polysome` program: its commands, what it says about a mistyped line, and exit codes.
#pragma once

#include <string>
#include <string_view>
#include <vector>

namespace polysome::cli {

// `operations_json` describes the operations this program was built with. Answers with the exit
// code.
int run_program(const std::vector<std::string>& arguments, std::string_view operations_json);

}  // namespace polysome::cli
