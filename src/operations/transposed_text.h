// The files that a transpose ends with, from what its tasks left (matrix_tiles.h): Parquet by
// joining chunks, text by reading tiles back block by block. The slot's thread.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "operations/matrix_tiles.h"
#include "operations/table_files.h"

namespace polysome {

// Formats that write_transposed writes.
bool is_plain_text(const std::string& format);

struct TransposedText {
  FileFormat format;
  std::vector<std::string> names;   // of all columns, the label first
  std::vector<std::string> labels;  // of all rows
  bool whole = false;
};
// Rows of blocks [first, end) as a part to be joined (table_files.h). Answers how many.
Result<std::uint64_t> write_transposed(TaskEnv& env, const TransposedText& text,
                                       const TileReader& reader, const TilePlan& plan,
                                       std::size_t first, std::size_t end, const std::string& path);

// The whole table as Parquet. `chunks`: files, in order, whose chunks `indexes` describe.
Result<JoinedFile> transposed_parquet(const TilePlan& plan, const std::vector<std::string>& names,
                                      const std::vector<std::string>& labels,
                                      const std::vector<std::string>& chunks,
                                      const std::vector<TileIndex>& indexes);

// NaN is null, infinities are texts (contract.md, Results).
Json number_json(double value, bool whole);

}  // namespace polysome
