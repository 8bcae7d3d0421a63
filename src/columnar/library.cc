// What the worker finds when it opens this library.
#include "columnar/arrow_files.h"
#include "columnar/parquet_reader.h"
#include "columnar/parquet_to_arrow.h"

namespace polysome::columnar {
namespace {

class Library final : public ArrowLibrary {
 public:
  Result<std::unique_ptr<ParquetReader>> open_parquet(const std::string& path) const override {
    return make_parquet_reader(path);
  }
  Result<std::unique_ptr<ArrowReader>> open_arrow(
      const std::string& path, const std::optional<std::vector<int>>& columns) const override {
    return make_arrow_reader(path, columns);
  }
  Result<std::unique_ptr<ArrowWriter>> create_arrow(const std::string& path, ArrowSchema* schema,
                                                    const std::string& compression) const override {
    return make_arrow_writer(path, schema, compression);
  }
  Result<std::uint64_t> write_parquet_as_arrow(const std::vector<std::string>& parquet,
                                               const std::string& path,
                                               const std::string& compression) const override {
    return columnar::write_parquet_as_arrow(parquet, path, compression);
  }
};

}  // namespace
}  // namespace polysome::columnar

extern "C" __attribute__((visibility("default"))) const polysome::ArrowLibrary*
POLYSOME_ARROW_SYMBOL() {
  static const polysome::columnar::Library library;
  return &library;
}
