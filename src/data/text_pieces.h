// What a scan of delimited text or NDJSON reads: the pieces of files that its partitions are, the
// columns with their types and missing texts. Made from a dataset and partitions (make_text_scan),
// read by the table function ps_scan (text_scan.h) or straight into sums
// (operations/text_states.h). The slot's thread.
#pragma once

#include <algorithm>
#include <cstdint>
#include <initializer_list>
#include <memory>
#include <string>
#include <vector>

#include "data/file_map.h"
#include "data/row_scanner.h"
#include "data/row_tests.h"
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
  std::size_t offset = 0;  // of the partition: begin is the first row from there on
  std::size_t begin = 0;
  std::size_t limit = 0;
  std::vector<std::uint32_t> fields;  // field of each column; empty: the same index
  std::string label;                  // what messages call the file
  std::uint64_t first_line = 1;       // number of the file's first line, for parts of a larger one
  bool without_quotes = false;        // the scan has met none between begin and limit

  std::uint32_t field_of(std::size_t column) const {
    return fields.empty() ? static_cast<std::uint32_t>(column) : fields[column];
  }
};

// The fields of the piece's rows that a cutter has to give for the columns of these lists and for
// `also`, ascending. Each column (`index`) is told its field (`at`) and its place among them
// (`wanted`).
template <class Column>
std::vector<std::uint32_t> place_fields(const ScanPiece& piece,
                                        std::initializer_list<std::vector<Column>*> lists,
                                        std::vector<std::uint32_t> also = {}) {
  for (const auto* list : lists)
    for (const auto& c : *list) also.push_back(piece.field_of(c.index));
  std::ranges::sort(also);
  also.erase(std::unique(also.begin(), also.end()), also.end());
  for (auto* list : lists)
    for (auto& c : *list) {
      c.at = piece.field_of(c.index);
      c.wanted = static_cast<std::size_t>(std::ranges::lower_bound(also, c.at) - also.begin());
    }
  return also;
}

struct TextScan {
  bool ndjson = false;
  TextShape shape;
  NumberStyle numbers;
  std::size_t expected_fields = 0;
  bool repair = false;  // rows may have fewer fields (the rest is missing) or more (left out)
  std::vector<ScanColumn> columns;
  std::vector<ScanPiece> pieces;
  bool bad_is_missing = false;
  std::shared_ptr<const RowTest> tests;  // null: every row is given
  ScanOptions options;
  // States before the last piece for both starts, and whether the last one's own are known.
  EndStates states_before_last{false, true};
  std::shared_ptr<ScanReport> report;
};

// Maps the files and finds the first row of each piece. Errors: kIo when a file has changed.
Result<std::shared_ptr<TextScan>> make_text_scan(const TableSource& source,
                                                 const std::vector<Partition>& partitions,
                                                 const ScanOptions& options);

// How messages name a file: its name without folders.
std::string file_label(const std::string& path);
// The same for a part of an unpacked file: the name of that file.
std::string shown_name(const SourceFile& file);
// 10482113 → "10,482,113"
std::string with_thousands(std::uint64_t n);

}  // namespace polysome
