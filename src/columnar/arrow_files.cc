#include "columnar/arrow_files.h"

#include <arrow/buffer.h>
#include <arrow/c/bridge.h>
#include <arrow/io/file.h>
#include <arrow/ipc/reader.h>
#include <arrow/record_batch.h>
#include <arrow/type.h>
#include <arrow/util/byte_size.h>

#include <algorithm>

#include "columnar/ipc_file.h"
#include "columnar/status.h"

namespace polysome::columnar {
namespace {

constexpr std::int64_t kGatheredRows = 1 << 16;
constexpr std::int64_t kGatheredBytes = 16 << 20;

using Batch = std::shared_ptr<arrow::RecordBatch>;

arrow::ipc::IpcReadOptions read_options(const std::optional<std::vector<int>>& columns) {
  auto options = arrow::ipc::IpcReadOptions::Defaults();
  options.memory_pool = arrow::system_memory_pool();
  options.use_threads = false;
  if (columns) options.included_fields = *columns;
  return options;
}

// The batches of a file, by number, or of a stream, one after another.
class Batches {
 public:
  static Result<std::unique_ptr<Batches>> open(const std::string& path,
                                               const std::optional<std::vector<int>>& columns) {
    auto out = std::make_unique<Batches>();
    out->path_ = path;
    POLYSOME_ARROW(auto file, arrow::io::MemoryMappedFile::Open(path, arrow::io::FileMode::READ),
                   path);
    POLYSOME_ARROW(const auto head, file->ReadAt(0, 8), path);
    const std::string_view magic(reinterpret_cast<const char*>(head->data()),
                                 static_cast<std::size_t>(head->size()));
    if (magic.starts_with("FEA1"))
      return fail(Code::kUserData, path + ": is Feather 1, which is no Arrow IPC",
                  "write it again with any current version of Arrow, pandas or R");
    if (magic.starts_with("ARROW1")) {
      POLYSOME_ARROW(out->file_,
                     arrow::ipc::RecordBatchFileReader::Open(file, read_options(columns)), path);
      out->schema_ = out->file_->schema();
    } else {
      POLYSOME_ARROW(out->stream_,
                     arrow::ipc::RecordBatchStreamReader::Open(file, read_options(columns)), path);
      out->schema_ = out->stream_->schema();
    }
    return out;
  }

  const std::shared_ptr<arrow::Schema>& schema() const { return schema_; }
  // Null at the end.
  Result<Batch> next() {
    Batch out;
    if (file_ != nullptr) {
      if (next_ < file_->num_record_batches()) {
        POLYSOME_ARROW(out, file_->ReadRecordBatch(next_++), path_);
      }
    } else {
      POLYSOME_TRY(status_of(stream_->ReadNext(&out), path_));
    }
    return out;
  }
  // Of a file: the next batch is passed over without reading it.
  bool pass() {
    if (file_ != nullptr) ++next_;
    return file_ != nullptr;
  }

 private:
  std::string path_;
  std::shared_ptr<arrow::ipc::RecordBatchFileReader> file_;
  std::shared_ptr<arrow::ipc::RecordBatchStreamReader> stream_;
  std::shared_ptr<arrow::Schema> schema_;
  int next_ = 0;
};

class Reader final : public ArrowReader {
 public:
  Reader(std::string path, std::optional<std::vector<int>> columns)
      : path_(std::move(path)), columns_(std::move(columns)) {}

  Status open() {
    return guarded(path_, [&]() -> Status {
      POLYSOME_ASSIGN(batches_, Batches::open(path_, columns_));
      return {};
    });
  }

  Status schema(ArrowSchema* out) override {
    return guarded(path_, [&]() -> Status {
      return status_of(arrow::ExportSchema(*batches_->schema(), out), path_);
    });
  }

  Status no_rows(ArrowArray* out) override {
    return guarded(path_, [&]() -> Status {
      POLYSOME_ARROW(const auto empty, arrow::RecordBatch::MakeEmpty(batches_->schema()), path_);
      return status_of(arrow::ExportRecordBatch(*empty, out), path_);
    });
  }

  Result<std::vector<std::uint64_t>> batch_rows() override {
    return guarded(path_, [&]() -> Result<std::vector<std::uint64_t>> {
      if (known_) return rows_;
      // One column is enough to know, and the others are not decompressed for it.
      std::optional<std::vector<int>> one;
      if (batches_->schema()->num_fields() > 0) one = {0};
      POLYSOME_ASSIGN(const auto all, Batches::open(path_, one));
      for (;;) {
        POLYSOME_ASSIGN(const Batch batch, all->next());
        if (batch == nullptr) break;
        rows_.push_back(static_cast<std::uint64_t>(batch->num_rows()));
      }
      known_ = true;
      return rows_;
    });
  }

