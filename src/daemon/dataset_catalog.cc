#include "daemon/dataset_catalog.h"

#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <cctype>
#include <functional>
#include <optional>
#include <system_error>

#include "base/nearest.h"
#include "model/database_url.h"

namespace polysome {
namespace fs = std::filesystem;
namespace {

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
constexpr std::array<std::string_view, 5> kCompressions{".gz", ".bgz", ".zst", ".zstd", ".gzip"};

bool ends_with(const std::string& lower, std::string_view ending) {
  return lower.size() > ending.size() &&
         lower.compare(lower.size() - ending.size(), ending.size(), ending) == 0;
}

std::string lower(const std::string& s) {
  std::string out = s;
  std::ranges::transform(out, out.begin(), [](unsigned char c) { return std::tolower(c); });
  return out;
}

std::string without_compression(const std::string& name) {
  const std::string l = lower(name);
  for (const auto c : kCompressions)
    if (ends_with(l, c)) return name.substr(0, name.size() - c.size());
  return name;
}

bool has_glob(const std::string& path) { return path.find_first_of("*?[") != std::string::npos; }

// The folder part of a glob that holds no pattern itself.
fs::path fixed_part(const fs::path& glob) {
  fs::path out;
  for (const auto& part : glob) {
    if (has_glob(part.string())) break;
    out /= part;
  }
  return out;
}

// So many names of one folder tell what it holds; so many files of all folders are measured for a
// list: it is the loop's thread that looks.
constexpr std::size_t kNamesOfFolder = 2000;
constexpr std::size_t kMeasuredFiles = 20'000;
// Of a data folder that holds more names only these are listed, and looked at for one that is asked
// for; further ones are found by their usual endings.
constexpr std::size_t kListedNames = 10'000;
constexpr std::size_t kNamesLookedAt = 50'000;

// Bytes of a file or folder; none when that takes more looks than are `left`.
std::optional<std::uint64_t> size_of(const fs::path& path, std::size_t* left) {
  std::error_code ec;
  if (!fs::is_directory(path, ec)) {
    const auto n = fs::file_size(path, ec);
    return ec ? 0 : n;
  }
  std::uint64_t total = 0;
  for (const auto& e : fs::directory_iterator(path, ec)) {
    if (*left == 0) return std::nullopt;
    --*left;
    std::error_code each;
    if (e.is_regular_file(each)) total += e.file_size(each);
    if (e.path().filename().string().find('=') != std::string::npos && e.is_directory(each)) {
      const auto below = size_of(e.path(), left);
      if (!below) return std::nullopt;
      total += *below;
    }
  }
  return total;
}

// A folder counts as a dataset when all its visible files are of one known format (those that are
// looked at); one of key=value folders when the first of them is.
std::string format_of_folder(const fs::path& path) {
  std::string format;
  std::string key_folder;
  std::error_code ec;
  std::size_t looked = 0;
  for (const auto& e : fs::directory_iterator(path, ec)) {
    const auto name = e.path().filename().string();
    std::error_code each;
    if (name.starts_with(".") || name.starts_with("_")) continue;
    if (++looked > kNamesOfFolder) break;
    if (!e.is_regular_file(each)) {
      if (name.find('=') != std::string::npos && name.front() != '=' && e.is_directory(each) &&
          (key_folder.empty() || name < key_folder))
        key_folder = name;
      continue;
    }
    const auto f = format_of_name(name);
    if (f.empty() || (!format.empty() && format != f)) return {};
    format = f;
  }
  return format.empty() && !key_folder.empty() ? format_of_folder(path / key_folder) : format;
}

// What `name` may mean in a folder of very many names.
void look_for(const fs::path& folder, const std::string& name,
              const std::function<void(const fs::directory_entry&)>& look) {
  const auto there = [&](const std::string& file) {
    std::error_code ec;
    const fs::directory_entry e(folder / file, ec);
    if (!ec && e.exists(ec)) look(e);
  };
  if (name.find('/') != std::string::npos || name == "." || name == "..") return;
  there(name);
  for (const auto& [ending, format] : kEndings) {
    there(name + std::string(ending));
    for (const auto c : kCompressions) there(name + std::string(ending) + std::string(c));
  }
}

}  // namespace

std::string format_of_name(const std::string& file_name) {
  const std::string l = lower(without_compression(file_name));
  for (const auto& [ending, format] : kEndings)
    if (ends_with(l, ending)) return std::string(format);
  return {};
}

std::string stem_of_name(const std::string& file_name) {
  const std::string plain = without_compression(file_name);
  const std::string l = lower(plain);
  for (const auto& [ending, format] : kEndings)
    if (ends_with(l, ending)) return plain.substr(0, plain.size() - ending.size());
  return file_name;
}

DatasetCatalog::DatasetCatalog(std::vector<std::string> data_dirs, bool any_path)
    : data_dirs_(std::move(data_dirs)), any_path_(any_path) {}

const StoredDataset* DatasetCatalog::loaded(const std::string& id) const {
  const auto it = loaded_.find(id);
  return it == loaded_.end() ? nullptr : &it->second;
}

bool DatasetCatalog::below_data_dir(const fs::path& real) const {
  if (any_path_) return true;
  for (const auto& dir : data_dirs_) {
    const fs::path root(dir);
    const auto [mismatch, unused] =
        std::mismatch(root.begin(), root.end(), real.begin(), real.end());
    if (mismatch == root.end()) return true;
  }
  return false;
}

Error DatasetCatalog::unknown(const std::string& id, const std::string& pointer) const {
  std::vector<std::string> names;
  for (const auto& [name, d] : loaded_) names.push_back(name);
  for (const auto& e : scan({}, false, nullptr))
    if (!loaded_.contains(e.id)) names.push_back(e.id);
  std::string some;
  for (std::size_t i = 0; i < names.size() && i < 3; ++i) some += (i > 0 ? ", " : "") + names[i];
  if (names.size() > 3) some += ", …";
  std::string where;
  for (const auto& dir : data_dirs_) where += (where.empty() ? "" : ", ") + dir;
  const auto close = nearest(id, names);
  std::string message =
      fmt::format("no dataset \"{}\" in {} ({} dataset{}{}{})", id, where, names.size(),
                  names.size() == 1 ? "" : "s", names.empty() ? "" : ": ", some);
  if (close) message += fmt::format(". Did you mean \"{}\"?", *close);
  return Error(Code::kInvalid, message,
               "A file elsewhere: polysome load NAME PATH, or serve --data-dir DIR.")
      .at(pointer);
}

Result<std::string> DatasetCatalog::resolve_path(const std::string& path,
                                                 const std::string& pointer) const {
  std::vector<fs::path> candidates;
  if (fs::path(path).is_absolute())
    candidates.emplace_back(path);
  else
    for (const auto& dir : data_dirs_) candidates.push_back(fs::path(dir) / path);
  for (const auto& c : candidates) {
    std::error_code ec;
    const bool glob = has_glob(path) && !fs::exists(c, ec);
    const fs::path fixed = glob ? fixed_part(c) : c;
    const fs::path real = fs::canonical(fixed, ec);
    if (ec) continue;
    if (!below_data_dir(real)) {
      std::string where;
      for (const auto& dir : data_dirs_) where += (where.empty() ? "" : ", ") + dir;
      return fail(Error(Code::kInvalid,
                        fmt::format("{} is not below a data folder ({})", path, where),
                        "start the service with --data-dir for its folder")
                      .at(pointer));
    }
    if (glob) return (real / c.lexically_relative(fixed)).string();
    return real.string();
  }
  return fail(Error(Code::kInvalid, fmt::format("there is no file or folder {}", path),
                    "a path is absolute, or relative to a data folder")
                  .at(pointer));
}

Result<std::string> DatasetCatalog::resolve_source(const std::string& source,
                                                   const std::string& pointer) const {
  if (!is_url(source)) return resolve_path(source, pointer);
  auto url = parse_database_url(source);
  if (!url) return fail(std::move(url.error()).at(pointer));
  if (url->kind == DatabaseUrl::Kind::kSqlite) {
    auto path = resolve_path(url->path, pointer);
    // sqlite:///srv/x.db, with a slash too few, is what most people write.
    std::error_code ec;
    if (!path && !url->path.starts_with('/') && fs::exists("/" + url->path, ec))
      path = resolve_path("/" + url->path, pointer);
    if (!path) return fail(path.error());
    url->path = std::move(*path);
  }
  return url->text();
}

Result<DatasetRef> DatasetCatalog::at_top(const std::string& id, const std::string& pointer) const {
  std::vector<Entry> found;
  if (!id.empty())  // which would be all of them
    for (auto& e : scan(id, false, nullptr)) found.push_back(std::move(e));
  if (found.size() > 1) {
    std::string both;
    for (const auto& e : found) both += (both.empty() ? "" : " and ") + e.source;
    return fail(Error(Code::kConflict, fmt::format("\"{}\" could be {}", id, both),
                      "name the file with its ending, or load one under a name of its own")
                    .at(pointer));
  }
  if (found.empty()) return fail(unknown(id, pointer));
  auto source = resolve_path(found[0].source, pointer);
  if (!source) return fail(source.error());
  DatasetRef ref;
  ref.id = id;
  ref.source = *source;
  return ref;
}

Result<DatasetRef> DatasetCatalog::resolve(const std::string& id,
                                           const std::string& pointer) const {
  if (const auto* known = loaded(id)) return known->ref;
  if (id.starts_with("job:")) {
    const auto slash = id.find('/');
    const auto job = JobId::parse(
        std::string_view(id).substr(4, slash == std::string::npos ? slash : slash - 4));
    if (!job)
      return fail(Error(Code::kInvalid, fmt::format("\"{}\" does not name a job's result", id),
                        "write job:<job_id> or job:<job_id>/<table>")
                      .at(pointer));
    DatasetRef ref;
    ref.id = id;
    ref.source = id;
    return ref;
  }
  if (is_url(id)) {
    DatasetRef ref;
    POLYSOME_ASSIGN(ref.source, resolve_source(id, pointer));
    ref.id = ref.source;
    return ref;
  }
  const bool path_like = id.find('/') != std::string::npos || has_glob(id);
  if (!path_like) {
    auto top = at_top(id, pointer);
    if (top || top.error().code == Code::kConflict) return top;
    if (id.empty() || id == "." || id == "..") return fail(unknown(id, pointer));
    auto as_path = resolve_path(id, pointer);
    if (!as_path) return top;
    DatasetRef ref;
    ref.id = id;
    ref.source = *as_path;
    return ref;
  }
  POLYSOME_ASSIGN(std::string source, resolve_path(id, pointer));
  DatasetRef ref;
  ref.id = id;
  ref.source = std::move(source);
  return ref;
}

std::vector<DatasetCatalog::Entry> DatasetCatalog::scan(const std::string& wanted, bool sizes,
                                                        bool* more) const {
  std::vector<Entry> out;
  std::size_t left = kMeasuredFiles;
  const auto look = [&](const fs::directory_entry& e) {
    const auto name = e.path().filename().string();
    std::error_code each;
    Entry entry;
    entry.source = e.path().string();
    const bool folder = e.is_directory(each);
    entry.id = folder ? name : stem_of_name(name);
    if (name.starts_with(".") || (!wanted.empty() && entry.id != wanted && name != wanted)) return;
    if (folder)
      entry.format = format_of_folder(e.path());
    else if (e.is_regular_file(each))
      entry.format = format_of_name(name);
    if (entry.format.empty()) return;
    if (sizes) entry.bytes = size_of(e.path(), &left);
    out.push_back(std::move(entry));
  };
  for (const auto& dir : data_dirs_) {
    std::error_code ec;
    std::size_t names = 0;
    for (const auto& e : fs::directory_iterator(dir, ec)) {
      if (++names <= (wanted.empty() ? kListedNames : kNamesLookedAt)) {
        look(e);
        continue;
      }
      if (more != nullptr) *more = true;
      if (!wanted.empty()) look_for(dir, wanted, look);
      break;
    }
  }
  std::ranges::sort(out, {}, &Entry::id);
  const auto same = [](const Entry& a, const Entry& b) { return a.source == b.source; };
  out.erase(std::unique(out.begin(), out.end(), same), out.end());
  return out;
}

std::vector<DatasetCatalog::Entry> DatasetCatalog::list(bool* more_than_listed) const {
  std::vector<Entry> out;
  for (const auto& [id, d] : loaded_)
    out.push_back({id, d.ref.source, d.record.value("format", d.ref.format),
                   d.record.value("total_size_bytes", std::uint64_t{0}), true});
  for (auto& e : scan({}, true, more_than_listed))
    if (!loaded_.contains(e.id)) out.push_back(std::move(e));
  return out;
}

}  // namespace polysome
