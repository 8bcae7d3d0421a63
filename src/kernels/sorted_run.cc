#include "kernels/sorted_run.h"

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <cstring>
#include <utility>

#include "base/files.h"

namespace polysome {
namespace {

constexpr std::uint64_t kMagic = 0x31304e5552535021ULL;
constexpr std::uint64_t kFirstStep = 16 << 10;
constexpr std::size_t kHead = 8;  // the two lengths of a record

class File {
 public:
  File(const std::string& path, int flags) : path_(path), fd_(::open(path.c_str(), flags, 0644)) {}
  ~File() {
    if (fd_ >= 0) ::close(fd_);
  }
  File(const File&) = delete;
  File& operator=(const File&) = delete;

  bool is_open() const { return fd_ >= 0; }
  const std::string& path() const { return path_; }
  Status write(std::string_view bytes) const { return write_all(fd_, bytes, path_); }
  // All of [offset, offset + size).
  Status read(char* to, std::size_t size, std::uint64_t offset) const {
    while (size > 0) {
      const ssize_t n = ::pread(fd_, to, size, static_cast<off_t>(offset));
      if (n < 0 && errno == EINTR) continue;
      if (n < 0) return fail(errno_error("cannot read", path_, errno));
      if (n == 0) return lost();
      to += n;
      size -= static_cast<std::size_t>(n);
      offset += static_cast<std::size_t>(n);
    }
    return {};
  }
  std::unexpected<Error> lost() const {
    return fail(Code::kIo, path_ + " is not a whole run of records");
  }
  Result<std::uint64_t> size() const {
    struct stat st{};
    if (::fstat(fd_, &st) != 0) return fail(errno_error("cannot read", path_, errno));
    return static_cast<std::uint64_t>(st.st_size);
  }

 private:
  const std::string path_;
  const int fd_;
};

template <class T>
void put(std::string* out, T value) {
  out->append(reinterpret_cast<const char*>(&value), sizeof value);
}

template <class T>
T get(const char* at) {
  T value;
  std::memcpy(&value, at, sizeof value);
  return value;
}

std::unexpected<Error> cannot_open(const char* what, const std::string& path) {
  return fail(errno_error(what, path, errno));
}

}  // namespace

// --- writing ---

struct RunWriter::State {
  File file;
  std::size_t limit;
  std::string buffer;
  RunIndex index;
  std::uint64_t step = kFirstStep;
  std::uint64_t next_sample = 0;

