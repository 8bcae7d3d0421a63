#include "data/file_listing.h"

#include <dirent.h>
#include <fmt/format.h>
#include <fnmatch.h>
#include <sys/stat.h>

#include <algorithm>
#include <cerrno>
#include <filesystem>
#include <memory>
#include <string_view>
#include <vector>

#include "base/files.h"

namespace polysome {
namespace {
namespace fs = std::filesystem;

constexpr int kMostKeys = 16;
constexpr std::string_view kPattern = "*?[";

bool visible(std::string_view name) {
  return !name.empty() && name.front() != '.' && name.front() != '_';
}

struct Entry {
  std::string name;
  bool folder = false;
  bool link = false;
};

// Files and folders of a folder whose names `take` lets pass; whatever else there is is left out.
template <class Take>
Result<std::vector<Entry>> entries_of(const std::string& folder, const Take& take) {
  const std::unique_ptr<DIR, int (*)(DIR*)> dir(::opendir(folder.c_str()), ::closedir);
  if (dir == nullptr) return fail(errno_error("cannot list", folder, errno));
  std::vector<Entry> out;
  for (;;) {
    errno = 0;
    const dirent* e = ::readdir(dir.get());
    if (e == nullptr) break;
    const std::string_view name = e->d_name;
    if (name == "." || name == ".." || !take(name)) continue;
    unsigned type = e->d_type;
    const bool link = type == DT_LNK;
    if (link || type == DT_UNKNOWN) {
      struct stat st{};
      if (::fstatat(::dirfd(dir.get()), e->d_name, &st, 0) != 0) continue;
      type = S_ISREG(st.st_mode) ? DT_REG : S_ISDIR(st.st_mode) ? DT_DIR : DT_FIFO;
    }
    // What a system does not tell may be a link as well.
    if (type == DT_REG || type == DT_DIR)
      out.push_back({std::string(name), type == DT_DIR, link || e->d_type == DT_UNKNOWN});
  }
  if (errno != 0) return fail(errno_error("cannot list", folder, errno));
  return out;
}

class Lister {
 public:
  explicit Lister(std::size_t most) : most_(most) {}
  FileListing out;

  Status folder(const std::string& path, int depth) {
    POLYSOME_ASSIGN(auto all,
                    entries_of(path, [](std::string_view name) { return visible(name); }));
    const auto folders =
        std::stable_partition(all.begin(), all.end(), [](const Entry& e) { return !e.folder; });
    std::vector<Entry> keys;
    for (auto it = folders; it != all.end(); ++it)
      if (is_key_folder(it->name))
        keys.push_back(std::move(*it));
      else
        sub_folder_ = it->name;
    all.erase(folders, all.end());
    sort(&all);
    for (const auto& e : all)
      if (!add(path + "/" + e.name, !e.link)) return {};
    if (!keys.empty() && depth >= kMostKeys)
      return fail(Code::kUserData, fmt::format("{}: more than {} key=value folders within one "
                                               "another",
                                               path, kMostKeys));
    std::ranges::sort(keys, {}, &Entry::name);
    for (const auto& e : keys) {
      if (full()) break;
      POLYSOME_TRY(folder(path + "/" + e.name, depth + 1));
    }
    return {};
  }

  // What matches parts[at…] below `path`.
  Status matches(const std::string& path, const std::vector<std::string>& parts, std::size_t at) {
    const std::string& part = parts[at];
    const bool last = at + 1 == parts.size();
    POLYSOME_ASSIGN(auto all, entries_of(path, [&](std::string_view name) {
                      return ::fnmatch(part.c_str(), std::string(name).c_str(), FNM_PERIOD) == 0;
                    }));
    if (last) std::erase_if(all, [](const Entry& e) { return !e.folder && !visible(e.name); });
    std::ranges::sort(all, {}, &Entry::name);
    for (const auto& e : all) {
      if (full()) return {};
      std::string here = (path == "/" ? "" : path) + "/" + e.name;
      if (!e.folder) {
        if (last) (void)add(std::move(here), !e.link);
        continue;
      }
      if (e.link) {
        std::error_code ec;
        here = fs::canonical(here, ec).string();
        if (ec) continue;
      }
      // "year=*" means what lies in these folders.
      if (last && is_key_folder(e.name)) POLYSOME_TRY(folder(here, 1));
      // A folder that may not be looked into holds nothing for us, as for a shell.
      if (!last) (void)matches(here, parts, at + 1);
    }
    return {};
  }

  const std::string& sub_folder() const { return sub_folder_; }

 private:
  bool full() const { return out.more; }
  bool add(std::string path, bool real) {
    if (out.files.size() == most_) {
      out.more = true;
      return false;
    }
    out.files.push_back({std::move(path), real});
    return true;
  }
  // In order as far as they are wanted.
  void sort(std::vector<Entry>* entries) const {
    const std::size_t left = most_ - out.files.size();
    const auto by_name = [](const Entry& a, const Entry& b) { return a.name < b.name; };
    if (entries->size() > left) {
      const auto wanted = entries->begin() + static_cast<std::ptrdiff_t>(left);
      std::nth_element(entries->begin(), wanted, entries->end(), by_name);
      std::sort(entries->begin(), wanted, by_name);
    } else {
      std::sort(entries->begin(), entries->end(), by_name);
    }
  }

  std::size_t most_;
  std::string sub_folder_;  // that was not entered
};

}  // namespace

bool is_key_folder(const std::string& name) {
  const auto at = name.find('=');
  return at != std::string::npos && at > 0 && visible(name);
}

Result<FileListing> list_files(const std::string& source, std::size_t most) {
  Lister lister(most);
  std::error_code ec;
  if (fs::is_directory(source, ec)) {
    const std::string folder = fs::canonical(source, ec).string();
    if (ec) return fail(errno_error("cannot list", source, ec.value()));
    POLYSOME_TRY(lister.folder(folder, 0));
    lister.out.root = folder;
    if (lister.out.files.empty())
      return fail(Code::kUserData, fmt::format("the folder {} holds no files", source),
                  lister.sub_folder().empty()
                      ? ""
                      : fmt::format("its sub-folders ({}, …) are not looked into unless they are "
                                    "named key=value; a pattern does so: {}/*/*",
                                    lister.sub_folder(), source));
    return std::move(lister.out);
  }
  if (fs::exists(source, ec)) {
    lister.out.files.push_back({source, false});
    lister.out.root = fs::path(source).parent_path().string();
    return std::move(lister.out);
  }
  const auto pattern = source.find_first_of(kPattern);
  if (pattern == std::string::npos)
    return fail(Code::kIo, fmt::format("{} is not there", source), "was it moved or renamed?");
  const auto slash = source.rfind('/', pattern);
  const std::string fixed = slash == std::string::npos ? "." : source.substr(0, slash + 1);
  lister.out.root = fs::canonical(fixed, ec).string();
  if (!ec) {
    std::vector<std::string> parts;
    for (const auto& part : fs::path(source.substr(slash == std::string::npos ? 0 : slash + 1)))
      parts.push_back(part.string());
    (void)lister.matches(lister.out.root, parts, 0);
  }
  if (lister.out.files.empty())
    return fail(Code::kUserData, fmt::format("no file matches {}", source));
  return std::move(lister.out);
}

}  // namespace polysome
