// Apache Arrow's and Parquet's own libraries, for what DuckDB is slow at (very wide Parquet) or
// cannot do (Arrow IPC). They are 60 MB and most tasks need none of it: they stand behind a library
// of ours, libpolysome_arrow.so (src/columnar), that a process opens when it first needs it. What
// crosses the border is plain numbers and the structs of Arrow's C data interface. One thread an
// object; objects must not outlive the process's use of the library, which stays open.
#pragma once

#include <cstdint>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "base/result.h"

// Of Arrow's C data interface, whose layout is fixed for good.
struct ArrowArray;
struct ArrowSchema;

namespace polysome {

// One Parquet file, read a column at a time. Errors: kUserData for what is no Parquet or broken.
class WideParquetReader {
 public:
  struct Column {
    std::string name;
    // As DuckDB names it (DOUBLE, BIGINT, VARCHAR …); empty where only DuckDB can tell.
    std::string type;
    bool real = false;   // read_reals can read it
    bool whole = false;  // read_wholes can
    bool text = false;   // read_texts can
  };
  virtual ~WideParquetReader() = default;
  virtual const std::vector<Column>& columns() const = 0;
  virtual const std::vector<std::uint64_t>& group_rows() const = 0;
  // The values of rows [first, first + n) that are there (nulls are passed over, NaN is not), in
  // order, as one span that is valid until the next call.
  virtual Result<std::span<const double>> read_reals(std::size_t column, std::uint64_t first,
                                                     std::uint64_t n) = 0;
  virtual Result<std::span<const std::int64_t>> read_wholes(std::size_t column, std::uint64_t first,
                                                            std::uint64_t n) = 0;
  virtual Result<std::span<const std::string_view>> read_texts(std::size_t column,
                                                               std::uint64_t first,
                                                               std::uint64_t n) = 0;
  // Of the last read: the row, counted from `first`, of each value. Empty when no row lacks one.
  virtual std::span<const std::uint32_t> rows_there() const = 0;
};

// A file or stream of Arrow IPC (Feather 2 is the former), read batch after batch.
class ArrowReader {
 public:
  virtual ~ArrowReader() = default;
  // Of the columns chosen; the caller releases it.
  virtual Status schema(ArrowSchema* out) = 0;
  // The same columns without a row.
  virtual Status no_rows(ArrowArray* out) = 0;
  // Rows of each batch of the file, from their heads.
  virtual Result<std::vector<std::uint64_t>> batch_rows() = 0;
  // The next rows that are read are those from here on. Only forwards.
  virtual Status seek(std::uint64_t row) = 0;
  // At most `most` rows, all of one batch, as a struct array that the caller releases; returns how
  // many, 0 at the end (then `out` is not touched).
  virtual Result<std::uint64_t> next(std::uint64_t most, ArrowArray* out) = 0;
};

// Writes a file of Arrow IPC: whole only when close() succeeded.
class ArrowWriter {
 public:
  virtual ~ArrowWriter() = default;
  // Takes over the array, which has the schema's columns. Small ones are gathered.
  virtual Status append(ArrowArray* rows) = 0;
  virtual Status close() = 0;
};

class ArrowLibrary {
 public:
  virtual ~ArrowLibrary() = default;
  virtual Result<std::unique_ptr<WideParquetReader>> open_wide_parquet(
      const std::string& path) const = 0;
  // Only these columns (ascending places), or all.
  virtual Result<std::unique_ptr<ArrowReader>> open_arrow(
      const std::string& path, const std::optional<std::vector<int>>& columns) const = 0;
  // Takes over the schema. `compression`: none or zstd, of the values inside.
  virtual Result<std::unique_ptr<ArrowWriter>> create_arrow(
      const std::string& path, ArrowSchema* schema, const std::string& compression) const = 0;
};

// Opens the library on the first call. kInternal when it is not there, with the way out.
Result<const ArrowLibrary*> arrow_library();
// Files and folders that a sandboxed process has to be able to read to open it later.
std::vector<std::string> arrow_library_paths();

}  // namespace polysome
