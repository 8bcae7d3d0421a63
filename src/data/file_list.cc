// On disk: the number of files and of groups, the facts, where each file and each group begins (all
// 64 bits, little endian), then the groups and the files. A group is what neighbours have in
// common: their folder and how they are read. Numbers in them are LEB128.
#include "data/file_list.h"

#include <algorithm>
#include <stdexcept>
#include <string_view>

#include "base/files.h"
#include "data/file_map.h"

namespace polysome {
namespace {

constexpr std::size_t kHead = 5;  // numbers before the places

void put_fixed(std::string* to, std::uint64_t value) {
  for (int i = 0; i < 8; ++i) to->push_back(static_cast<char>(value >> (8 * i)));
}
std::uint64_t get_fixed(const char* from) {
  std::uint64_t value = 0;
  for (int i = 0; i < 8; ++i)
    value |= static_cast<std::uint64_t>(static_cast<unsigned char>(from[i])) << (8 * i);
  return value;
}

void put(std::string* to, std::uint64_t value) {
  for (; value >= 0x80; value >>= 7) to->push_back(static_cast<char>(value | 0x80));
  to->push_back(static_cast<char>(value));
}
void put(std::string* to, std::string_view text) {
  put(to, text.size());
  to->append(text);
}
template <class T>
void put_all(std::string* to, const std::vector<T>& values) {
  put(to, values.size());
  for (const auto v : values) put(to, std::uint64_t{v});
}

// Reads what was written; past the end it throws.
class Reader {
 public:
  explicit Reader(std::string_view bytes) : rest_(bytes) {}
  std::uint64_t number() {
    std::uint64_t value = 0;
    for (int shift = 0; shift < 64; shift += 7) {
      if (rest_.empty()) break;
      const auto c = static_cast<unsigned char>(rest_.front());
      rest_.remove_prefix(1);
      value |= std::uint64_t{c & 0x7fU} << shift;
      if (c < 0x80) return value;
    }
    throw std::runtime_error("a list of files is cut off");
  }
  std::string_view text() {
    const std::uint64_t n = number();
    if (n > rest_.size()) throw std::runtime_error("a list of files is cut off");
    const auto out = rest_.substr(0, n);
    rest_.remove_prefix(n);
    return out;
  }
  std::uint64_t fixed() {
    if (rest_.size() < 8) throw std::runtime_error("a list of files is cut off");
    const std::uint64_t value = get_fixed(rest_.data());
    rest_.remove_prefix(8);
    return value;
  }
  template <class T>
  std::vector<T> all() {
    std::vector<T> out(std::min<std::uint64_t>(number(), rest_.size()));
    for (auto& v : out) v = static_cast<T>(number());
    return out;
  }

