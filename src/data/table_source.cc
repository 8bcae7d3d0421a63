#include "data/table_source.h"

#include <fcntl.h>
#include <fmt/format.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cstring>

#include "base/files.h"
#include "base/nearest.h"
#include "data/parquet_source.h"
#include "data/source_files.h"
#include "data/text_source.h"

namespace polysome {
namespace {

constexpr std::size_t kRecordBytes = 40;

bool is_text(const std::string& format) {
  return format == "csv" || format == "tsv" || format == "ndjson";
}

void put(char* to, std::uint64_t value) {
  for (int i = 0; i < 8; ++i) to[i] = static_cast<char>(value >> (8 * i));
}
std::uint64_t get(const char* from) {
  std::uint64_t value = 0;
  for (int i = 0; i < 8; ++i)
    value |= static_cast<std::uint64_t>(static_cast<unsigned char>(from[i])) << (8 * i);
  return value;
}

Partition record(const char* at) {
  return {static_cast<std::uint32_t>(get(at)), get(at + 8), get(at + 16), get(at + 24),
          get(at + 32)};
}

// Only these columns are offered; their fields stay where they are in the files.
Status keep_columns(TableSource* source, const Json& wanted) {
  std::vector<std::string> names;
  for (const auto& c : source->columns) names.push_back(c.name);
  std::vector<SourceColumn> kept;
  std::vector<std::uint32_t> places;
  for (const auto& w : wanted) {
    const auto name = w.get<std::string>();
    const auto it = std::ranges::find(names, name);
    if (it == names.end())
      return fail(Code::kUserData, fmt::format("column \"{}\" is not in dataset {}{}", name,
                                               source->id, did_you_mean(name, names)));
    places.push_back(static_cast<std::uint32_t>(it - names.begin()));
    kept.push_back(source->columns[places.back()]);
  }
  if (source->format == "csv" || source->format == "tsv")
    for (auto& file : source->files) {
      std::vector<std::uint32_t> fields;
      for (const auto place : places)
        fields.push_back(file.fields.empty() ? place : file.fields[place]);
      file.fields = std::move(fields);
    }
  source->columns = std::move(kept);
  return {};
}

}  // namespace

bool is_numeric(const SourceColumn& column) {
  return column.type == "int64" || column.type == "double" || column.type == "HUGEINT" ||
         column.type == "UBIGINT" || column.type == "UHUGEINT" ||
         column.type.starts_with("DECIMAL");
}

bool TableSource::splittable() const {
  if (format == "json") return false;
  return std::ranges::all_of(files, [](const SourceFile& f) { return f.compression.empty(); });
}

std::uint64_t TableSource::total_bytes() const {
  std::uint64_t total = 0;
  for (const auto& f : files) total += f.bytes;
  return total;
}

Json TableSource::to_json() const {
  Json file_list = Json::array();
  for (const auto& f : files) {
    Json j = {{"path", f.path}, {"bytes", f.bytes}, {"mtime_ns", f.mtime_ns}};
    if (!f.compression.empty()) j["compression"] = f.compression;
    if (f.rows) j["rows"] = *f.rows;
    if (f.data_offset > 0) j["data_offset"] = f.data_offset;
    if (!f.fields.empty()) j["fields"] = f.fields;
    if (!f.groups.empty()) j["groups"] = f.groups;
    if (!f.shown_as.empty()) j["shown_as"] = f.shown_as;
    if (f.first_line != 1) j["first_line"] = f.first_line;
    file_list.push_back(std::move(j));
  }
  Json column_list = Json::array();
  for (const auto& c : columns) column_list.push_back({c.name, c.type, c.from});
  return {{"id", id},
          {"format", format},
          {"files", std::move(file_list)},
          {"columns", std::move(column_list)},
          {"dialect", dialect},
          {"on_bad_value", on_bad_value}};
}

Result<TableSource> TableSource::from_json(const Json& j) {
  try {
    TableSource s;
    s.id = j.at("id").get<std::string>();
    s.format = j.at("format").get<std::string>();
    for (const auto& f : j.at("files")) {
      SourceFile file;
      file.path = f.at("path").get<std::string>();
      file.bytes = f.at("bytes").get<std::uint64_t>();
      file.mtime_ns = f.at("mtime_ns").get<std::int64_t>();
      file.compression = f.value("compression", "");
      if (f.contains("rows")) file.rows = f["rows"].get<std::uint64_t>();
      file.data_offset = f.value("data_offset", std::uint64_t{0});
      if (f.contains("fields")) file.fields = f["fields"].get<std::vector<std::uint32_t>>();
      if (f.contains("groups")) file.groups = f["groups"].get<std::vector<std::uint64_t>>();
      file.shown_as = f.value("shown_as", "");
      file.first_line = f.value("first_line", std::uint64_t{1});
      s.files.push_back(std::move(file));
    }
    for (const auto& c : j.at("columns"))
      s.columns.push_back(
          {c.at(0).get<std::string>(), c.at(1).get<std::string>(), c.at(2).get<std::string>()});
    s.dialect = j.at("dialect");
    s.on_bad_value = j.at("on_bad_value").get<std::string>();
    return s;
  } catch (const std::exception& e) {
    return fail(Code::kInternal, std::string("unreadable table source: ") + e.what());
  }
}

Result<TableSource> inspect(Session& session, const DatasetRef& ref,
                            const std::vector<std::string>& read_roots,
                            const std::string& on_bad_value) {
  POLYSOME_ASSIGN(FoundFiles found, find_files(ref, read_roots));
  TableSource source;
  source.id = ref.id;
  source.format = found.format;
  source.files = std::move(found.files);
  source.on_bad_value = on_bad_value;
  if (source.format == "parquet")
    POLYSOME_TRY(inspect_parquet(session, &source));
  else if (source.format == "json")
    POLYSOME_TRY(inspect_json(session, &source));
  else if (source.format == "ndjson")
    POLYSOME_TRY(inspect_ndjson(&source, ref.layout));
  else
    POLYSOME_TRY(inspect_delimited(&source, ref.layout));
  if (ref.layout.contains("columns")) POLYSOME_TRY(keep_columns(&source, ref.layout["columns"]));
  return source;
}

Result<std::vector<Partition>> cut(const TableSource& source, std::uint64_t partition_size) {
  if (partition_size == 0) return fail(Code::kInvalid, "partition_size must be at least 1 byte");
  if (is_text(source.format)) return cut_text(source, partition_size);
  return cut_parquet(source, partition_size);
}

Status write_partitions(const std::string& path, const std::vector<Partition>& partitions) {
  std::string bytes(partitions.size() * kRecordBytes, '\0');
  char* at = bytes.data();
  for (const auto& p : partitions) {
    put(at, p.file);
    put(at + 8, p.offset);
    put(at + 16, p.length);
    put(at + 24, p.bytes);
    put(at + 32, p.rows);
    at += kRecordBytes;
  }
  return write_file(path, bytes, false);
}

Result<Partition> read_partition(const std::string& path, std::uint32_t index) {
  const int fd = ::open(path.c_str(), O_RDONLY | O_CLOEXEC);
  if (fd < 0) return fail(errno_error("cannot open", path, errno));
  std::array<char, kRecordBytes> bytes{};
  const ssize_t n =
      ::pread(fd, bytes.data(), bytes.size(), static_cast<off_t>(index * kRecordBytes));
  ::close(fd);
  if (n != static_cast<ssize_t>(kRecordBytes))
    return fail(Code::kIo, fmt::format("{} has no partition {}", path, index));
  return record(bytes.data());
}

Result<std::vector<Partition>> read_partitions(const std::string& path) {
  POLYSOME_ASSIGN(const std::string bytes, read_file(path));
  if (bytes.size() % kRecordBytes != 0) return fail(Code::kIo, path + " is cut off");
  std::vector<Partition> out;
  for (std::size_t at = 0; at < bytes.size(); at += kRecordBytes)
    out.push_back(record(bytes.data() + at));
  return out;
}

Result<std::shared_ptr<ScanReport>> open_view(Session& session, const std::string& view,
                                              const TableSource& source,
                                              std::vector<Partition> partitions,
                                              const ScanOptions& options) {
  return is_text(source.format) ? open_text_view(session, view, source, partitions, options)
                                : open_parquet_view(session, view, source, partitions, options);
}

}  // namespace polysome
