// The table function ps_scan(handle): rows of text partitions as typed columns. Only the columns a
// query needs are parsed. Values that cannot be read are collected with file, line, column and
// value (at most 20) and fail the query at the end of the scan, or are counted as missing. The
// slot's thread.
#pragma once

#include <memory>
#include <string>
#include <vector>

#include "data/file_map.h"
#include "data/row_scanner.h"
#include "data/table_source.h"
#include "data/values.h"

namespace polysome {

struct ScanColumn {
  std::string name;
  ValueType type = ValueType::kString;
  MissingTexts missing;
};

// Rows whose first byte lies in [begin, limit) of one file; begin is the start of a row.
struct ScanPiece {
  std::shared_ptr<const FileMap> file;
  std::string path;
  std::size_t begin = 0;
  std::size_t limit = 0;
  std::vector<std::uint32_t> fields;  // field of each column; empty: the same index
  std::string label;                  // what messages call the file
  std::uint64_t first_line = 1;       // number of the file's first line, for parts of a larger one
};

struct TextScan {
  bool ndjson = false;
  TextShape shape;
  char decimal = '.';
  std::size_t expected_fields = 0;
  std::vector<ScanColumn> columns;
  std::vector<ScanPiece> pieces;
  bool bad_is_missing = false;
  ScanOptions options;
  std::shared_ptr<ScanReport> report;
};

// Makes ps_scan known in the session, once.
Status register_text_scan(Session& session);
// How messages name a file: its name without folders.
std::string file_label(const std::string& path);
// The same for a part of an unpacked file: the name of that file.
std::string shown_name(const SourceFile& file);
// 10482113 → "10,482,113"
std::string with_thousands(std::uint64_t n);

}  // namespace polysome