 private:
  std::string_view rest_;
};

std::string_view folder_of(const SourceFile& f) {
  return std::string_view(f.path).substr(0, f.path.rfind('/') + 1);
}

bool same_group(const SourceFile& a, const SourceFile& b) {
  return a.row_fields == b.row_fields && folder_of(a) == folder_of(b) &&
         a.compression == b.compression && a.fields == b.fields &&
         a.folder_values == b.folder_values;
}

void put_group(std::string* to, const SourceFile& f) {
  put(to, folder_of(f));
  put(to, f.compression);
  put(to, std::uint64_t{f.row_fields});
  put_all(to, f.fields);
  put(to, f.folder_values.size());
  for (const auto& v : f.folder_values) {
    put(to, v ? std::uint64_t{1} : std::uint64_t{0});
    put(to, v.value_or(""));
  }
}

void put_file(std::string* to, const SourceFile& f, std::uint64_t group) {
  put(to, group);
  put(to, std::string_view(f.path).substr(folder_of(f).size()));
  put(to, f.bytes);
  put(to, static_cast<std::uint64_t>(f.mtime_ns));
  put_fixed(to, f.fingerprint);
  put(to, f.data_offset);
  put(to, f.first_line);
  put(to, f.rows ? *f.rows + 1 : std::uint64_t{0});
  put(to, f.shown_as);
  put_all(to, f.groups);
  put_all(to, f.cuts);
}

void add(const SourceFile& f, FileList::Facts* facts) {
  facts->bytes += f.bytes;
  facts->compressed = facts->compressed || !f.compression.empty();
  facts->same_columns = facts->same_columns && f.row_fields == 0 &&
                        std::ranges::find(f.fields, kAbsent) == f.fields.end();
}

}  // namespace

const SourceFile& FileList::at(std::size_t i) const {
  if (i >= size()) throw std::out_of_range("a file that is not in the list");
  return (*this)[i];
}

FileList::Facts FileList::facts() const {
  if (stored_) return facts_;
  Facts out;
  for (const auto& f : own_) add(f, &out);
  return out;
}

Status FileList::write(const std::string& path) const {
  std::string groups, files;
  std::vector<std::uint64_t> group_at, file_at;
  file_at.reserve(size());
  Facts all;
  SourceFile before;
  for (const auto& f : *this) {
    if (group_at.empty() || !same_group(before, f)) {
      group_at.push_back(groups.size());
      put_group(&groups, f);
      before = f;
    }
    add(f, &all);
    file_at.push_back(files.size());
    put_file(&files, f, group_at.size() - 1);
  }
  std::string out;
  out.reserve(8 * (kHead + group_at.size() + file_at.size()) + groups.size() + files.size());
  for (const std::uint64_t v :
       {std::uint64_t{file_at.size()}, std::uint64_t{group_at.size()}, all.bytes,
        std::uint64_t{all.compressed ? 1U : 0U}, std::uint64_t{all.same_columns ? 1U : 0U}})
    put_fixed(&out, v);
  const std::uint64_t begin = 8 * (kHead + group_at.size() + file_at.size());
  for (const auto at : group_at) put_fixed(&out, begin + at);
  for (const auto at : file_at) put_fixed(&out, begin + groups.size() + at);
  out += groups;
  out += files;
  return write_file(path, out, false);
}

Result<FileList> FileList::open(const std::string& path) {
  auto map = FileMap::open(path);
  if (!map) return fail(Code::kIo, "output lost: " + map.error().message);
  const auto text = (*map)->text();
  FileList out;
  const auto cut_off = [&] { return fail(Code::kIo, "output lost: " + path + " is cut off"); };
  if (text.size() < 8 * kHead) return cut_off();
  out.n_ = get_fixed(text.data());
  const std::uint64_t groups = get_fixed(text.data() + 8);
  if (out.n_ > text.size() || groups > text.size() || text.size() / 8 < kHead + groups + out.n_)
    return cut_off();
  out.facts_ = {get_fixed(text.data() + 16), get_fixed(text.data() + 24) != 0,
                get_fixed(text.data() + 32) != 0};
  out.stored_ = std::move(*map);
  return out;
}

SourceFile FileList::read(std::size_t i) const {
  const auto text = stored_->text();
  const auto from = [&](std::uint64_t place) {
    return Reader(text.substr(std::min<std::size_t>(
        static_cast<std::size_t>(get_fixed(text.data() + 8 * (kHead + place))), text.size())));
  };
  const std::uint64_t groups = get_fixed(text.data() + 8);
  Reader file = from(groups + i);
  const std::uint64_t group_index = file.number();
  if (group_index >= groups) throw std::runtime_error("a list of files is damaged");
  Reader group = from(group_index);
  SourceFile out;
  out.path = group.text();
  out.path += file.text();
  out.compression = group.text();
  out.row_fields = static_cast<std::uint32_t>(group.number());
  out.fields = group.all<std::uint32_t>();
  const std::uint64_t values = group.number();
  FolderValues::List list;
  for (std::uint64_t v = 0; v < values; ++v) {
    const bool there = group.number() != 0;
    const std::string value(group.text());
    list.push_back(there ? std::optional(value) : std::nullopt);
  }
  out.folder_values = FolderValues(std::move(list));
  out.bytes = file.number();
  out.mtime_ns = static_cast<std::int64_t>(file.number());
  out.fingerprint = file.fixed();
  out.data_offset = file.number();
  out.first_line = file.number();
  if (const std::uint64_t rows = file.number(); rows > 0) out.rows = rows - 1;
  out.shown_as = file.text();
  out.groups = file.all<std::uint64_t>();
  out.cuts = file.all<std::uint64_t>();
  return out;
}

const SourceFile& FileList::stored(std::size_t i) const {
  const auto it = known_.find(i);
  return it != known_.end() ? it->second : known_.emplace(i, read(i)).first->second;
}

std::vector<SourceFile>& FileList::own() {
  if (!stored_) return own_;
  std::vector<SourceFile> all;
  all.reserve(n_);
  for (std::size_t i = 0; i < n_; ++i) all.push_back(read(i));
  *this = FileList(std::move(all));
  return own_;
}

}  // namespace polysome
