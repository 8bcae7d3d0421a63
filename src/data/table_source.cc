#include "data/table_source.h"

#include <fmt/format.h>
#include <xxhash.h>

#include <algorithm>
#include <utility>

#include "base/nearest.h"
#include "data/arrow_source.h"
#include "data/column_list.h"
#include "data/database_source.h"
#include "data/dataset_layout.h"
#include "data/file_look.h"
#include "data/parquet_source.h"
#include "data/source_files.h"
#include "data/text_source.h"
#include "data/type_guess.h"

namespace polysome {
namespace {

bool is_text(const std::string& format) { return is_delimited(format) || format == "ndjson"; }

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
      return fail(Error(Code::kUserData, fmt::format("column \"{}\" is not in dataset {}{}", name,
                                                     source->id, did_you_mean(name, names)))
                      .at("/columns"));
    places.push_back(static_cast<std::uint32_t>(it - names.begin()));
    kept.push_back(source->columns[places.back()]);
  }
  const bool by_place = is_delimited(source->format);
  for (auto& file : source->files) {
    if (file.fields.empty() && !by_place) continue;
    std::vector<std::uint32_t> fields;
    for (const auto place : places) {
      const bool folder = source->columns[place].from == "folder";
      fields.push_back(folder ? kAbsent : file.fields.empty() ? place : file.fields[place]);
    }
    file.fields = std::move(fields);
  }
  source->columns = std::move(kept);
  return {};
}

// Names of folders become columns, after those of the files. A column of that name in the files
// gives way, as elsewhere (Hive, Spark, Arrow).
void add_folder_columns(TableSource* source, const Json& layout) {
  for (std::size_t k = 0; k < source->folder_keys.size(); ++k) {
    const std::string& key = source->folder_keys[k];
    TypeGuess guess;
    for (const auto& file : std::as_const(source->files))
      if (file.folder_values[k]) guess.see(*file.folder_values[k], {}, {});
    SourceColumn column{key, std::string(name(guess.type(true))), "folder"};
    if (layout.contains("types") && layout["types"].contains(key))
      column.type = layout["types"][key].get<std::string>();
    const auto same = std::ranges::find(source->columns, key, &SourceColumn::name);
    if (same == source->columns.end()) {
      source->columns.push_back(std::move(column));
      for (auto& file : source->files)
        if (!file.fields.empty()) file.fields.push_back(kAbsent);
      continue;
    }
    *same = std::move(column);
    Json& warnings = source->dialect["warnings"];
    if (warnings.is_null()) warnings = Json::array();
    warnings.push_back(
        {{"code", "folder_column"},
         {"count", 1},
         {"message", fmt::format("column \"{}\" is taken from the folders' names, not from the "
                                 "files, which have one too",
                                 key)}});
  }
}

// ---- files that differ: read apart, put one after another ----

bool alike(const SourceFile& a, const SourceFile& b) {
  if (a.row_fields != b.row_fields || a.folder_values != b.folder_values) return false;
  if (a.fields.empty() && b.fields.empty()) return true;
  const std::size_t n = std::max(a.fields.size(), b.fields.size());
  for (std::size_t c = 0; c < n; ++c) {
    const bool lacks_a = c < a.fields.size() && a.fields[c] == kAbsent;
    const bool lacks_b = c < b.fields.size() && b.fields[c] == kAbsent;
    if (lacks_a != lacks_b) return false;
  }
  return true;
}

std::string sql_type(const std::string& type) {
  if (type == "int64") return "BIGINT";
  if (type == "double") return "DOUBLE";
  if (type == "bool") return "BOOLEAN";
  if (type == "date") return "DATE";
  if (type == "timestamp") return "TIMESTAMP";
  if (type == "string") return "VARCHAR";
  return type;
}

// The columns that these files have themselves, and a select list that makes the dataset's of them.
struct Part {
  TableSource source;
  std::vector<Partition> partitions;
  std::string select;
  std::uint64_t bytes = 0;
};

