#include "kernels/arrow_library.h"

#include <dlfcn.h>
#include <fmt/format.h>

#include <atomic>
#include <cstdlib>
#include <filesystem>
#include <string_view>
#include <system_error>

namespace polysome {
namespace {

namespace fs = std::filesystem;

constexpr const char* kFile = "libpolysome_arrow.so";

// Beside the program, or in ../lib of it.
std::vector<fs::path> places() {
  std::error_code ec;
  const fs::path folder = fs::read_symlink("/proc/self/exe", ec).parent_path();
  return {folder / kFile, folder.parent_path() / "lib" / kFile};
}

fs::path library_file() {
  std::error_code ec;
  for (const auto& path : places())
    if (fs::exists(path, ec)) return path;
  return places().front();
}

Result<const ArrowLibrary*> open_library() {
  const fs::path path = library_file();
  // Arrow's usual allocator reserves more address space than a task with a small grant may have.
  ::setenv("ARROW_DEFAULT_MEMORY_POOL", "system", 0);
  void* handle = ::dlopen(path.c_str(), RTLD_NOW | RTLD_LOCAL);
  const char* why = handle == nullptr ? ::dlerror() : nullptr;
  using Entry = const ArrowLibrary* (*)();
  Entry entry =
      handle == nullptr
          ? nullptr
          : reinterpret_cast<Entry>(::dlsym(handle, "polysome_arrow_" POLYSOME_ARROW_ENTRY));
  const std::string_view reason = why != nullptr ? why : "";
  if (reason.find("allocate memory") != std::string_view::npos ||
      reason.find("failed to map") != std::string_view::npos)
    return fail(Code::kOutOfMemory, fmt::format("no memory to open Arrow's libraries: {}", reason));
  if (entry == nullptr)
    return fail(Code::kInternal,
                fmt::format("Arrow's libraries can't be opened: {}",
                            why != nullptr ? why : path.string() + " is of another version"),
                "scripts/setup.sh fetches and builds them");
  return entry();
}

}  // namespace

Result<const ArrowLibrary*> arrow_library() {
  // A failure is not kept: the next task of this process may have the memory that this one lacked.
  static std::atomic<const ArrowLibrary*> opened = nullptr;
  if (const auto* library = opened.load()) return library;
  auto library = open_library();
  if (library) opened = *library;
  return library;
}

std::vector<std::string> arrow_library_paths() {
  std::vector<std::string> out;
  for (const auto& path : places()) out.push_back(path.string());
  out.emplace_back(POLYSOME_ARROW_LIBRARIES);
  return out;
}

}  // namespace polysome
