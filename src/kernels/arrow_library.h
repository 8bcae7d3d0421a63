// Apache Arrow's and Parquet's own libraries, for what DuckDB is slow at (very wide Parquet, groups
// by the codes of a dictionary) or cannot do (Arrow IPC). They are 60 MB and most tasks need none
// of it: they stand behind a library of ours, libpolysome_arrow.so (src/columnar), that a process
// opens when it first needs it. What crosses the border is plain numbers and the structs of Arrow's
// C data interface. One thread an object; objects must not outlive the process's use of the
// library, which stays open.
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

// A column of one row group from its first row on, in the stretches that its pages hold. Valid as
// long as its reader. Errors: those of the reader, and kOutOfMemory.
class ParquetColumn {
 public:
  // Some rows, valid until the next call. Values that are missing take no place among the values,
  // which are those of the one pointer that is set.
  struct Rows {
    const std::int16_t* there = nullptr;  // 1 or 0 of each row; null: all are there
    std::size_t values = 0;
    const std::int32_t* codes = nullptr;  // places in the dictionary, which has them
    const std::string_view* texts = nullptr;
    const std::int64_t* wholes = nullptr;
    const double* reals = nullptr;
  };
  // What codes stand for: one of the two, as the column's type is.
  struct Dictionary {
    std::vector<std::string_view> texts;
    std::vector<std::int64_t> wholes;
  };
  virtual ~ParquetColumn() = default;
  // The next rows are not wanted: pages of which nothing is wanted are not unpacked.
  virtual Status pass(std::uint64_t rows) = 0;
  // Rows that can be taken at once; 0 at the end of the row group.
  virtual Result<std::uint64_t> available() = 0;
  // The next 1 ≤ n ≤ available() rows.
  virtual Result<Rows> take(std::uint64_t n) = 0;
  // Complete as soon as available() was asked; a row group has one, or none.
  virtual const Dictionary& dictionary() const = 0;
};

// One Parquet file, read a column at a time. Errors: kUserData for what is no Parquet or broken.
class ParquetReader {
 public:
  struct Column {
    std::string name;
    // As DuckDB names it (DOUBLE, BIGINT, VARCHAR …); empty where only DuckDB can tell.
    std::string type;
    bool real = false;   // read_reals can read it
    bool whole = false;  // read_wholes can
    bool text = false;   // read_texts can: texts of UTF-8, says the file
  };
  virtual ~ParquetReader() = default;
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
  // A column that is real, whole or text. With `codes`, what lies in a dictionary (of texts or
  // whole numbers) is given as its codes.
  virtual Result<std::unique_ptr<ParquetColumn>> open_column(std::size_t column, std::size_t group,
                                                             bool codes) = 0;
  // Of the column in the row group, unpacked: no page of it is larger.
  virtual std::uint64_t unpacked_bytes(std::size_t column, std::size_t group) const = 0;
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
  virtual Result<std::unique_ptr<ParquetReader>> open_parquet(const std::string& path) const = 0;
  // Only these columns (ascending places), or all.
  virtual Result<std::unique_ptr<ArrowReader>> open_arrow(
      const std::string& path, const std::optional<std::vector<int>>& columns) const = 0;
  // Takes over the schema. `compression`: none or zstd, of the values inside.
  virtual Result<std::unique_ptr<ArrowWriter>> create_arrow(
      const std::string& path, ArrowSchema* schema, const std::string& compression) const = 0;
  // A file of Arrow IPC at `path` with the rows of Parquet files of the same columns, one after
  // another; a row group is in memory at a time. Not synced. Answers the rows.
  virtual Result<std::uint64_t> write_parquet_as_arrow(const std::vector<std::string>& parquet,
                                                       const std::string& path,
                                                       const std::string& compression) const = 0;
};

// Opens the library on the first call. kInternal when it is not there, with the way out.
Result<const ArrowLibrary*> arrow_library();
// Files and folders that a sandboxed process has to be able to read to open it later.
std::vector<std::string> arrow_library_paths();

}  // namespace polysome