Part part_of(const TableSource& source, const SourceFile& file) {
  Part out;
  out.source.id = source.id;
  out.source.format = source.format;
  out.source.dialect = source.dialect;
  out.source.on_bad_value = source.on_bad_value;
  if (file.row_fields > 0) out.source.dialect["fields"] = file.row_fields;
  for (std::size_t c = 0; c < source.columns.size(); ++c) {
    const SourceColumn& column = source.columns[c];
    const std::string quoted = sql_identifier(column.name);
    if (!out.select.empty()) out.select += ", ";
    const auto key = column.from == "folder" ? std::ranges::find(source.folder_keys, column.name)
                                             : source.folder_keys.end();
    if (key != source.folder_keys.end()) {
      const auto& value =
          file.folder_values[static_cast<std::size_t>(key - source.folder_keys.begin())];
      out.select += fmt::format("CAST({} AS {}) AS {}", value ? sql_text(*value) : "NULL",
                                sql_type(column.type), quoted);
    } else if (c < file.fields.size() && file.fields[c] == kAbsent) {
      out.select += fmt::format("CAST(NULL AS {}) AS {}", sql_type(column.type), quoted);
    } else {
      out.select += quoted;
      out.source.columns.push_back(column);
    }
  }
  // Rows are counted by some column, also where none of the files' own is wanted.
  if (out.source.columns.empty()) out.source.columns.push_back({"ps_row", "string", "guessed"});
  return out;
}

void add_file(const TableSource& source, std::uint32_t index, Part* part) {
  SourceFile file = source.files[index];
  if (is_delimited(source.format)) {
    std::vector<std::uint32_t> fields;
    bool in_order = true;
    for (std::size_t c = 0; c < source.columns.size(); ++c) {
      const auto field = file.fields.empty() ? static_cast<std::uint32_t>(c) : file.fields[c];
      if (source.columns[c].from == "folder" || field == kAbsent) continue;
      in_order = in_order && field == fields.size();
      fields.push_back(field);
    }
    file.fields = in_order ? std::vector<std::uint32_t>{} : std::move(fields);
  } else {
    file.fields.clear();
  }
  file.row_fields = 0;
  file.folder_values = {};
  part->source.files.push_back(std::move(file));
}

std::vector<Part> parts_of(const TableSource& source, const std::vector<Partition>& partitions) {
  std::vector<Part> out;
  std::uint32_t before = 0;
  for (const auto& p : partitions) {
    const bool fresh = out.empty() || !alike(source.files[before], source.files[p.file]);
    if (fresh) out.push_back(part_of(source, source.files[p.file]));
    if (fresh || p.file != before) add_file(source, p.file, &out.back());
    Partition here = p;
    here.file = static_cast<std::uint32_t>(out.back().source.files.size() - 1);
    out.back().partitions.push_back(here);
    out.back().bytes += p.bytes;
    before = p.file;
  }
  if (out.empty() && !source.files.empty()) {
    out.push_back(part_of(source, source.files.front()));
    add_file(source, 0, &out.back());
  }
  return out;
}

Result<std::shared_ptr<ScanReport>> open_plain_view(Session& session, const std::string& view,
                                                    const TableSource& source,
                                                    const std::vector<Partition>& partitions,
                                                    const ScanOptions& options) {
  if (source.format == "arrow") return open_arrow_view(session, view, source, partitions, options);
  return is_text(source.format) ? open_text_view(session, view, source, partitions, options)
                                : open_parquet_view(session, view, source, partitions, options);
}

Result<std::shared_ptr<ScanReport>> open_joined_view(Session& session, const std::string& view,
                                                     const TableSource& source,
                                                     const std::vector<Partition>& partitions,
                                                     const ScanOptions& options) {
  auto report = std::make_shared<ScanReport>();
  std::string sql;
  std::uint64_t before = 0;
  std::size_t n = 0;
  for (const auto& part : parts_of(source, partitions)) {
    const std::string name = fmt::format("{}#{}", view, n++);
    ScanOptions here = options;
    if (n > 1) here.start_inside_quotes = false;  // it begins with a file
    if (options.progress)
      here.progress = [told = options.progress, before](std::uint64_t b) { told(before + b); };
    POLYSOME_ASSIGN(auto one, open_plain_view(session, name, part.source, part.partitions, here));
    report->parts.push_back(std::move(one));
    sql += fmt::format("{}SELECT {} FROM {}", sql.empty() ? "" : " UNION ALL ", part.select,
                       sql_identifier(name));
    before += part.bytes;
  }
  POLYSOME_TRY(
      session.run(fmt::format("CREATE OR REPLACE TEMP VIEW {} AS {}", sql_identifier(view), sql)));
  return report;
}

}  // namespace

