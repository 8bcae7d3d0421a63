#include "data/source_files.h"

#include <fmt/format.h>
#include <fmt/ranges.h>
#include <glob.h>

#include <algorithm>
#include <array>
#include <cctype>
#include <filesystem>
#include <optional>

#include "base/files.h"
#include "data/file_look.h"
#include "data/gct.h"
#include "data/text_source.h"
#include "model/database_url.h"

namespace polysome {
namespace {
namespace fs = std::filesystem;

constexpr std::array<std::pair<std::string_view, std::string_view>, 14> kEndings{{
    {".csv", "csv"},
    {".tsv", "tsv"},
    {".txt", "tsv"},
    {".tab", "tsv"},
    {".parquet", "parquet"},
    {".pq", "parquet"},
    {".arrow", "arrow"},
    {".arrows", "arrow"},
    {".feather", "arrow"},
    {".ipc", "arrow"},
    {".ndjson", "ndjson"},
    {".jsonl", "ndjson"},
    {".json", "json"},
    {".gct", "gct"},
}};

constexpr int kMostKeys = 16;

std::string lower(std::string s) {
  std::ranges::transform(s, s.begin(), [](unsigned char c) { return std::tolower(c); });
  return s;
}

bool visible(const fs::path& path) {
  const auto name = path.filename().string();
  return !name.empty() && name.front() != '.' && name.front() != '_';
}

struct Found {
  std::string path;
  bool real = false;  // links are resolved already
};

bool is_key_folder(const std::string& name) {
  const auto at = name.find('=');
  return at != std::string::npos && at > 0 && name.front() != '.' && name.front() != '_';
}

// Files of `folder`, then those of its key=value folders, each by name.
Status list_folder(const fs::path& folder, int depth, std::vector<Found>* out) {
  std::error_code ec;
  std::vector<std::string> files;
  std::vector<std::string> links;
  std::vector<std::string> folders;
  fs::directory_iterator it(folder, ec);
  for (; !ec && it != fs::directory_iterator(); it.increment(ec)) {
    std::string name = it->path().filename().string();
    std::error_code each;
    if (visible(name) && it->is_regular_file(each))
      (it->is_symlink(each) ? links : files).push_back(std::move(name));
    else if (is_key_folder(name) && it->is_directory(each))
      folders.push_back(std::move(name));
  }
  if (ec) return fail(errno_error("cannot list", folder.string(), ec.value()));
  const std::string prefix = folder.string() + "/";
  const std::size_t first = out->size();
  for (const auto& name : files) out->push_back({prefix + name, true});
  for (const auto& name : links) out->push_back({prefix + name, false});
  std::sort(out->begin() + static_cast<std::ptrdiff_t>(first), out->end(),
            [](const Found& a, const Found& b) { return a.path < b.path; });
  if (!folders.empty() && depth >= kMostKeys)
    return fail(Code::kUserData,
                fmt::format("{}: more than {} key=value folders within one another",
                            folder.string(), kMostKeys));
  std::ranges::sort(folders);
  for (const auto& name : folders) POLYSOME_TRY(list_folder(folder / name, depth + 1, out));
  return {};
}

Result<std::vector<Found>> expand(const std::string& source) {
  std::vector<Found> out;
  std::error_code ec;
  if (fs::is_directory(source, ec)) {
    const fs::path folder = fs::canonical(source, ec);
    if (ec) return fail(errno_error("cannot list", source, ec.value()));
    POLYSOME_TRY(list_folder(folder, 0, &out));
    if (out.empty())
      return fail(Code::kUserData, fmt::format("the folder {} holds no files", source));
    return out;
  }
  if (fs::exists(source, ec)) return std::vector<Found>{{source, false}};
  if (source.find_first_of("*?[") == std::string::npos)
    return fail(Code::kIo, fmt::format("{} is not there", source), "was it moved or renamed?");
  glob_t found{};
  const int status = ::glob(source.c_str(), 0, nullptr, &found);
  for (std::size_t i = 0; status == 0 && i < found.gl_pathc; ++i) {
    const fs::path path = found.gl_pathv[i];
    std::error_code each;
    if (fs::is_regular_file(path, each) && visible(path)) out.push_back({path.string(), false});
    // "year=*" means what lies in these folders.
    if (is_key_folder(path.filename().string()) && fs::is_directory(path, each))
      POLYSOME_TRY(list_folder(path, 1, &out));
  }
  ::globfree(&found);
  if (out.empty()) return fail(Code::kUserData, fmt::format("no file matches {}", source));
  return out;
}

// Hive writes %3A for what a folder's name cannot hold.
struct FolderValues {
  std::vector<std::string> keys;
  std::vector<std::optional<std::string>> values;
};

// key=value folders on the way from `root` (exclusive) to the file.
FolderValues folder_values(const std::string& path, const std::string& root) {
  FolderValues out;
  if (!path.starts_with(root)) return out;
  const fs::path below = fs::path(path.substr(root.size())).parent_path();
  for (const auto& part : below) {
    const std::string name = part.string();
    if (!is_key_folder(name)) continue;
    const auto at = name.find('=');
    out.keys.push_back(percent_decoded(name.substr(0, at)));
    const std::string value = name.substr(at + 1);
    out.values.push_back(value == "__HIVE_DEFAULT_PARTITION__"
                             ? std::nullopt
                             : std::optional(percent_decoded(value)));
  }
  return out;
}

// The folder that a source names for sure: itself, or a glob's part before its first pattern.
std::string root_of(const std::string& source) {
  std::error_code ec;
  if (source.empty()) return {};
  if (fs::is_directory(source, ec)) return fs::canonical(source, ec).string();
  if (fs::exists(source, ec)) return fs::path(source).parent_path().string();
  const auto pattern = source.find_first_of("*?[");
  return source.substr(0, source.rfind('/', pattern));
}

// Both with links resolved.
bool below(const std::string& real, const std::vector<std::string>& roots) {
  return std::ranges::any_of(roots, [&](const std::string& root) {
    return root == "/" ||
           (real.starts_with(root) && (real.size() == root.size() || real[root.size()] == '/'));
  });
}

// For names without a known ending.
Result<std::string> format_by_content(const SourceFile& file) {
  const auto sample = head_sample(file, 4096);
  if (!sample) return fail(sample.error());
  const std::string& text = sample->text;
  if (text.starts_with("PAR1")) return std::string("parquet");
  if (text.starts_with("ARROW1") || text.starts_with("FEA1")) return std::string("arrow");
  if (is_gct(text)) return std::string("gct");
  const auto first = text.find_first_not_of(" \t\r\n\xef\xbb\xbf");
  if (first == std::string::npos) return std::string("csv");
  if (text[first] == '[') return std::string("json");
  if (text[first] == '{') return std::string("ndjson");
  const auto line = text.substr(first, text.find('\n', first) - first);
  return std::string(line.find('\t') != std::string::npos ? "tsv" : "csv");
}

}  // namespace

std::string format_by_name(const std::string& path) {
  std::string name = lower(fs::path(path).filename().string());
  for (const std::string_view ending : {".gz", ".bgz", ".gzip", ".zst", ".zstd"})
    if (name.ends_with(ending)) {
      name.resize(name.size() - ending.size());
      break;
    }
  for (const auto& [ending, format] : kEndings)
    if (name.ends_with(ending)) return std::string(format);
  return {};
}

namespace {

std::string name_of(const std::string& path) { return fs::path(path).filename().string(); }

Status take_values(const std::string& root, const std::string& given, const std::string& first,
                   FoundFiles* out, SourceFile* file) {
  FolderValues here = folder_values(given, root);
  if (out->files.empty()) {
    out->keys = here.keys;
    auto sorted = here.keys;
    std::ranges::sort(sorted);
    if (const auto twice = std::ranges::adjacent_find(sorted); twice != sorted.end())
      return fail(Code::kUserData,
                  fmt::format("{}: two folders give the key \"{}\"", given, *twice));
  } else if (here.keys != out->keys) {
    const auto list = [](const std::vector<std::string>& keys) {
      return keys.empty() ? std::string("no key=value folders")
                          : fmt::format("the folders {}=…", fmt::join(keys, "=…/"));
    };
    return fail(
        Code::kUserData,
        fmt::format("{} lies in {}, but {} in {}", given, list(here.keys), first, list(out->keys)),
        "files of one dataset lie below the same key=value folders; name one level by a "
        "glob, such as folder/*.csv");
  }
  file->folder_values = std::move(here.values);
  return {};
}

}  // namespace

Result<FoundFiles> find_files(const DatasetRef& ref, const std::vector<std::string>& read_roots) {
  std::vector<Found> paths;
  for (const auto& path : ref.files) paths.push_back({path, false});
  if (paths.empty()) {
    POLYSOME_ASSIGN(paths, expand(ref.source));
  }
  std::vector<std::string> roots;
  for (const auto& root : read_roots) {
    std::error_code ec;
    const fs::path real = fs::canonical(root, ec);
    if (!ec) roots.push_back(real.string());
  }
  const std::string root = root_of(ref.source);
  FoundFiles out;
  out.format = ref.format;
  out.files.reserve(paths.size());
  std::string first;
  for (const auto& found : paths) {
    const std::string& path = found.path;
    SourceFile file;
    file.path = path;
    if (!found.real) {
      std::error_code ec;
      file.path = fs::canonical(path, ec).string();
      if (ec) return fail(errno_error("cannot open", path, ec.value()));
    }
    if (!read_roots.empty() && !below(file.path, roots))
      return fail(Code::kForbidden, fmt::format("{} is not below a data folder", path));
    POLYSOME_ASSIGN(FileLook look, look_at_file(file.path));
    file.bytes = look.bytes;
    file.mtime_ns = look.mtime_ns;
    file.fingerprint = std::move(look.fingerprint);
    file.compression = std::move(look.compression);
    if (file.bytes == 0)
      return fail(Code::kUserData, fmt::format("{} is empty (0 bytes)", name_of(path)),
                  "was it written to its end?");
    std::string format = ref.format.empty() ? format_by_name(path) : ref.format;
    if (format.empty()) {
      POLYSOME_ASSIGN(format, format_by_content(file));
    }
    if (format == "parquet" || format == "arrow") file.compression.clear();
    if (!out.format.empty() && format != out.format)
      return fail(
          Code::kUserData,
          fmt::format("{} is {}, but {} is {}", name_of(path), format, name_of(first), out.format),
          "a dataset is made of files of one format; name them by a glob, such as folder/*.csv");
    out.format = format;
    POLYSOME_TRY(take_values(root, path, first, &out, &file));
    if (first.empty()) first = path;
    out.files.push_back(std::move(file));
  }
  return out;
}

}  // namespace polysome
