#include "data/decompress.h"

#include <fmt/format.h>
#include <isa-l/igzip_lib.h>
#include <zstd.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <cstdio>
#include <filesystem>
#include <memory>
#include <vector>

#include "base/files.h"

namespace polysome {
namespace {

constexpr std::size_t kInput = 1 << 16;
constexpr std::size_t kOutput = 1 << 20;

struct CloseFile {
  void operator()(std::FILE* f) const { std::fclose(f); }
};
using File = std::unique_ptr<std::FILE, CloseFile>;

std::unexpected<Error> damaged(const std::string& path, std::uint64_t at, const std::string& why) {
  return fail(Code::kUserData,
              fmt::format("{}: damaged near byte {} of the compressed file: {}",
                          std::filesystem::path(path).filename().string(), at, why),
              "compress or copy the file again; gzip -t or zstd -t checks it");
}

using Block = std::function<Result<bool>(std::string_view)>;
using Read = std::function<void(std::uint64_t)>;

// The bytes of a stretch of a file.
class Input {
 public:
  Input(std::FILE* file, std::uint64_t begin, std::uint64_t end)
      : file_(file), at_(begin), begin_(begin), end_(end) {}
  std::size_t next(void* room, std::size_t bytes) {
    const std::size_t n = std::fread(
        room, 1, static_cast<std::size_t>(std::min<std::uint64_t>(bytes, end_ - at_)), file_);
    at_ += n;
    return n;
  }
  std::uint64_t at() const { return at_; }  // in the file
  std::uint64_t taken() const { return at_ - begin_; }
  bool failed() const { return std::ferror(file_) != 0; }

 private:
  std::FILE* file_;
  std::uint64_t at_, begin_, end_;
};

std::string_view why_not_inflated(int status) {
  switch (status) {
    case ISAL_INVALID_BLOCK:
    case ISAL_INVALID_SYMBOL:
    case ISAL_INVALID_LOOKBACK: return "its data is not what deflate writes";
    case ISAL_INCORRECT_CHECKSUM: return "incorrect data check";
    default: return "not gzip";
  }
}

Status gunzip(const std::string& path, Input file, const Block& block, const Read& read) {
  const auto z = std::make_unique<inflate_state>();
  isal_inflate_init(z.get());
  std::vector<unsigned char> in(kInput), out(kOutput);
  bool member_open = false;
  for (;;) {
    const std::size_t n = file.next(in.data(), in.size());
    if (n == 0) break;
    if (read) read(file.taken());
    z->next_in = in.data();
    z->avail_in = static_cast<std::uint32_t>(n);
    while (z->avail_in > 0) {
      // Zero padding behind the last member is allowed.
      if (!member_open && *z->next_in == 0) {
        ++z->next_in;
        --z->avail_in;
        continue;
      }
      if (!member_open) {
        isal_inflate_reset(z.get());
        z->crc_flag = ISAL_GZIP;  // with header and check
        member_open = true;
      }
      do {
        z->next_out = out.data();
        z->avail_out = static_cast<std::uint32_t>(out.size());
        const int status = isal_inflate(z.get());
        if (status < 0)
          return damaged(path, file.at() - z->avail_in, std::string(why_not_inflated(status)));
        const std::size_t got = out.size() - z->avail_out;
        if (got > 0) {
          POLYSOME_ASSIGN(const bool more, block({reinterpret_cast<const char*>(out.data()), got}));
          if (!more) return {};
        }
      } while (z->block_state != ISAL_BLOCK_FINISH && z->avail_out == 0);
      if (z->block_state == ISAL_BLOCK_FINISH) member_open = false;
    }
  }
  if (file.failed()) return fail(errno_error("cannot read", path, errno));
  if (member_open) return damaged(path, file.at(), "it ends before its data does");
  return {};
}

Status unzstd(const std::string& path, Input file, const Block& block, const Read& read) {
  const std::unique_ptr<ZSTD_DStream, size_t (*)(ZSTD_DStream*)> z(ZSTD_createDStream(),
                                                                   ZSTD_freeDStream);
  std::vector<char> in(kInput), out(kOutput);
  std::size_t pending = 0;
  for (;;) {
    const std::size_t n = file.next(in.data(), in.size());
    if (n == 0) break;
    if (read) read(file.taken());
    ZSTD_inBuffer input{in.data(), n, 0};
    bool full = false;
    while (input.pos < input.size || full) {
      ZSTD_outBuffer output{out.data(), out.size(), 0};
      pending = ZSTD_decompressStream(z.get(), &output, &input);
      if (ZSTD_isError(pending) != 0)
        return damaged(path, file.at() - n + input.pos, ZSTD_getErrorName(pending));
      full = output.pos == output.size;
      if (output.pos > 0) {
        POLYSOME_ASSIGN(const bool more, block({out.data(), output.pos}));
        if (!more) return {};
      }
      if (output.pos == 0 && input.pos == input.size) break;
    }
  }
  if (file.failed()) return fail(errno_error("cannot read", path, errno));
  if (pending != 0) return damaged(path, file.at(), "it ends before its data does");
  return {};
}

// A plain file among packed ones.
Status copy(const std::string& path, Input file, const Block& block, const Read& read) {
  std::vector<char> in(kOutput);
  for (;;) {
    const std::size_t n = file.next(in.data(), in.size());
    if (n == 0) break;
    if (read) read(file.taken());
    POLYSOME_ASSIGN(const bool more, block({in.data(), n}));
    if (!more) return {};
  }
  return file.failed() ? fail(errno_error("cannot read", path, errno)) : Status{};
}

}  // namespace

Status decompress(const std::string& path, const std::string& compression, const Block& block,
                  const Read& read, std::uint64_t begin, std::uint64_t end) {
  const File file(std::fopen(path.c_str(), "rbe"));
  if (file == nullptr) return fail(errno_error("cannot open", path, errno));
  if (begin > 0 && fseeko(file.get(), static_cast<off_t>(begin), SEEK_SET) != 0)
    return fail(errno_error("cannot read", path, errno));
  const Input input(file.get(), begin, end);
  if (compression.empty()) return copy(path, input, block, read);
  return compression == "zstd" ? unzstd(path, input, block, read)
                               : gunzip(path, input, block, read);
}

}  // namespace polysome
