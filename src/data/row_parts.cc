#include "data/row_parts.h"

#include <algorithm>
#include <cerrno>

#include "base/files.h"

namespace polysome {

Status RowParts::open() {
  parts_.push_back(
      {part_name(prefix_ + std::to_string(stream_) + "-", parts_.size(), 0, line_), 0, 0});
  file_.reset(std::fopen(parts_.back().path.c_str(), "wbe"));
  if (file_ == nullptr) return fail(errno_error("cannot create", parts_.back().path, errno));
  std::setvbuf(file_.get(), nullptr, _IOFBF, 1 << 20);
  return {};
}

Status RowParts::close() {
  if (file_ == nullptr) return {};
  if (std::fclose(file_.release()) != 0)
    return fail(errno_error("cannot write", parts_.back().path, errno));
  return {};
}

Status RowParts::add(std::string_view row) {
  if (file_ == nullptr) POLYSOME_TRY(open());
  if (std::fwrite(row.data(), 1, row.size(), file_.get()) != row.size())
    return fail(errno_error("cannot write", parts_.back().path, errno));
  parts_.back().bytes += row.size();
  total_ += row.size();
  line_ += static_cast<std::uint64_t>(std::count(row.begin(), row.end(), '\n'));
  return parts_.back().bytes < part_bytes_ ? Status{} : close();
}

void RowParts::append_text(std::string_view value, std::string* row) {
  // An empty text is quoted: a row of one empty field would be a blank line.
  const bool quote = value.empty() || value == kMissing ||
                     value.find_first_of(",\"\r\n") != std::string_view::npos;
  if (!quote) {
    row->append(value);
    return;
  }
  row->push_back('"');
  for (const char c : value) {
    if (c == '"') row->push_back('"');
    row->push_back(c);
  }
  row->push_back('"');
}

Result<std::vector<UnpackedPart>> RowParts::finish() {
  if (parts_.empty()) POLYSOME_TRY(open());
  POLYSOME_TRY(close());
  return std::move(parts_);
}

}  // namespace polysome
