#include "base/scratch.h"

#include <algorithm>
#include <string_view>
#include <system_error>
#include <utility>

#include "base/files.h"
#include "base/log.h"

namespace polysome {
namespace {

namespace fs = std::filesystem;

constexpr std::string_view kNote = ".elsewhere";
constexpr std::uint64_t kLongestNote = 8192;

bool is_temporary(const fs::path& path) {
  const std::string name = path.filename().string();
  return name.starts_with('.') && (name.ends_with(".tmp") || name.ends_with(".tmp.old"));
}

bool lies_below(const fs::path& path, const std::string& root) {
  std::error_code ec;
  const fs::path real = fs::weakly_canonical(path.parent_path(), ec) / path.filename();
  if (ec) return false;
  const fs::path relative = real.lexically_relative(fs::weakly_canonical(root, ec));
  return !ec && !relative.empty() && *relative.begin() != "..";
}

void remove_noted(const fs::path& note, const std::vector<std::string>& roots) {
  const auto text = read_file(note, kLongestNote);
  if (!text || text->empty()) return;
  const fs::path path(*text);
  const bool ours = path.is_absolute() && is_temporary(path) &&
                    std::ranges::any_of(roots, [&](const auto& r) { return lies_below(path, r); });
  if (!ours) return;
  if (const auto removed = polysome::remove_all(path); !removed)
    log::warning("a temporary file is left: {}", removed.error().message);
}

}  // namespace

Result<NoteOfTemporary> NoteOfTemporary::make(const fs::path& scratch, const fs::path& path) {
  fs::path note = scratch / (path.filename().string() + std::string(kNote));
  POLYSOME_TRY(write_file(note, path.string(), false));
  return NoteOfTemporary(std::move(note));
}

NoteOfTemporary::NoteOfTemporary(NoteOfTemporary&& other) noexcept
    : note_(std::exchange(other.note_, {})) {}

NoteOfTemporary::~NoteOfTemporary() {
  std::error_code ec;
  if (!note_.empty()) fs::remove(note_, ec);
}

Status remove_scratch(const fs::path& scratch, const std::vector<std::string>& roots) {
  std::error_code ec;
  std::vector<fs::path> notes;
  for (auto it = fs::recursive_directory_iterator(scratch, ec);
       !ec && it != fs::recursive_directory_iterator(); it.increment(ec))
    if (it->path().filename().string().ends_with(kNote)) notes.push_back(it->path());
  for (const auto& note : notes) remove_noted(note, roots);
  return polysome::remove_all(scratch);
}

}  // namespace polysome