  Status seek(std::uint64_t row) override {
    return guarded(path_, [&]() -> Status {
      if (row > 0) POLYSOME_TRY(batch_rows());
      if (current_ != nullptr) {
        const auto end = begin_ + static_cast<std::uint64_t>(current_->num_rows());
        if (row >= begin_ && row < end) {
          used_ = static_cast<std::int64_t>(row - begin_);
          return {};
        }
        begin_ = end;
        current_ = nullptr;
      }
      used_ = 0;
      while (passed_ < rows_.size() && begin_ + rows_[passed_] <= row) {
        begin_ += rows_[passed_++];
        if (batches_->pass()) continue;
        POLYSOME_TRY(batches_->next());
      }
      if (row > begin_) used_ = static_cast<std::int64_t>(row - begin_);
      return {};
    });
  }

  Result<std::uint64_t> next(std::uint64_t most, ArrowArray* out) override {
    return guarded(path_, [&]() -> Result<std::uint64_t> {
      while (current_ == nullptr || used_ >= current_->num_rows()) {
        if (current_ != nullptr) {
          begin_ += static_cast<std::uint64_t>(current_->num_rows());
          used_ = 0;
        }
        POLYSOME_ASSIGN(current_, batches_->next());
        if (current_ == nullptr) return std::uint64_t{0};
        ++passed_;
        // Offsets that lead outside would be followed by whoever reads the values.
        POLYSOME_TRY(status_of(current_->ValidateFull(), path_));
      }
      const std::int64_t n =
          std::min(static_cast<std::int64_t>(most), current_->num_rows() - used_);
      POLYSOME_TRY(status_of(arrow::ExportRecordBatch(*current_->Slice(used_, n), out), path_));
      used_ += n;
      return static_cast<std::uint64_t>(n);
    });
  }

 private:
  std::string path_;
  std::optional<std::vector<int>> columns_;
  std::unique_ptr<Batches> batches_;
  Batch current_;
  std::int64_t used_ = 0;    // rows of the current, or the next, batch
  std::uint64_t begin_ = 0;  // row of the file it begins with
  std::size_t passed_ = 0;   // batches
  std::vector<std::uint64_t> rows_;
  bool known_ = false;
};

class Writer final : public ArrowWriter {
 public:
  explicit Writer(std::string path) : path_(std::move(path)) {}

  Status open(ArrowSchema* schema, const std::string& compression) {
    return guarded(path_, [&]() -> Status {
      POLYSOME_ARROW(schema_, arrow::ImportSchema(schema), path_);
      return file_.open(path_, schema_, compression);
    });
  }

  Status append(ArrowArray* rows) override {
    return guarded(path_, [&]() -> Status {
      POLYSOME_ARROW(auto batch, arrow::ImportRecordBatch(rows, schema_), path_);
      rows_ += batch->num_rows();
      bytes_ += arrow::util::TotalBufferSize(*batch);
      gathered_.push_back(std::move(batch));
      return rows_ >= kGatheredRows || bytes_ >= kGatheredBytes ? flush() : Status{};
    });
  }

  Status close() override {
    return guarded(path_, [&]() -> Status {
      POLYSOME_TRY(flush());
      return file_.close();
    });
  }

 private:
  Status flush() {
    if (gathered_.empty()) return {};
    Batch all = gathered_.front();
    if (gathered_.size() > 1) {
      POLYSOME_ARROW(all, arrow::ConcatenateRecordBatches(gathered_, arrow::system_memory_pool()),
                     path_);
    }
    gathered_.clear();
    rows_ = bytes_ = 0;
    return file_.write(*all);
  }

  std::string path_;
  std::shared_ptr<arrow::Schema> schema_;
  IpcFile file_;
  std::vector<Batch> gathered_;
  std::int64_t rows_ = 0, bytes_ = 0;
};

}  // namespace

Result<std::unique_ptr<ArrowReader>> make_arrow_reader(
    const std::string& path, const std::optional<std::vector<int>>& columns) {
  auto out = std::make_unique<Reader>(path, columns);
  POLYSOME_TRY(out->open());
  return out;
}

Result<std::unique_ptr<ArrowWriter>> make_arrow_writer(const std::string& path, ArrowSchema* schema,
                                                       const std::string& compression) {
  auto out = std::make_unique<Writer>(path);
  POLYSOME_TRY(out->open(schema, compression));
  return out;
}

}  // namespace polysome::columnar
