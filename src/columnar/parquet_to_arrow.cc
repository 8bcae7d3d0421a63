#include "columnar/parquet_to_arrow.h"

#include <arrow/io/file.h>
#include <arrow/record_batch.h>
#include <arrow/table.h>
#include <arrow/type.h>
#include <parquet/arrow/reader.h>
#include <parquet/properties.h>

#include <memory>

#include "columnar/ipc_file.h"
#include "columnar/status.h"

namespace polysome::columnar {
namespace {

Result<std::unique_ptr<parquet::arrow::FileReader>> open(const std::string& path) {
  POLYSOME_ARROW(auto file, arrow::io::ReadableFile::Open(path, arrow::system_memory_pool()), path);
  parquet::arrow::FileReaderBuilder builder;
  POLYSOME_TRY(status_of(builder.Open(std::move(file)), path));
  parquet::ArrowReaderProperties properties(false);
  properties.set_pre_buffer(false);  // what is unpacked is enough
  builder.memory_pool(arrow::system_memory_pool())->properties(properties);
  POLYSOME_ARROW(auto reader, builder.Build(), path);
  return reader;
}

}  // namespace

Result<std::uint64_t> write_parquet_as_arrow(const std::vector<std::string>& parquet,
                                             const std::string& path,
                                             const std::string& compression) {
  return guarded(path, [&]() -> Result<std::uint64_t> {
    IpcFile out;
    std::shared_ptr<arrow::Schema> schema;
    std::uint64_t rows = 0;
    for (const auto& from : parquet) {
      POLYSOME_ASSIGN(const auto reader, open(from));
      if (schema == nullptr) {
        POLYSOME_TRY(status_of(reader->GetSchema(&schema), from));
        schema = schema->RemoveMetadata();
        POLYSOME_TRY(out.open(path, schema, compression));
      }
      for (int g = 0; g < reader->num_row_groups(); ++g) {
        POLYSOME_ARROW(auto table, reader->ReadRowGroup(g), from);
        POLYSOME_ARROW(const auto batch, table->CombineChunksToBatch(arrow::system_memory_pool()),
                       from);
        table.reset();
        rows += static_cast<std::uint64_t>(batch->num_rows());
        POLYSOME_TRY(out.write(*batch->ReplaceSchemaMetadata(nullptr)));
      }
    }
    POLYSOME_TRY(out.close());
    return rows;
  });
}

}  // namespace polysome::columnar
