// The files of a dataset, as they were looked at. A list is made in memory by the planner, written
// beside the plan, and read by the tasks from there: a dataset of a million files costs a task no
// more than the files it reads. One thread.
#pragma once

#include <cstdint>
#include <initializer_list>
#include <iterator>
#include <memory>
#include <optional>
#include <string>
#include <unordered_map>
#include <vector>

#include "base/result.h"

namespace polysome {

// What the key=value folders above a file say, key by key; files of one folder share it.
class FolderValues {
 public:
  using List = std::vector<std::optional<std::string>>;
  FolderValues() = default;
  FolderValues(List values)  // NOLINT: as a list is
      : list_(values.empty() ? nullptr : std::make_shared<const List>(std::move(values))) {}
  std::size_t size() const { return list().size(); }
  bool empty() const { return list_ == nullptr; }
  const std::optional<std::string>& operator[](std::size_t i) const { return list()[i]; }
  List::const_iterator begin() const { return list().begin(); }
  List::const_iterator end() const { return list().end(); }
  bool operator==(const FolderValues& other) const {
    return list_ == other.list_ || list() == other.list();
  }

 private:
  const List& list() const {
    static const List kNone;
    return list_ ? *list_ : kNone;
  }
  std::shared_ptr<const List> list_;
};

struct SourceFile {
  std::string path;  // absolute, links resolved, below a data folder
  std::uint64_t bytes = 0;
  std::int64_t mtime_ns = 0;  // a file that changed under a job is an error (kIo, naming both)
  std::string compression;    // "", "gzip", "zstd"
  std::optional<std::uint64_t> rows;  // exact, where the format knows (Parquet)
  std::string shown_as;  // in messages; empty: the file's name. Parts of an unpacked file: its name
  std::uint64_t first_line = 1;  // line number of its first line in that file
  std::uint64_t data_offset =
      0;  // text: where the first row after mark, comments and header begins
  // Field of each column where this file's columns are not the dataset's own in order; kAbsent
  // where it lacks one (text, Parquet, JSON: of other formats only the absence is used).
  std::vector<std::uint32_t> fields;
  std::uint32_t row_fields = 0;       // text: fields of its rows, when not those of the dialect
  std::vector<std::uint64_t> groups;  // Parquet: rows of each row group
  std::uint64_t fingerprint = 0;      // of its ends (file_look.h); 0: not looked at
  std::vector<std::uint64_t> cuts;    // compressed text: where further stretches begin
  FolderValues folder_values;         // of the dataset's folder_keys
};
inline constexpr std::uint32_t kAbsent = UINT32_MAX;

class FileMap;

// Like a vector. References into one that was opened from disk hold until let_go().
class FileList {
 public:
  // What all of the files come to.
  struct Facts {
    std::uint64_t bytes = 0;
    bool compressed = false;   // one of them at least
    bool same_columns = true;  // none lacks a column or has rows of another length
  };

  FileList() = default;
  FileList(std::initializer_list<SourceFile> files) : own_(files) {}
  FileList(std::vector<SourceFile> files) : own_(std::move(files)) {}  // NOLINT: as a vector is

  std::size_t size() const { return stored_ ? n_ : own_.size(); }
  bool empty() const { return size() == 0; }
  const SourceFile& operator[](std::size_t i) const { return stored_ ? stored(i) : own_[i]; }
  // Throws std::out_of_range.
  const SourceFile& at(std::size_t i) const;
  const SourceFile& front() const { return (*this)[0]; }
  const SourceFile& back() const { return (*this)[size() - 1]; }
  Facts facts() const;

  // To change it: one from disk is read whole first.
  SourceFile& operator[](std::size_t i) { return own()[i]; }
  SourceFile& front() { return own().front(); }
  SourceFile& back() { return own().back(); }
  void push_back(SourceFile file) { own().push_back(std::move(file)); }
  void reserve(std::size_t n) { own().reserve(n); }
  void clear() { *this = FileList(); }
  std::vector<SourceFile>::iterator begin() { return own().begin(); }
  std::vector<SourceFile>::iterator end() { return own().end(); }

  // Files in order; one that is on disk is held by the iterator alone.
  class Iterator {
   public:
    using iterator_concept = std::input_iterator_tag;
    using value_type = SourceFile;
    using difference_type = std::ptrdiff_t;
    Iterator() = default;
    Iterator(const FileList* list, std::size_t at) : list_(list), at_(at) {}
    const SourceFile& operator*() const {
      if (!list_->stored_) return list_->own_[at_];
      here_ = list_->read(at_);
      return here_;
    }
    const SourceFile* operator->() const { return &**this; }
    Iterator& operator++() {
      ++at_;
      return *this;
    }
    void operator++(int) { ++at_; }
    bool operator==(const Iterator& other) const { return at_ == other.at_; }

   private:
    const FileList* list_ = nullptr;
    std::size_t at_ = 0;
    mutable SourceFile here_;
  };
  Iterator begin() const { return {this, 0}; }
  Iterator end() const { return {this, size()}; }

  // No fsync. Errors: kIo, kDiskFull.
  Status write(const std::string& path) const;
  // Errors: kIo ("output lost: …") when it is gone or cut off.
  static Result<FileList> open(const std::string& path);
  // Forgets files that were read from disk.
  void let_go() const { known_.clear(); }

 private:
  const SourceFile& stored(std::size_t i) const;
  SourceFile read(std::size_t i) const;
  std::vector<SourceFile>& own();

  std::vector<SourceFile> own_;
  std::shared_ptr<const FileMap> stored_;
  std::size_t n_ = 0;
  Facts facts_;
  mutable std::unordered_map<std::size_t, SourceFile> known_;
};

}  // namespace polysome
