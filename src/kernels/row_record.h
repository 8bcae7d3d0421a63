// A row as a run of bytes, and back: how rows are kept outside of DuckDB while they are sorted or
// joined. A record holds one bit a column for missing ones, then the values in order: those of
// fixed width as they are, texts with their length before them. Only for files and memory of one
// job on one machine: byte order and widths are the machine's. Any thread.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "kernels/row_source.h"
#include "kernels/session.h"

namespace polysome {

class RowCodec {
 public:
  // Of the stream's columns from `first` on. Errors: kInternal naming a column of a nested type.
  static Result<RowCodec> of(const RowStream& stream, std::size_t first);

  std::size_t size() const { return columns_.size(); }
  std::vector<RowSource::Column> columns() const;

  // The vectors of a chunk's columns from `first` on; valid as long as the chunk.
  struct View {
    std::vector<const char*> data;
    std::vector<std::uint64_t*> validity;
  };
  View view(duckdb_data_chunk chunk, std::size_t first) const;
  // Appends the record of the row.
  void encode(const View& view, std::size_t row, std::string* out) const;

  // Where decoded values go: a chunk's columns from `first` on, which must be of these types.
  struct Place {
    std::vector<duckdb_vector> vectors;
    std::vector<char*> data;
  };
  static Place place(const std::vector<duckdb_vector>& vectors);
  Place place(duckdb_data_chunk chunk, std::size_t first) const;
  void decode(std::string_view record, Place& place, std::size_t row) const;
  // A row of which nothing is known: all values missing.
  static void decode_missing(Place& place, std::size_t row);

 private:
  struct Column {
    std::string name;
    SharedType type;
    std::uint32_t width = 0;  // 0: text
  };
  std::vector<Column> columns_;
};

}  // namespace polysome
