#include "operations/matrix_tiles.h"

#include <fcntl.h>
#include <fmt/format.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstring>

#include "base/files.h"
#include "base/unique_fd.h"

namespace polysome {
namespace {

constexpr std::size_t kFlushBytes = 1'000'000;

Status read_at(int fd, void* to, std::size_t bytes, std::uint64_t offset, const std::string& path) {
  auto* at = static_cast<char*>(to);
  while (bytes > 0) {
    const ssize_t n = ::pread(fd, at, bytes, static_cast<off_t>(offset));
    if (n < 0 && errno == EINTR) continue;
    if (n < 0) return fail(errno_error("cannot read", path, errno));
    if (n == 0) return fail(Code::kIo, "output lost: " + path + " is shorter than it was");
    at += n;
    offset += static_cast<std::uint64_t>(n);
    bytes -= static_cast<std::size_t>(n);
  }
  return {};
}

}  // namespace

Result<std::unique_ptr<TileWriter>> TileWriter::create(TaskEnv& env, const TilePlan& plan) {
  std::unique_ptr<TileWriter> out(new TileWriter(plan));
  POLYSOME_ASSIGN(out->chunks_, RawFile::create(env.path_of(kChunksRole), true));
  if (plan.tiles) {
    POLYSOME_ASSIGN(out->tiles_, RawFile::create(env.path_of(kTilesRole), true));
  }
  out->index_.preview_values = std::min(plan.columns, kPreviewValues);
  return out;
}

Status TileWriter::add(std::string label, std::span<const double> values) {
  if (index_.labels.size() < kPreviewRows)
    index_.preview.insert(index_.preview.end(), values.begin(),
                          values.begin() + static_cast<std::ptrdiff_t>(index_.preview_values));
  index_.labels.push_back(std::move(label));
  for (std::size_t g = 0; g < plan_.groups(); ++g) {
    const std::size_t first = g * plan_.group;
    POLYSOME_ASSIGN(
        const ColumnChunk chunk,
        encoder_.numbers(values.subspan(first, std::min(plan_.group, values.size() - first)),
                         plan_.whole, &buffer_));
    index_.chunks.push_back(chunk);
  }
  if (buffer_.size() >= kFlushBytes) POLYSOME_TRY(flush_chunks());
  if (!plan_.tiles) return {};
  tile_.insert(tile_.end(), values.begin(), values.end());
  ++tile_rows_;
  if ((tile_.size() + plan_.columns) * sizeof(double) > plan_.memory) return flush_tile();
  return {};
}

Status TileWriter::flush_chunks() {
  POLYSOME_TRY(chunks_->write(buffer_));
  buffer_.clear();
  return {};
}

// Block after block; within one, row after row.
Status TileWriter::flush_tile() {
  if (tile_rows_ == 0) return {};
  std::vector<double> block;
  for (std::size_t first = 0; first < plan_.columns; first += plan_.block) {
    const std::size_t n = std::min(plan_.block, plan_.columns - first);
    for (std::size_t r = 0; r < tile_rows_; ++r) {
      const auto from = tile_.begin() + static_cast<std::ptrdiff_t>(r * plan_.columns + first);
      block.insert(block.end(), from, from + static_cast<std::ptrdiff_t>(n));
    }
    const bool last = first + n == plan_.columns;
    if (block.size() * sizeof(double) < kFlushBytes && !last) continue;
    POLYSOME_TRY(tiles_->write(
        {reinterpret_cast<const char*>(block.data()), block.size() * sizeof(double)}));
    block.clear();
  }
  index_.tiles.push_back(tile_rows_);
  tile_rows_ = 0;
  tile_.clear();
  return {};
}

Status TileWriter::finish(TaskEnv& env) {
  POLYSOME_TRY(flush_chunks());
  const auto rows = static_cast<std::uint64_t>(index_.labels.size());
  env.note_file(kChunksRole, rows, chunks_->hash());
  if (plan_.tiles) {
    POLYSOME_TRY(flush_tile());
    env.note_file(kTilesRole, rows, tiles_->hash());
  }
  std::string out;
  put_raw(&out, rows);
  for (const auto& label : index_.labels) {
    put_raw(&out, static_cast<std::uint32_t>(label.size()));
    out += label;
  }
  for (const auto& chunk : index_.chunks) put_raw(&out, chunk);
  put_raw(&out, static_cast<std::uint64_t>(index_.tiles.size()));
  for (const auto n : index_.tiles) put_raw(&out, n);
  for (const double v : index_.preview) put_raw(&out, v);
  POLYSOME_TRY(write_file(env.path_of(kIndexRole), out, false));
  env.note_file(kIndexRole, rows);
  return {};
}

Result<TileIndex> read_tile_index(const std::string& path, const TilePlan& plan) {
  POLYSOME_ASSIGN(const std::string text, read_file(path));
  const auto damaged = [&] { return fail(Code::kIo, "output lost: " + path + " is damaged"); };
  RawTaker in(text);
  TileIndex out;
  std::uint64_t rows = 0, tiles = 0;
  if (!in.take(&rows) || rows > in.left().size()) return damaged();
  out.labels.reserve(rows);
  for (std::uint64_t r = 0; r < rows; ++r) {
    std::uint32_t size = 0;
    if (!in.take(&size) || size > in.left().size()) return damaged();
    std::string label(size, '\0');
    if (!in.take_bytes(label.data(), size)) return damaged();
    out.labels.push_back(std::move(label));
  }
  const std::size_t chunks = rows * plan.groups();
  if (chunks * sizeof(ColumnChunk) > in.left().size()) return damaged();
  out.chunks.resize(chunks);
  for (auto& chunk : out.chunks)
    if (!in.take(&chunk)) return damaged();
  if (!in.take(&tiles) || tiles * sizeof(std::uint64_t) > in.left().size()) return damaged();
  out.tiles.resize(tiles);
  for (auto& n : out.tiles)
    if (!in.take(&n)) return damaged();
  out.preview_values = std::min(plan.columns, kPreviewValues);
  out.preview.resize(std::min<std::size_t>(rows, kPreviewRows) * out.preview_values);
  for (auto& v : out.preview)
    if (!in.take(&v)) return damaged();
  return out;
}

TileReader::TileReader(const TilePlan& plan, std::vector<std::string> paths,
                       const std::vector<TileIndex>& indexes)
    : plan_(plan) {
  for (std::size_t i = 0; i < paths.size(); ++i) {
    for (const auto n : indexes[i].tiles) rows_ += n;
    parts_.push_back({std::move(paths[i]), indexes[i].tiles});
  }
}

Status TileReader::read(std::size_t first, std::size_t n, double* out) const {
  for (const auto& part : parts_) {
    const UniqueFd file(::open(part.path.c_str(), O_RDONLY | O_CLOEXEC));
    if (file.get() < 0) return fail(Code::kIo, "output lost: " + part.path + " is not there");
    std::uint64_t at = 0;  // of the tile
    for (const auto rows : part.tiles) {
      POLYSOME_TRY(read_at(file.get(), out, rows * n * sizeof(double),
                           at + rows * first * sizeof(double), part.path));
      out += rows * n;
      at += rows * plan_.columns * sizeof(double);
    }
  }
  return {};
}

}  // namespace polysome
