#include "data/part_writer.h"

#include <cerrno>

#include "base/files.h"
#include "kernels/text_marks.h"

namespace polysome {

void PartWriter::skip(std::string_view bytes) {
  line_ += count_newlines(bytes);
  part_line_ = line_;
}

std::size_t PartWriter::drop_to_row_end(std::string_view bytes, bool* ended) {
  std::size_t n = 0;
  *ended = false;
  while (n < bytes.size() && !*ended) *ended = machine_.step(bytes[n++]);
  skip(bytes.substr(0, n));
  return n;
}

Status PartWriter::write(std::string_view block) {
  // Without a quote in sight every line feed ends a row: no need to look at each letter.
  if (!block.empty() && machine_.plain() &&
      (quote_ == '\0' || block.find(quote_) == std::string_view::npos))
    return write_without_quotes(block);
  std::size_t begin = 0;
  for (std::size_t i = 0; i < block.size(); ++i) {
    const char c = block[i];
    const bool row_end = machine_.step(c);
    line_ += c == '\n' ? 1 : 0;
    if (row_end && size_ + (i + 1 - begin) >= part_bytes_) {
      POLYSOME_TRY(put(block.substr(begin, i + 1 - begin)));
      POLYSOME_TRY(close());
      begin = i + 1;
      part_line_ = line_;
    }
  }
  return put(block.substr(begin));
}

Status PartWriter::write_without_quotes(std::string_view block) {
  std::string_view rest = block;
  while (!rest.empty()) {
    const std::uint64_t missing = part_bytes_ > size_ ? part_bytes_ - size_ : 1;
    const std::size_t newline = missing > rest.size()
                                    ? std::string_view::npos
                                    : rest.find('\n', static_cast<std::size_t>(missing) - 1);
    const std::string_view here =
        rest.substr(0, newline == std::string_view::npos ? newline : newline + 1);
    POLYSOME_TRY(put(here));
    line_ += count_newlines(here);
    rest.remove_prefix(here.size());
    if (newline == std::string_view::npos) break;
    POLYSOME_TRY(close());
    part_line_ = line_;
  }
  machine_.pass(block);
  return {};
}

Status PartWriter::write_to_row_end(std::string_view bytes, bool* ended) {
  std::size_t n = 0;
  *ended = false;
  while (n < bytes.size() && !*ended) *ended = machine_.step(bytes[n++]);
  line_ += count_newlines(bytes.substr(0, n));
  return put(bytes.substr(0, n));
}

Status PartWriter::close() {
  if (file_ == nullptr) return {};
  const int status = std::fclose(file_.release());
  if (status != 0) return fail(errno_error("cannot write", parts_.back().path, errno));
  parts_.back().bytes = size_;
  size_ = 0;
  return {};
}

Status PartWriter::put(std::string_view bytes) {
  if (bytes.empty()) return {};
  if (file_ == nullptr) {
    parts_.push_back({part_name(prefix_, parts_.size(), file_index_, part_line_), 0, 0});
    file_.reset(std::fopen(parts_.back().path.c_str(), "wbe"));
    if (file_ == nullptr) return fail(errno_error("cannot create", parts_.back().path, errno));
  }
  if (std::fwrite(bytes.data(), 1, bytes.size(), file_.get()) != bytes.size())
    return fail(errno_error("cannot write", parts_.back().path, errno));
  size_ += bytes.size();
  return {};
}

}  // namespace polysome
