#include "operations/byte_sink.h"

#include <fcntl.h>
#include <unistd.h>
#include <zlib.h>
#include <zstd.h>

#include <cerrno>
#include <vector>

#include "base/files.h"

namespace polysome {
namespace {

constexpr std::size_t kBlock = 1 << 20;
constexpr int kGzipWindow = 15 + 16;  // zlib's way to say gzip
constexpr int kZstdLevel = 3;

class PlainSink final : public ByteSink {
 public:
  PlainSink(std::string path, int fd) : ByteSink(std::move(path), fd) {}
  Status write(std::string_view bytes) override { return write_raw(bytes); }
  Status end_stream() override { return {}; }
};

class GzipSink final : public ByteSink {
 public:
  GzipSink(std::string path, int fd) : ByteSink(std::move(path), fd) {}
  ~GzipSink() override {
    if (open_) deflateEnd(&stream_);
  }
  Status write(std::string_view bytes) override {
    if (!open_) {
      stream_ = z_stream{};
      if (deflateInit2(&stream_, Z_DEFAULT_COMPRESSION, Z_DEFLATED, kGzipWindow, 8,
                       Z_DEFAULT_STRATEGY) != Z_OK)
        return fail(Code::kOutOfMemory, "no memory for gzip");
      open_ = true;
    }
    return pump(bytes, Z_NO_FLUSH);
  }
  Status end_stream() override {
    if (!open_) return {};
    POLYSOME_TRY(pump({}, Z_FINISH));
    deflateEnd(&stream_);
    open_ = false;
    return {};
  }

 private:
  Status pump(std::string_view bytes, int flush) {
    char out[1 << 16];
    stream_.next_in = reinterpret_cast<Bytef*>(const_cast<char*>(bytes.data()));
    stream_.avail_in = static_cast<uInt>(bytes.size());
    do {
      stream_.next_out = reinterpret_cast<Bytef*>(out);
      stream_.avail_out = sizeof out;
      if (deflate(&stream_, flush) == Z_STREAM_ERROR)
        return fail(Code::kInternal, "gzip refused its input");
      POLYSOME_TRY(write_raw({out, sizeof out - stream_.avail_out}));
    } while (stream_.avail_out == 0);
    return {};
  }

  z_stream stream_{};
  bool open_ = false;
};

class ZstdSink final : public ByteSink {
 public:
  ZstdSink(std::string path, int fd)
      : ByteSink(std::move(path), fd), context_(ZSTD_createCCtx(), &ZSTD_freeCCtx) {
    if (context_) ZSTD_CCtx_setParameter(context_.get(), ZSTD_c_compressionLevel, kZstdLevel);
  }
  Status write(std::string_view bytes) override {
    open_ = true;
    return pump(bytes, ZSTD_e_continue);
  }
  Status end_stream() override {
    if (!open_) return {};
    open_ = false;
    return pump({}, ZSTD_e_end);
  }

 private:
  Status pump(std::string_view bytes, ZSTD_EndDirective mode) {
    if (!context_) return fail(Code::kOutOfMemory, "no memory for zstd");
    std::vector<char> out(ZSTD_CStreamOutSize());
    ZSTD_inBuffer in{bytes.data(), bytes.size(), 0};
    std::size_t left = 0;
    do {
      ZSTD_outBuffer to{out.data(), out.size(), 0};
      left = ZSTD_compressStream2(context_.get(), &to, &in, mode);
      if (ZSTD_isError(left) != 0)
        return fail(Code::kInternal, std::string("zstd: ") + ZSTD_getErrorName(left));
      POLYSOME_TRY(write_raw({out.data(), to.pos}));
    } while (mode == ZSTD_e_end ? left != 0 : in.pos < in.size);
    return {};
  }

  std::unique_ptr<ZSTD_CCtx, decltype(&ZSTD_freeCCtx)> context_;
  bool open_ = false;
};

}  // namespace

Result<std::unique_ptr<ByteSink>> ByteSink::create(const std::string& path,
                                                   const std::string& compression) {
  const int fd = ::open(path.c_str(), O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0644);
  if (fd < 0) return fail(errno_error("cannot create", path, errno));
  if (compression == "gzip") return std::make_unique<GzipSink>(path, fd);
  if (compression == "zstd") return std::make_unique<ZstdSink>(path, fd);
  return std::make_unique<PlainSink>(path, fd);
}

ByteSink::~ByteSink() {
  if (fd_ < 0) return;
  ::close(fd_);
  ::unlink(path_.c_str());
}

Status ByteSink::write_raw(std::string_view bytes) {
  buffer_.append(bytes);
  return buffer_.size() < kBlock ? Status{} : flush();
}

Status ByteSink::flush() {
  POLYSOME_TRY(write_all(fd_, buffer_, path_));
  buffer_.clear();
  return {};
}

Status ByteSink::finish() {
  POLYSOME_TRY(end_stream());
  POLYSOME_TRY(flush());
  if (::fsync(fd_) != 0) return fail(errno_error("cannot sync", path_, errno));
  ::close(fd_);
  fd_ = -1;
  return {};
}

Status read_blocks(const std::string& path, const std::function<Status(std::string_view)>& take) {
  const int fd = ::open(path.c_str(), O_RDONLY | O_CLOEXEC);
  if (fd < 0) return fail(errno_error("cannot open", path, errno));
  std::vector<char> block(kBlock);
  Status status;
  for (;;) {
    const ssize_t n = ::read(fd, block.data(), block.size());
    if (n < 0 && errno == EINTR) continue;
    if (n < 0) status = fail(errno_error("cannot read", path, errno));
    if (n <= 0) break;
    status = take({block.data(), static_cast<std::size_t>(n)});
    if (!status) break;
  }
  ::close(fd);
  return status;
}

}  // namespace polysome
