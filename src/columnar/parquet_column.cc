#include "columnar/parquet_column.h"

#include <parquet/column_page.h>
#include <parquet/column_reader.h>
#include <parquet/encoding.h>
#include <parquet/schema.h>

#include <algorithm>
#include <map>
#include <numeric>
#include <type_traits>
#include <utility>

#include "columnar/status.h"

namespace polysome::columnar {
namespace {

constexpr std::uint64_t kPassedAtOnce = 4096;  // rows

// `Value`: what the values are given as.
template <class DType, class Value>
class Column final : public ParquetColumn {
 public:
  Column(std::string label, const parquet::ColumnDescriptor& descriptor,
         std::unique_ptr<parquet::PageReader> pages, bool codes)
      : label_(std::move(label)),
        descriptor_(descriptor),
        pages_(std::move(pages)),
        wants_codes_(codes && !std::is_same_v<Value, double>) {
    pages_->set_data_page_filter([this](const parquet::DataPageStats& page) {
      if (page.num_values < 0 || to_pass_ < static_cast<std::uint64_t>(page.num_values))
        return false;
      to_pass_ -= static_cast<std::uint64_t>(page.num_values);
      return true;
    });
  }

  Status pass(std::uint64_t rows) override {
    return guarded(label_, [&]() -> Status {
      const std::uint64_t here = std::min(rows, left_);
      POLYSOME_TRY(discard(here));
      to_pass_ += rows - here;
      return {};
    });
  }

  Result<std::uint64_t> available() override {
    if (left_ > 0) return left_;
    return guarded(label_, [&]() -> Result<std::uint64_t> {
      while (left_ == 0 && !ended_) {
        POLYSOME_TRY(next_page());
        const std::uint64_t here = std::min(to_pass_, left_);
        POLYSOME_TRY(discard(here));
        to_pass_ -= here;
      }
      return left_;
    });
  }

  Result<Rows> take(std::uint64_t n) override {
    return guarded(label_, [&] { return read(n); });
  }

  const Dictionary& dictionary() const override { return dictionary_; }

 private:
  using Stored = typename DType::c_type;
  using Decoder = typename parquet::EncodingTraits<DType>::Decoder;

  std::unexpected<Error> broken(const char* what) const { return failed(label_, what); }

  Status discard(std::uint64_t rows) {
    for (; rows > 0;) {
      const std::uint64_t n = std::min(rows, kPassedAtOnce);
      POLYSOME_TRY(read(n));
      rows -= n;
    }
    return {};
  }

  Status next_page() {
    page_ = pages_->NextPage();
    if (page_ == nullptr) {
      ended_ = true;
      return {};
    }
    switch (page_->type()) {
      case parquet::PageType::DICTIONARY_PAGE:
        return read_dictionary(static_cast<const parquet::DictionaryPage&>(*page_));
      case parquet::PageType::DATA_PAGE:
        return open_page(static_cast<const parquet::DataPageV1&>(*page_));
      case parquet::PageType::DATA_PAGE_V2:
        return open_page(static_cast<const parquet::DataPageV2&>(*page_));
      default: return {};  // pages of other kinds are to be passed over
    }
  }

  Status read_dictionary(const parquet::DictionaryPage& page) {
    if (coded_ != nullptr) return broken("a second dictionary");
    if (page.encoding() != parquet::Encoding::PLAIN &&
        page.encoding() != parquet::Encoding::PLAIN_DICTIONARY)
      return broken("a dictionary in an encoding that none has");
    const auto plain = parquet::MakeTypedDecoder<DType>(parquet::Encoding::PLAIN, &descriptor_,
                                                        arrow::system_memory_pool());
    plain->SetData(page.num_values(), page.data(), page.size());
    coded_ = parquet::MakeDictDecoder<DType>(&descriptor_, arrow::system_memory_pool());
    coded_->SetDict(plain.get());
    if (!wants_codes_) return {};
    const Stored* values = nullptr;
    std::int32_t size = 0;
    coded_->GetDictionary(&values, &size);
    if constexpr (!std::is_same_v<Value, double>) {
      auto& out = listed();
      out.resize(static_cast<std::size_t>(size));
      std::transform(values, values + size, out.begin(), value_of);
    }
    return {};
  }
  // The dictionary's values.
  auto& listed() {
    if constexpr (std::is_same_v<Value, std::string_view>)
      return dictionary_.texts;
    else
      return dictionary_.wholes;
  }