bool reads_alike(const TableSource& source) {
  return source.folder_keys.empty() && source.files.facts().same_columns;
}

bool is_numeric(const SourceColumn& column) {
  return column.type == "int64" || column.type == "double" || column.type == "HUGEINT" ||
         column.type == "UBIGINT" || column.type == "UHUGEINT" ||
         column.type.starts_with("DECIMAL");
}

bool is_delimited(const std::string& format) {
  return format == "csv" || format == "tsv" || format == "gct";
}

bool TableSource::splittable() const {
  if (format == "json" || is_database(format)) return false;
  return !files.facts().compressed;
}

std::uint64_t TableSource::total_bytes() const { return files.facts().bytes; }

std::string TableSource::fingerprint() const {
  // Of very many files the ends are not looked at for an answer.
  const bool ends = files.size() <= kMostOpened;
  std::string all;
  std::size_t n = 0;
  for (const auto& f : files) {
    if (n++ == kMostListed) break;
    fmt::format_to(std::back_inserter(all), "{}\n{}\n{}\n{:x}\n", f.path, f.bytes, f.mtime_ns,
                   ends ? f.fingerprint : 0);
  }
  return fmt::format("{:016x}", XXH3_64bits(all.data(), all.size()));
}

Json TableSource::to_json(bool with_files) const {
  Json file_list = Json::array();
  const FileList none;
  for (const auto& f : with_files ? files : none) {
    Json j = {{"path", f.path}, {"bytes", f.bytes}, {"mtime_ns", f.mtime_ns}};
    if (!f.compression.empty()) j["compression"] = f.compression;
    if (f.rows) j["rows"] = *f.rows;
    if (f.data_offset > 0) j["data_offset"] = f.data_offset;
    if (!f.fields.empty()) j["fields"] = f.fields;
    if (!f.groups.empty()) j["groups"] = f.groups;
    if (!f.cuts.empty()) j["cuts"] = f.cuts;
    if (!f.shown_as.empty()) j["shown_as"] = f.shown_as;
    if (f.first_line != 1) j["first_line"] = f.first_line;
    if (f.row_fields > 0) j["row_fields"] = f.row_fields;
    if (f.fingerprint != 0) j["fingerprint"] = f.fingerprint;
    if (!f.folder_values.empty()) {
      Json values = Json::array();
      for (const auto& v : f.folder_values) values.push_back(v ? Json(*v) : Json());
      j["folder_values"] = std::move(values);
    }
    file_list.push_back(std::move(j));
  }
  return {{"id", id},
          {"format", format},
          {"files", std::move(file_list)},
          {"columns", pack_columns(columns)},
          {"dialect", dialect},
          {"folder_keys", folder_keys},
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
      if (f.contains("cuts")) file.cuts = f["cuts"].get<std::vector<std::uint64_t>>();
      file.shown_as = f.value("shown_as", "");
      file.first_line = f.value("first_line", std::uint64_t{1});
      file.row_fields = f.value("row_fields", std::uint32_t{0});
      file.fingerprint = f.value("fingerprint", std::uint64_t{0});
      if (const auto values = f.find("folder_values"); values != f.end()) {
        FolderValues::List list;
        for (const auto& v : *values)
          list.push_back(v.is_null() ? std::nullopt : std::optional(v.get<std::string>()));
        file.folder_values = FolderValues(std::move(list));
      }
      s.files.push_back(std::move(file));
    }
    s.columns = unpack_columns(j.at("columns"));
    s.dialect = j.at("dialect");
    s.folder_keys = j.at("folder_keys").get<std::vector<std::string>>();
    s.on_bad_value = j.at("on_bad_value").get<std::string>();
    return s;
  } catch (const std::exception& e) {
    return fail(Code::kInternal, std::string("unreadable table source: ") + e.what());
  }
}

