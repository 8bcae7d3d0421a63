#include "data/source_files.h"

#include <fmt/format.h>
#include <glob.h>

#include <algorithm>
#include <array>
#include <cctype>
#include <filesystem>

#include "base/files.h"
#include "data/decompress.h"
#include "data/file_map.h"
#include "data/text_source.h"

namespace polysome {
namespace {
namespace fs = std::filesystem;

constexpr std::array<std::pair<std::string_view, std::string_view>, 9> kEndings{{
    {".csv", "csv"},
    {".tsv", "tsv"},
    {".txt", "tsv"},
    {".tab", "tsv"},
    {".parquet", "parquet"},
    {".pq", "parquet"},
    {".ndjson", "ndjson"},
    {".jsonl", "ndjson"},
    {".json", "json"},
}};

std::string lower(std::string s) {
  std::ranges::transform(s, s.begin(), [](unsigned char c) { return std::tolower(c); });
  return s;
}

bool visible(const fs::path& path) {
  const auto name = path.filename().string();
  return !name.empty() && name.front() != '.' && name.front() != '_';
}

Result<std::vector<std::string>> expand(const std::string& source) {
  std::vector<std::string> out;
  std::error_code ec;
  if (fs::is_directory(source, ec)) {
    for (const auto& e : fs::directory_iterator(source, ec)) {
      std::error_code each;
      if (e.is_regular_file(each) && visible(e.path())) out.push_back(e.path().string());
    }
    if (ec) return fail(errno_error("cannot list", source, ec.value()));
    std::ranges::sort(out);
    if (out.empty())
      return fail(Code::kUserData, fmt::format("the folder {} holds no files", source));
    return out;
  }
  if (fs::exists(source, ec)) return std::vector{source};
  if (source.find_first_of("*?[") == std::string::npos)
    return fail(Code::kIo, fmt::format("{} is not there", source), "was it moved or renamed?");
  glob_t found{};
  const int status = ::glob(source.c_str(), 0, nullptr, &found);
  for (std::size_t i = 0; status == 0 && i < found.gl_pathc; ++i) {
    std::error_code each;
    if (fs::is_regular_file(found.gl_pathv[i], each) && visible(found.gl_pathv[i]))
      out.emplace_back(found.gl_pathv[i]);
  }
  ::globfree(&found);
  if (out.empty()) return fail(Code::kUserData, fmt::format("no file matches {}", source));
  return out;
}

// A data folder may be given through a link.
bool below(const fs::path& real, const std::vector<std::string>& roots) {
  return std::ranges::any_of(roots, [&](const std::string& root) {
    std::error_code ec;
    const fs::path r = fs::canonical(root, ec);
    return !ec && std::mismatch(r.begin(), r.end(), real.begin(), real.end()).first == r.end();
  });
}

// For names without a known ending.
Result<std::string> format_by_content(const SourceFile& file) {
  const auto sample = head_sample(file, 4096);
  if (!sample) return fail(sample.error());
  const std::string& text = sample->text;
  if (text.starts_with("PAR1")) return std::string("parquet");
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

Result<FoundFiles> find_files(const DatasetRef& ref, const std::vector<std::string>& read_roots) {
  std::vector<std::string> paths = ref.files;
  if (paths.empty()) {
    POLYSOME_ASSIGN(paths, expand(ref.source));
  }
  FoundFiles out;
  out.format = ref.format;
  std::string first;
  for (const auto& path : paths) {
    std::error_code ec;
    const fs::path real = fs::canonical(path, ec);
    if (ec) return fail(errno_error("cannot open", path, ec.value()));
    if (!read_roots.empty() && !below(real, read_roots))
      return fail(Code::kForbidden, fmt::format("{} is not below a data folder", path));
    SourceFile file;
    file.path = real.string();
    POLYSOME_ASSIGN(const FileStamp stamp, stamp_of(file.path));
    file.bytes = stamp.bytes;
    file.mtime_ns = stamp.mtime_ns;
    if (file.bytes == 0)
      return fail(Code::kUserData,
                  fmt::format("{} is empty (0 bytes)", fs::path(path).filename().string()),
                  "was it written to its end?");
    POLYSOME_ASSIGN(file.compression, compression_of(file.path));
    std::string format = ref.format.empty() ? format_by_name(path) : ref.format;
    if (format.empty()) {
      POLYSOME_ASSIGN(format, format_by_content(file));
    }
    if (format == "parquet") file.compression.clear();
    if (!out.format.empty() && format != out.format)
      return fail(
          Code::kUserData,
          fmt::format("{} is {}, but {} is {}", fs::path(path).filename().string(), format,
                      fs::path(first).filename().string(), out.format),
          "a dataset is made of files of one format; name them by a glob, such as folder/*.csv");
    out.format = format;
    if (first.empty()) first = path;
    out.files.push_back(std::move(file));
  }
  return out;
}

}  // namespace polysome