  Status open_page(const parquet::DataPageV1& page) {
    std::int32_t used = 0;
    if (optional())
      used = levels_.SetData(page.definition_level_encoding(), 1, page.num_values(), page.data(),
                             page.size());
    return open_values(page, used);
  }
  Status open_page(const parquet::DataPageV2& page) {
    // Levels of a flat column: those of repetition take no bytes.
    const std::int64_t levels =
        std::int64_t{page.repetition_levels_byte_length()} + page.definition_levels_byte_length();
    if (page.repetition_levels_byte_length() < 0 || page.definition_levels_byte_length() < 0 ||
        levels > page.size())
      return broken("levels that are longer than their page");
    if (optional())
      levels_.SetDataV2(page.definition_levels_byte_length(), 1, page.num_values(),
                        page.data() + page.repetition_levels_byte_length());
    return open_values(page, static_cast<std::int32_t>(levels));
  }
  // `used`: bytes before the values.
  Status open_values(const parquet::DataPage& page, std::int32_t used) {
    in_codes_ = page.encoding() == parquet::Encoding::PLAIN_DICTIONARY ||
                page.encoding() == parquet::Encoding::RLE_DICTIONARY;
    if (in_codes_) {
      if (coded_ == nullptr) return broken("codes without their dictionary");
      values_ = coded_.get();
    } else {
      auto& decoder = decoders_[page.encoding()];
      if (decoder == nullptr)
        decoder = parquet::MakeTypedDecoder<DType>(page.encoding(), &descriptor_,
                                                   arrow::system_memory_pool());
      values_ = decoder.get();
    }
    values_->SetData(page.num_values(), page.data() + used, page.size() - used);
    left_ = static_cast<std::uint64_t>(page.num_values());
    return {};
  }

  bool optional() const { return descriptor_.max_definition_level() > 0; }

  Result<Rows> read(std::uint64_t n) {
    Rows out;
    const int rows = static_cast<int>(n);
    int values = rows;
    if (optional()) {
      there_.resize(n);
      if (levels_.Decode(rows, there_.data()) != rows) return broken("fewer levels than rows");
      values = std::accumulate(there_.begin(), there_.end(), 0);
      if (values != rows) out.there = there_.data();
    }
    left_ -= n;
    out.values = static_cast<std::size_t>(values);
    if (in_codes_ && wants_codes_) {
      codes_.resize(n);
      if (coded_->DecodeIndices(values, codes_.data()) != values)
        return broken("fewer values than rows");
      if (!in_dictionary(out.values)) return broken("a code that its dictionary does not have");
      out.codes = codes_.data();
      return out;
    }
    stored_.resize(n);
    if (values_->Decode(stored_.data(), values) != values) return broken("fewer values than rows");
    if constexpr (std::is_same_v<Stored, Value>) {
      point_to(&out, stored_.data());
    } else {
      widened_.resize(n);
      std::transform(stored_.data(), stored_.data() + values, widened_.data(), value_of);
      point_to(&out, widened_.data());
    }
    return out;
  }

  bool in_dictionary(std::size_t values) {
    std::uint32_t most = 0;
    for (std::size_t i = 0; i < values; ++i)
      most = std::max(most, static_cast<std::uint32_t>(codes_[i]));
    return values == 0 || most < listed_size();
  }
  std::size_t listed_size() const {
    return std::is_same_v<Value, std::string_view> ? dictionary_.texts.size()
                                                   : dictionary_.wholes.size();
  }

  static void point_to(Rows* out, const std::string_view* values) { out->texts = values; }
  static void point_to(Rows* out, const std::int64_t* values) { out->wholes = values; }
  static void point_to(Rows* out, const double* values) { out->reals = values; }
  static Value value_of(const Stored& stored) {
    if constexpr (std::is_same_v<Stored, parquet::ByteArray>)
      return {reinterpret_cast<const char*>(stored.ptr), stored.len};
    else
      return static_cast<Value>(stored);
  }

  std::string label_;
  const parquet::ColumnDescriptor& descriptor_;
  std::unique_ptr<parquet::PageReader> pages_;
  bool wants_codes_;
  std::shared_ptr<parquet::Page> page_;  // texts lie in it
  bool ended_ = false;
  std::uint64_t to_pass_ = 0;  // rows of the pages to come
  std::uint64_t left_ = 0;     // rows of the page
  bool in_codes_ = false;      // so are the values of the page
  parquet::TypedDecoder<DType>* values_ = nullptr;
  std::unique_ptr<parquet::DictDecoder<DType>> coded_;
  std::map<parquet::Encoding::type, std::unique_ptr<Decoder>> decoders_;
  parquet::LevelDecoder levels_;
  Dictionary dictionary_;
  std::vector<std::int16_t> there_;
  std::vector<std::int32_t> codes_;
  std::vector<Stored> stored_;
  std::vector<Value> widened_;
};

}  // namespace

Result<std::unique_ptr<ParquetColumn>> make_parquet_column(
    const std::string& label, const parquet::ColumnDescriptor& descriptor,
    std::unique_ptr<parquet::PageReader> pages, bool codes) {
  const auto make = [&]<class DType, class Value>() -> std::unique_ptr<ParquetColumn> {
    return std::make_unique<Column<DType, Value>>(label, descriptor, std::move(pages), codes);
  };
  switch (descriptor.physical_type()) {
    case parquet::Type::INT32: return make.operator()<parquet::Int32Type, std::int64_t>();
    case parquet::Type::INT64: return make.operator()<parquet::Int64Type, std::int64_t>();
    case parquet::Type::FLOAT: return make.operator()<parquet::FloatType, double>();
    case parquet::Type::DOUBLE: return make.operator()<parquet::DoubleType, double>();
    case parquet::Type::BYTE_ARRAY:
      return make.operator()<parquet::ByteArrayType, std::string_view>();
    default: return failed(label, "is neither text nor number");
  }
}

}  // namespace polysome::columnar
