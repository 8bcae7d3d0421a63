// A file of Arrow IPC that is being written. For the files of this room.
#pragma once

#include <arrow/io/type_fwd.h>
#include <arrow/ipc/type_fwd.h>
#include <arrow/type_fwd.h>

#include <memory>
#include <string>

#include "base/result.h"

namespace polysome::columnar {

class IpcFile {
 public:
  // `compression`: none or zstd, of the values inside.
  Status open(const std::string& path, const std::shared_ptr<arrow::Schema>& schema,
              const std::string& compression);
  Status write(const arrow::RecordBatch& batch);
  // Whole only after this.
  Status close();

 private:
  std::string path_;
  std::shared_ptr<arrow::io::OutputStream> out_;
  std::shared_ptr<arrow::ipc::RecordBatchWriter> writer_;
};

}  // namespace polysome::columnar
