// What the tasks of a transpose leave for each other. Rows that are read become columns of the
// answer: each is encoded at once as a chunk of a Parquet file (data/flat_parquet.h), so a task
// holds a row, not its part of the matrix. For text, values are also laid down in tiles, from which
// whole columns can be read back block by block. The slot's thread.
#pragma once

#include <cstdint>
#include <memory>
#include <span>
#include <string>
#include <vector>

#include "data/flat_parquet.h"
#include "data/raw_file.h"
#include "operations/task_env.h"

namespace polysome {

struct TilePlan {
  std::size_t columns = 0;  // values in a row
  bool whole = false;
  bool tiles = false;           // for text
  std::size_t block = 1;        // columns that lie together in a tile
  std::uint64_t memory = 0;     // of one tile, at most; a row at least
  std::size_t group = 122'880;  // rows of the answer in a row group
  std::size_t groups() const { return (columns + group - 1) / group; }
};

// One task's rows as its index tells them.
struct TileIndex {
  std::vector<std::string> labels;
  std::vector<ColumnChunk> chunks;   // row by row, of each its groups
  std::vector<std::uint64_t> tiles;  // rows of each
  std::vector<double> preview;       // of the first rows their first values
  std::size_t preview_values = 0;    // of each row
};
inline constexpr std::size_t kPreviewRows = 50;    // columns of the answer
inline constexpr std::size_t kPreviewValues = 20;  // rows of the answer

inline constexpr const char* kChunksRole = "chunks.bin";
inline constexpr const char* kTilesRole = "tiles.bin";
inline constexpr const char* kIndexRole = "index.bin";

class TileWriter {
 public:
  static Result<std::unique_ptr<TileWriter>> create(TaskEnv& env, const TilePlan& plan);

  Status add(std::string label, std::span<const double> values);
  // Notes the files.
  Status finish(TaskEnv& env);

 private:
  explicit TileWriter(const TilePlan& plan) : plan_(plan) {}
  Status flush_chunks();
  Status flush_tile();

  TilePlan plan_;
  std::unique_ptr<RawFile> chunks_, tiles_;
  ChunkEncoder encoder_;
  std::string buffer_;
  std::vector<double> tile_;  // row after row
  std::size_t tile_rows_ = 0;
  TileIndex index_;
};

Result<TileIndex> read_tile_index(const std::string& path, const TilePlan& plan);

// Values of some columns for all rows of all tasks, row after row.
class TileReader {
 public:
  TileReader(const TilePlan& plan, std::vector<std::string> paths,
             const std::vector<TileIndex>& indexes);
  // Columns [first, first + n) lie in one block. out: rows() x n.
  Status read(std::size_t first, std::size_t n, double* out) const;
  std::size_t rows() const { return rows_; }

 private:
  struct Part {
    std::string path;
    std::vector<std::uint64_t> tiles;
  };
  TilePlan plan_;
  std::vector<Part> parts_;
  std::size_t rows_ = 0;
};

}  // namespace polysome
