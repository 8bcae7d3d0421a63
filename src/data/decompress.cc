#include "data/decompress.h"

#include <fmt/format.h>
#include <zlib.h>
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

Status gunzip(const std::string& path, Input file, const Block& block, const Read& read) {
  z_stream z{};
  if (inflateInit2(&z, 15 + 32) != Z_OK) return fail(Code::kOutOfMemory, "no memory to unpack");
  const std::unique_ptr<z_stream, int (*)(z_stream*)> guard(&z, inflateEnd);
  std::vector<unsigned char> in(kInput);
  std::vector<char> out(kOutput);
  bool member_open = false;
  for (;;) {
    const std::size_t n = file.next(in.data(), in.size());
    if (n == 0) break;
    if (read) read(file.taken());
    z.next_in = in.data();
    z.avail_in = static_cast<unsigned>(n);
    while (z.avail_in > 0) {
      // Zero padding behind the last member is allowed.
      if (!member_open && *z.next_in == 0) {
        ++z.next_in;
        --z.avail_in;
        continue;
      }
      member_open = true;
      int status = Z_OK;
      do {
        z.next_out = reinterpret_cast<unsigned char*>(out.data());
        z.avail_out = static_cast<unsigned>(out.size());
        status = inflate(&z, Z_NO_FLUSH);
        if (status != Z_OK && status != Z_STREAM_END && status != Z_BUF_ERROR)
          return damaged(path, file.at() - z.avail_in, z.msg != nullptr ? z.msg : "not gzip");
        const std::size_t got = out.size() - z.avail_out;
        if (got > 0) {
          POLYSOME_ASSIGN(const bool more, block({out.data(), got}));
          if (!more) return {};
        }
      } while (status == Z_OK && (z.avail_out == 0 || z.avail_in > 0));
      if (status == Z_STREAM_END) {
        member_open = false;
        inflateReset(&z);
      }
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
