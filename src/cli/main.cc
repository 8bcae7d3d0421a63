#include <string>
#include <string_view>
#include <vector>

#include "cli/program.h"

namespace polysome::embedded {
std::string_view operations_json();  // made at build from polysome-worker --describe
}

int main(int argc, char** argv) {
  return polysome::cli::run_program(std::vector<std::string>(argv, argv + argc),
                                    polysome::embedded::operations_json());
}