Result<TableSource> inspect(Session& session, const DatasetRef& ref,
                            const std::vector<std::string>& read_roots,
                            const std::string& on_bad_value, const InspectOptions& options) {
  if (ref.files.empty() && is_url(ref.source)) {
    static const Connections kNone;
    POLYSOME_ASSIGN(
        TableSource table,
        inspect_database(ref, read_roots,
                         options.connections != nullptr ? *options.connections : kNone));
    table.on_bad_value = on_bad_value;
    if (ref.layout.contains("columns")) POLYSOME_TRY(keep_columns(&table, ref.layout["columns"]));
    POLYSOME_TRY(tell_layout(session, &table, ref.layout));
    return table;
  }
  POLYSOME_ASSIGN(FoundFiles found, find_files(ref, read_roots, options));
  TableSource source;
  source.id = ref.id;
  source.format = found.format;
  source.files = std::move(found.files);
  source.on_bad_value = on_bad_value;
  source.folder_keys = std::move(found.keys);
  source.more_files = found.more;
  if (source.format == "parquet")
    POLYSOME_TRY(inspect_parquet(session, &source, ref.layout, options));
  else if (source.format == "arrow")
    POLYSOME_TRY(inspect_arrow(session, &source, ref.layout, options));
  else if (source.format == "json")
    POLYSOME_TRY(inspect_json(session, &source, ref.layout));
  else if (source.format == "ndjson")
    POLYSOME_TRY(inspect_ndjson(&source, ref.layout, options));
  else
    POLYSOME_TRY(inspect_delimited(&source, ref.layout, options, found.first_lines));
  add_folder_columns(&source, ref.layout);
  if (ref.layout.contains("columns")) POLYSOME_TRY(keep_columns(&source, ref.layout["columns"]));
  POLYSOME_TRY(tell_layout(session, &source, ref.layout));
  return source;
}

Result<std::vector<Partition>> cut(const TableSource& source, std::uint64_t partition_size) {
  if (partition_size == 0) return fail(Code::kInvalid, "partition_size must be at least 1 byte");
  if (is_text(source.format)) return cut_text(source, partition_size);
  return cut_parquet(source, partition_size);
}

Status check_unchanged(const TableSource& source, const std::vector<Partition>& partitions) {
  std::uint32_t checked = UINT32_MAX;
  for (const auto& p : partitions) {
    if (p.file >= source.files.size())
      return fail(Code::kInternal, "a partition of a file that is not there");
    if (p.file == checked) continue;
    POLYSOME_TRY(check_unchanged(source.files[p.file]));
    checked = p.file;
  }
  return {};
}

ScanReport ScanReport::total() const {
  settle_now();
  ScanReport out = *this;
  out.parts.clear();
  for (const auto& p : parts) {
    out.bytes += p->bytes;
    out.rows += p->rows;
    out.bad_values += p->bad_values;
    out.short_rows += p->short_rows;
    out.long_rows += p->long_rows;
    // A part begins with a file, outside quotes: the last one's end holds for both starts.
    out.ends_inside_if_outside = p->ends_inside_if_outside;
    out.ends_inside_if_inside = p->ends_inside_if_inside;
  }
  return out;
}

Result<std::shared_ptr<ScanReport>> open_view(Session& session, const std::string& view,
                                              const TableSource& source,
                                              std::vector<Partition> partitions,
                                              const ScanOptions& options) {
  // A scan of text looks for itself, at what it maps.
  if (!is_text(source.format)) POLYSOME_TRY(check_unchanged(source, partitions));
  if (reads_alike(source)) return open_plain_view(session, view, source, partitions, options);
  return open_joined_view(session, view, source, partitions, options);
}

}  // namespace polysome
