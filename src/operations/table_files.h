// Files of tables in the formats people ask for: csv, tsv, parquet, ndjson, json, plain or gzip or
// zstd. A table is written whole, or as parts that are joined afterwards byte by byte: parts of
// text have no header, parts of JSON arrays are lines. Missing is an empty field (csv, tsv) or
// null.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "kernels/session.h"
#include "operations/cells.h"

namespace polysome {

struct FileFormat {
  std::string format = "csv";        // csv, tsv, parquet, arrow, ndjson, json
  std::string compression = "none";  // none, gzip, zstd; Parquet and Arrow compress inside
  // ".csv.gz"
  std::string extension() const;
  // Made of lines that tasks write side by side and one joins; other formats are written whole.
  bool is_text() const { return format != "parquet" && format != "arrow"; }
  bool operator==(const FileFormat&) const = default;
};

// By the endings of a file name; empty members where it does not tell.
FileFormat format_of_name(const std::string& name);
const char* content_type(const FileFormat& format);

// Rows of a row group of Parquet with these columns: the usual number, or so many as have about 128
// MB before they are compressed. A writer holds one, and so may a reader.
std::uint32_t row_group_of(const std::vector<ResultColumn>& columns);

// Writes what `select` gives to `path`. Answers the rows. Errors: those of Session, kDiskFull.
Result<std::uint64_t> write_table(Session& session, const std::string& select,
                                  const std::string& path, const FileFormat& format);
// The same as a part, to be joined. Of text formats only.
Result<std::uint64_t> write_part(Session& session, const std::string& select,
                                 const std::string& path, const FileFormat& format);
// One file of all parts, in order, fsynced.
Status join_parts(const std::vector<ResultColumn>& columns, const std::vector<std::string>& parts,
                  const std::string& path, const FileFormat& format);
// A copy, fsynced.
Status copy_file_durably(const std::string& from, const std::string& to);

}  // namespace polysome
