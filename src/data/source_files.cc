#include "data/source_files.h"

#include <fmt/format.h>
#include <fmt/ranges.h>

#include <algorithm>
#include <array>
#include <cctype>
#include <filesystem>
#include <optional>
#include <utility>

#include "base/files.h"
#include "data/file_listing.h"
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

std::string name_of(const std::string& path) { return path.substr(path.rfind('/') + 1); }

// The ending that says how a file is compressed, of a name in small letters.
std::string_view packing(std::string_view name) {
  for (const std::string_view ending : {".gz", ".bgz", ".gzip", ".zst", ".zstd"})
    if (name.ends_with(ending)) return name.substr(name.size() - ending.size());
  return {};
}

std::string lower(std::string s) {
  std::ranges::transform(s, s.begin(), [](unsigned char c) { return std::tolower(c); });
  return s;
}

// Hive writes %3A for what a folder's name cannot hold.
struct ValuesOfFolders {
  std::vector<std::string> keys;
  std::vector<std::optional<std::string>> values;
};

// key=value folders on the way from `root` (exclusive) to the file.
ValuesOfFolders folder_values(const std::string& path, const std::string& root) {
  ValuesOfFolders out;
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
  const std::string name = lower(name_of(path));
  const std::string_view plain =
      std::string_view(name).substr(0, name.size() - packing(name).size());
  for (const auto& [ending, format] : kEndings)
    if (plain.ends_with(ending)) return std::string(format);
  return {};
}

namespace {

// The part of a name that says its format, as it is written; empty: none does.
std::string known_ending(const std::string& path) {
  const std::string name = lower(name_of(path));
  const std::string_view plain =
      std::string_view(name).substr(0, name.size() - packing(name).size());
  for (const auto& [ending, format] : kEndings)
    if (plain.ends_with(ending))
      return path.substr(path.size() - (name.size() - plain.size()) - ending.size());
  return {};
}

// Whether the file lies in the folder of the one before it.
bool same_folder(const std::string& a, const std::string& b) {
  const auto slash = a.rfind('/');
  return slash == b.rfind('/') && a.compare(0, slash, b, 0, slash) == 0;
}

Status take_values(const std::string& root, const std::string& given, const std::string& first,
                   FoundFiles* out, SourceFile* file) {
  if (!out->last.empty() && same_folder(out->last, given)) {
    file->folder_values = std::as_const(out->files).back().folder_values;
    return {};
  }
  out->last = given;
  ValuesOfFolders here = folder_values(given, root);
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

Result<FoundFiles> find_files(const DatasetRef& ref, const std::vector<std::string>& read_roots,
                              const InspectOptions& options) {
  FileListing listing;
  if (ref.files.empty()) {
    POLYSOME_ASSIGN(listing, list_files(ref.source, options.most_listed));
  }
  for (const auto& path : ref.files) listing.files.push_back({path, false});
  std::vector<std::string> roots;
  for (const auto& root : read_roots) {
    std::error_code ec;
    const fs::path real = fs::canonical(root, ec);
    if (!ec) roots.push_back(real.string());
  }
  FoundFiles out;
  out.format = ref.format;
  out.more = listing.more;
  out.files.reserve(listing.files.size());
  out.first_lines.reserve(listing.files.size());
  const bool open = listing.files.size() <= options.most_opened;
  std::string first, ending;
  for (; !listing.files.empty(); listing.files.pop_front()) {
    ListedFile& found = listing.files.front();
    SourceFile file;
    if (found.real) {
      file.path = std::move(found.path);
    } else {
      std::error_code ec;
      file.path = fs::canonical(found.path, ec).string();
      if (ec) return fail(errno_error("cannot open", found.path, ec.value()));
    }
    // As it was named; links lead elsewhere.
    const std::string& path = found.real ? file.path : found.path;
    if (!read_roots.empty() && !below(file.path, roots))
      return fail(Code::kForbidden, fmt::format("{} is not below a data folder", path));
    POLYSOME_ASSIGN(const FileLook look,
                    open ? look_at_file(file.path) : glance_at_file(file.path));
    file.bytes = look.bytes;
    file.mtime_ns = look.mtime_ns;
    file.fingerprint = look.fingerprint;
    file.compression = look.compression;
    if (file.bytes == 0)
      return fail(Code::kUserData, fmt::format("{} is empty (0 bytes)", name_of(path)),
                  "was it written to its end?");
    // Most files end as the first one does.
    const bool same_ending = !ending.empty() && path.ends_with(ending);
    std::string format = !ref.format.empty() ? ref.format
                         : same_ending       ? out.format
                                             : format_by_name(path);
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
    POLYSOME_TRY(take_values(listing.root, path, first, &out, &file));
    if (first.empty()) {
      first = path;
      ending = known_ending(path);
    }
    out.files.push_back(std::move(file));
    out.first_lines.push_back(look.first_line);
  }
  return out;
}

}  // namespace polysome
