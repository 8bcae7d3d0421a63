#include "columnar/ipc_file.h"

#include <arrow/io/buffered.h>
#include <arrow/io/file.h>
#include <arrow/ipc/writer.h>
#include <arrow/util/compression.h>

#include "columnar/status.h"

namespace polysome::columnar {
namespace {

constexpr std::int64_t kFileBuffer = 1 << 20;

}  // namespace

Status IpcFile::open(const std::string& path, const std::shared_ptr<arrow::Schema>& schema,
                     const std::string& compression) {
  path_ = path;
  POLYSOME_ARROW(auto file, arrow::io::FileOutputStream::Open(path_), path_);
  POLYSOME_ARROW(
      out_, arrow::io::BufferedOutputStream::Create(kFileBuffer, arrow::system_memory_pool(), file),
      path_);
  auto options = arrow::ipc::IpcWriteOptions::Defaults();
  options.memory_pool = arrow::system_memory_pool();
  options.use_threads = false;
  if (compression == "zstd") {
    POLYSOME_ARROW(options.codec, arrow::util::Codec::Create(arrow::Compression::ZSTD), path_);
  }
  POLYSOME_ARROW(writer_, arrow::ipc::MakeFileWriter(out_, schema, options), path_);
  return {};
}

Status IpcFile::write(const arrow::RecordBatch& batch) {
  return status_of(writer_->WriteRecordBatch(batch), path_);
}

Status IpcFile::close() {
  POLYSOME_TRY(status_of(writer_->Close(), path_));
  return status_of(out_->Close(), path_);
}

}  // namespace polysome::columnar
