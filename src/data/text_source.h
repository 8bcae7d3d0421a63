// Delimited text and NDJSON as tables: told from samples (inspect_text), cut at byte borders
// (cut_text), scanned as a DuckDB table function over a held object (open_text_view). One thread.
#pragma once

#include <memory>
#include <string>
#include <vector>

#include "data/row_scanner.h"
#include "data/table_source.h"
#include "data/values.h"

namespace polysome {

// The first bytes of a file, unpacked when it is compressed. whole: that was all of it.
struct Sample {
  std::string text;
  bool whole = false;
};
Result<Sample> head_sample(const SourceFile& file, std::size_t bytes);

TextShape shape_of(const Json& dialect);
NumberStyle number_style_of(const Json& dialect);
// The one character of a dialect's or layout's member; '\0' for an empty one.
char letter(const Json& layout, const char* key, char otherwise);

// total x part / parts, rounded down, for part <= parts < 2^32.
std::uint64_t share(std::uint64_t total, std::uint64_t part, std::uint64_t parts);

// Fills in columns, dialect and each file's data_offset. `layout`: declared keys.
// `first_lines`: of the files, as find_files met them; headers that are alike are read once.
Status inspect_delimited(TableSource* source, const Json& layout, const InspectOptions& options,
                         const std::vector<std::uint64_t>& first_lines);
Status inspect_ndjson(TableSource* source, const Json& layout, const InspectOptions& options);
// At most `most` of n files, spread evenly, the first and the last among them.
std::vector<std::size_t> spread_over(std::size_t n, std::size_t most);
// Warns of files that lack columns which others have (SourceFile::fields).
void warn_of_absent(const TableSource& source, Json* warnings);

Result<std::vector<Partition>> cut_text(const TableSource& source, std::uint64_t partition_size);

Result<std::shared_ptr<ScanReport>> open_text_view(Session& session, const std::string& view,
                                                   const TableSource& source,
                                                   const std::vector<Partition>& partitions,
                                                   const ScanOptions& options);

}  // namespace polysome
