#include "data/decompress.h"

#include <fmt/format.h>
#include <zlib.h>
#include <zstd.h>

#include <array>
#include <cstdio>
#include <filesystem>
#include <memory>
#include <vector>

#include "base/files.h"

namespace polysome {
namespace {

constexpr std::size_t kInput = 1 << 18;
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

Status gunzip(const std::string& path, std::FILE* file, const Block& block, const Read& read) {
  z_stream z{};
  if (inflateInit2(&z, 15 + 32) != Z_OK) return fail(Code::kOutOfMemory, "no memory to unpack");
  const std::unique_ptr<z_stream, int (*)(z_stream*)> guard(&z, inflateEnd);
  std::vector<unsigned char> in(kInput);
  std::vector<char> out(kOutput);
  std::uint64_t taken = 0;
  bool member_open = false;
  for (;;) {
    const std::size_t n = std::fread(in.data(), 1, in.size(), file);
    if (n == 0) break;
    taken += n;
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
          return damaged(path, taken - z.avail_in, z.msg != nullptr ? z.msg : "not gzip");
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
    if (read) read(taken);
  }
  if (std::ferror(file) != 0) return fail(errno_error("cannot read", path, errno));
  if (member_open) return damaged(path, taken, "it ends before its data does");
  return {};
}

Status unzstd(const std::string& path, std::FILE* file, const Block& block, const Read& read) {
  const std::unique_ptr<ZSTD_DStream, size_t (*)(ZSTD_DStream*)> z(ZSTD_createDStream(),
                                                                   ZSTD_freeDStream);
  std::vector<char> in(kInput), out(kOutput);
  std::uint64_t taken = 0;
  std::size_t pending = 0;
  for (;;) {
    const std::size_t n = std::fread(in.data(), 1, in.size(), file);
    if (n == 0) break;
    taken += n;
    ZSTD_inBuffer input{in.data(), n, 0};
    bool full = false;
    while (input.pos < input.size || full) {
      ZSTD_outBuffer output{out.data(), out.size(), 0};
      pending = ZSTD_decompressStream(z.get(), &output, &input);
      if (ZSTD_isError(pending) != 0)
        return damaged(path, taken - n + input.pos, ZSTD_getErrorName(pending));
      full = output.pos == output.size;
      if (output.pos > 0) {
        POLYSOME_ASSIGN(const bool more, block({out.data(), output.pos}));
        if (!more) return {};
      }
      if (output.pos == 0 && input.pos == input.size) break;
    }
    if (read) read(taken);
  }
  if (std::ferror(file) != 0) return fail(errno_error("cannot read", path, errno));
  if (pending != 0) return damaged(path, taken, "it ends before its data does");
  return {};
}

}  // namespace

Result<std::string> compression_of(const std::string& path) {
  const File file(std::fopen(path.c_str(), "rbe"));
  if (file == nullptr) return fail(errno_error("cannot open", path, errno));
  std::array<unsigned char, 4> head{};
  const std::size_t n = std::fread(head.data(), 1, head.size(), file.get());
  if (std::ferror(file.get()) != 0) return fail(errno_error("cannot read", path, errno));
  if (n >= 2 && head[0] == 0x1f && head[1] == 0x8b) return std::string("gzip");
  if (n >= 4 && head[0] == 0x28 && head[1] == 0xb5 && head[2] == 0x2f && head[3] == 0xfd)
    return std::string("zstd");
  return std::string();
}

Status decompress(const std::string& path, const std::string& compression, const Block& block,
                  const Read& read) {
  const File file(std::fopen(path.c_str(), "rbe"));
  if (file == nullptr) return fail(errno_error("cannot open", path, errno));
  return compression == "zstd" ? unzstd(path, file.get(), block, read)
                               : gunzip(path, file.get(), block, read);
}

}  // namespace polysome