  State(const std::string& path, std::size_t buffer_size)
      : file(path, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC), limit(buffer_size) {}
  Status flush() {
    POLYSOME_TRY(file.write(buffer));
    buffer.clear();
    return {};
  }
  void sample(std::string_view key) {
    if (index.samples.size() >= kMostSamples) {
      for (std::size_t i = 1; 2 * i < index.samples.size(); ++i)
        index.samples[i] = std::move(index.samples[2 * i]);
      index.samples.resize((index.samples.size() + 1) / 2);
      step *= 2;
    }
    index.samples.push_back({std::string(key), index.end, index.records});
    next_sample = index.end + step;
  }
};

RunWriter::RunWriter(std::unique_ptr<State> state) : state_(std::move(state)) {}
RunWriter::~RunWriter() = default;
RunWriter::RunWriter(RunWriter&&) noexcept = default;

Result<RunWriter> RunWriter::create(const std::string& path, std::size_t buffer) {
  auto state = std::make_unique<State>(path, buffer);
  if (!state->file.is_open()) return cannot_open("cannot make", path);
  state->buffer.reserve(buffer + (buffer >> 2));
  return RunWriter(std::move(state));
}

Status RunWriter::add(std::string_view key, std::string_view body) {
  State& s = *state_;
  if (s.index.end >= s.next_sample) s.sample(key);
  put(&s.buffer, static_cast<std::uint32_t>(key.size()));
  put(&s.buffer, static_cast<std::uint32_t>(body.size()));
  s.buffer.append(key);
  s.buffer.append(body);
  s.index.end += kHead + key.size() + body.size();
  ++s.index.records;
  return s.buffer.size() >= s.limit ? s.flush() : Status{};
}

Status RunWriter::finish() {
  State& s = *state_;
  for (const auto& sample : s.index.samples) {
    put(&s.buffer, static_cast<std::uint32_t>(sample.key.size()));
    put(&s.buffer, sample.offset);
    put(&s.buffer, sample.ordinal);
    s.buffer.append(sample.key);
  }
  put(&s.buffer, s.index.records);
  put(&s.buffer, s.index.end);
  put(&s.buffer, static_cast<std::uint64_t>(s.index.samples.size()));
  put(&s.buffer, kMagic);
  return s.flush();
}

std::uint64_t RunWriter::records() const { return state_->index.records; }

// --- reading ---

Result<RunIndex> read_run_index(const std::string& path) {
  const File file(path, O_RDONLY | O_CLOEXEC);
  if (!file.is_open()) return cannot_open("cannot read", path);
  POLYSOME_ASSIGN(const std::uint64_t size, file.size());
  std::array<char, 32> footer{};
  if (size < footer.size()) return file.lost();
  POLYSOME_TRY(file.read(footer.data(), footer.size(), size - footer.size()));
  RunIndex out;
  out.records = get<std::uint64_t>(footer.data());
  out.end = get<std::uint64_t>(footer.data() + 8);
  const auto samples = get<std::uint64_t>(footer.data() + 16);
  if (get<std::uint64_t>(footer.data() + 24) != kMagic || out.end > size - footer.size() ||
      samples > kMostSamples)
    return file.lost();
  std::string text(size - footer.size() - out.end, '\0');
  POLYSOME_TRY(file.read(text.data(), text.size(), out.end));
  std::size_t at = 0;
  for (std::uint64_t i = 0; i < samples; ++i) {
    if (text.size() - at < 20) return file.lost();
    const auto length = get<std::uint32_t>(text.data() + at);
    RunSample sample{
        {}, get<std::uint64_t>(text.data() + at + 4), get<std::uint64_t>(text.data() + at + 12)};
    at += 20;
    if (text.size() - at < length) return file.lost();
    sample.key = text.substr(at, length);
    at += length;
    out.samples.push_back(std::move(sample));
  }
  return out;
}

struct RunReader::State {
  std::string path;      // opened for each fill: thousands of runs may be read at once
  std::uint64_t offset;  // of what is to be read next
  std::uint64_t end;
  std::uint64_t ordinal;  // of the next record
  std::string buffer;
  std::size_t at = 0, filled = 0;  // of the buffer
  std::string_view key, body;

  State(std::string path_, const RunSample& from, std::uint64_t end_)
      : path(std::move(path_)), offset(from.offset), end(end_), ordinal(from.ordinal) {}
  // At least `size` bytes at `at`, unless the end comes first.
  Status need(std::size_t size) {
    if (filled - at >= size) return {};
    std::memmove(buffer.data(), buffer.data() + at, filled - at);
    filled -= at;
    at = 0;
    if (buffer.size() < size) buffer.resize(size);
    const File file(path, O_RDONLY | O_CLOEXEC);
    if (!file.is_open()) return cannot_open("cannot read", path);
    const std::size_t more =
        static_cast<std::size_t>(std::min<std::uint64_t>(buffer.size() - filled, end - offset));
    POLYSOME_TRY(file.read(buffer.data() + filled, more, offset));
    filled += more;
    offset += more;
    return filled >= size ? Status{} : file.lost();
  }
};

RunReader::RunReader(std::unique_ptr<State> state) : state_(std::move(state)) {}
RunReader::~RunReader() = default;
RunReader::RunReader(RunReader&&) noexcept = default;

Result<RunReader> RunReader::open(const std::string& path, const RunSample& from, std::uint64_t end,
                                  std::size_t buffer) {
  auto state = std::make_unique<State>(path, from, end);
  state->buffer.resize(std::max<std::size_t>(buffer, kHead));
  return RunReader(std::move(state));
}

Result<bool> RunReader::next() {
  State& s = *state_;
  if (s.at == s.filled && s.offset >= s.end) return false;
  POLYSOME_TRY(s.need(kHead));
  const auto key = get<std::uint32_t>(s.buffer.data() + s.at);
  const auto body = get<std::uint32_t>(s.buffer.data() + s.at + 4);
  POLYSOME_TRY(s.need(kHead + std::size_t{key} + body));
  s.key = {s.buffer.data() + s.at + kHead, key};
  s.body = {s.buffer.data() + s.at + kHead + key, body};
  s.at += kHead + std::size_t{key} + body;
  ++s.ordinal;
  return true;
}

std::string_view RunReader::key() const { return state_->key; }
std::string_view RunReader::body() const { return state_->body; }
std::uint64_t RunReader::ordinal() const { return state_->ordinal - 1; }

}  // namespace polysome
