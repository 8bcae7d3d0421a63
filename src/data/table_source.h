// A dataset as a worker sees it: files found, format and dialect told, columns typed, cut into
// partitions, and readable in SQL. Made once by the planner (inspect + partition), written into the
// plan as JSON and a partition table file, opened again by each task. One thread.
#pragma once

#include <atomic>
#include <cstdint>
#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "data/file_list.h"
#include "kernels/session.h"
#include "model/job.h"

namespace polysome {

class Connections;

struct SourceColumn {
  std::string name;
  std::string type;  // int64, double, bool, date, timestamp, string; other DuckDB names for Parquet
  std::string from;  // declared, format, guessed, nested (Parquet, as JSON text), folder
};
bool is_numeric(const SourceColumn& column);
// Rows of fields between separators: csv, tsv, gct.
bool is_delimited(const std::string& format);

// One piece of a dataset: a byte range of a text file or row range of a Parquet file.
struct Partition {
  std::uint32_t file = 0;
  std::uint64_t offset = 0;  // bytes (text) or first row (Parquet)
  std::uint64_t length = 0;  // bytes or rows
  std::uint64_t bytes = 0;   // weight in progress
  std::uint64_t rows = 0;    // 0: unknown
};

// Answers within a second look no further: at files' ends and beginnings, at names and sizes.
inline constexpr std::size_t kMostOpened = 1000;
inline constexpr std::size_t kMostListed = 100'000;

struct TableSource {
  std::string id;      // dataset's name for messages
  std::string format;  // csv, tsv, parquet, ndjson, json
  FileList files;
  std::vector<SourceColumn> columns;
  Json dialect = Json::object();  // text: delimiter, quote, comment, header, decimal, null_values …
  std::string on_bad_value = "fail";
  std::vector<std::string> folder_keys;  // key=value folders: columns of these names
  bool more_files = false;  // there are more than `files` (InspectOptions::most_listed)

  bool splittable() const;  // false: compressed text, JSON array, database; needs unpack first
  std::uint64_t total_bytes() const;
  // Of all its files; changes with any of them, or of the first kMostListed. Of more than
  // kMostOpened it does not tell a file from one of the same size and time.
  std::string fingerprint() const;
  // `with_files`: else they are kept elsewhere (FileList::write).
  Json to_json(bool with_files = true) const;
  static Result<TableSource> from_json(const Json& j);
};

// How closely inspect() looks. Headers of all files are read for a job; an answer within a second
// looks at some and takes the others to be alike.
struct InspectOptions {
  std::size_t most_files = SIZE_MAX;         // whose headers are read
  std::size_t most_opened = SIZE_MAX;        // of more files only names, sizes and times are taken
  std::size_t most_listed = SIZE_MAX;        // further ones are left out (TableSource::more_files)
  const Connections* connections = nullptr;  // to databases
};
// Finds the files (path, folder of one kind, key=value folders, glob; hidden and empty-named ones
// are skipped, order by name), tells format, dialect and types from samples at several places.
// Files may lack columns of others (missing there; a warning says so); a column of two types that
// do not go together is an error naming both files. Errors name file and line.
Result<TableSource> inspect(Session& session, const DatasetRef& ref,
                            const std::vector<std::string>& read_roots,
                            const std::string& on_bad_value, const InspectOptions& options = {});

// Every file for itself, by size: parts of a file differ by at most one unit. `partition_size` in
// bytes of the file; text borders never lie beside a quote character. The partitions that jobs work
// on come from partitioner.h.
Result<std::vector<Partition>> cut(const TableSource& source, std::uint64_t partition_size);

// What a scan tells after it ran (counts: text only).
struct ScanReport {
  std::uint64_t bytes = 0;
  std::uint64_t rows = 0;
  std::uint64_t bad_values = 0;  // turned into missing (on_bad_value "null")
  std::uint64_t short_rows = 0;  // filled with missing (layout.ragged "repair")
  std::uint64_t long_rows = 0;   // whose fields behind the last column were left out
  bool ends_inside_if_outside = false;
  bool ends_inside_if_inside = false;
  // Fills in the two above; call after the scan, at its end or not. May be called again. Empty:
  // they are what they should be.
  std::function<void()> settle = {};
  void settle_now() const {
    for (const auto& p : parts) p->settle_now();
    if (settle) settle();
  }
  // Of files that are read in different ways, one each, in order; their sum is in total().
  std::vector<std::shared_ptr<ScanReport>> parts = {};
  // Settled, with what the parts come to.
  ScanReport total() const;
};

// True when all files have the columns of the source, in their own order or another, and nothing is
// taken from folders' names. Whoever reads text past open_view must ask: other sources need it.
bool reads_alike(const TableSource& source);
// kIo naming a file of these that is not as it was when it was looked at.
Status check_unchanged(const TableSource& source, const std::vector<Partition>& partitions);

// Makes `view` readable in the session: SELECT … FROM view gives the rows of these partitions, in
// order (a task scans on one thread). Only the columns a query needs are parsed. NaN in floating
// columns reads as missing. The report is complete when a query over the view has run to its end.
struct ScanOptions {
  bool start_inside_quotes = false;
  std::function<void(std::uint64_t)> progress;  // bytes
  const std::atomic<bool>* cancelled = nullptr;
  const Connections* connections = nullptr;  // to databases
  // Rows that these tests leave out need not be given, nor their values be looked at (row_tests.h).
  // Whoever asks still applies his own WHERE.
  Json row_tests;
};
Result<std::shared_ptr<ScanReport>> open_view(Session& session, const std::string& view,
                                              const TableSource& source,
                                              std::vector<Partition> partitions,
                                              const ScanOptions& options);

// Unpacks an unsplittable source file into parts a TableSource can be made of: text into plain-text
// parts of about partition_size cut at row borders (header repeated is not needed: dialect says
// header=false for parts), a JSON array into Parquet. Ratio over 1000:1 is kUserData.
struct UnpackedPart {
  std::string path;
  std::uint64_t bytes = 0;
  std::uint64_t rows = 0;  // of Parquet parts
  // In the file, before the stretch that the part's line is counted from (unpack_range.h).
  std::uint64_t lines_before = 0;
};
Result<std::vector<UnpackedPart>> unpack(Session& session, const TableSource& source,
                                         std::uint32_t file, std::uint64_t partition_size,
                                         const std::string& output_prefix,
                                         const ScanOptions& options);
// Parts are known by names that say which file they are of and with which line they begin.
std::string part_name(const std::string& prefix, std::size_t n, std::uint32_t file,
                      std::uint64_t line);
// The source that reads the parts (same columns and dialect, no header).
TableSource unpacked_source(const TableSource& source, const std::vector<UnpackedPart>& parts);

}  // namespace polysome
