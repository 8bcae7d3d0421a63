// Writes a stream of text into plain-text parts, each ending behind a row, under names that say
// which file they are of and with which line they begin (part_name). One thread.
#pragma once

#include <cstdint>
#include <cstdio>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "data/quote_machine.h"
#include "data/table_source.h"

namespace polysome {

class PartWriter {
 public:
  // `file`: its number in the dataset. `inside`: the stream begins within a quoted field; nothing
  // may be written before drop_to_row_end() has found a row.
  PartWriter(TextShape shape, std::uint64_t part_bytes, std::string prefix, std::uint32_t file,
             bool inside)
      : machine_(shape, inside),
        quote_(shape.quote),
        part_bytes_(part_bytes),
        prefix_(std::move(prefix)),
        file_index_(file) {}

  // Bytes before the first row: header and comments. They are counted as lines only.
  void skip(std::string_view bytes);
  // Drops up to and with the next row end, which *ended tells; returns how much that was.
  std::size_t drop_to_row_end(std::string_view bytes, bool* ended);
  Status write(std::string_view bytes);
  // Writes up to and with the next row end, which *ended tells.
  Status write_to_row_end(std::string_view bytes, bool* ended);
  Status close();

  const QuoteMachine& machine() const { return machine_; }
  std::vector<UnpackedPart> take() { return std::move(parts_); }

 private:
  struct CloseFile {
    void operator()(std::FILE* f) const { std::fclose(f); }
  };
  Status write_without_quotes(std::string_view bytes);
  Status put(std::string_view bytes);

  QuoteMachine machine_;
  char quote_;
  std::uint64_t part_bytes_;
  std::string prefix_;
  std::uint32_t file_index_;
  std::uint64_t line_ = 1;       // of the byte that comes
  std::uint64_t part_line_ = 1;  // first line of the open part
  std::uint64_t size_ = 0;
  std::unique_ptr<std::FILE, CloseFile> file_;
  std::vector<UnpackedPart> parts_;
};

}  // namespace polysome
