// What a dataset_id stands for (contract.md, Datasets): a loaded name, a path below a data folder,
// a file or folder name at the top of a data folder, or job:<id>[/table]. Looks at names only,
// never into files. Loop thread.
#pragma once

#include <filesystem>
#include <functional>
#include <map>
#include <optional>
#include <string>
#include <vector>

#include "model/job.h"
#include "store/store.h"

namespace polysome {

class DatasetCatalog {
 public:
  // `data_dirs`: absolute, links resolved. any_path: every readable path is fine (polysome run).
  DatasetCatalog(std::vector<std::string> data_dirs, bool any_path);

  void add_loaded(StoredDataset dataset) { loaded_[dataset.id] = std::move(dataset); }
  void remove_loaded(const std::string& id) { loaded_.erase(id); }
  const StoredDataset* loaded(const std::string& id) const;
  const std::map<std::string, StoredDataset>& all_loaded() const { return loaded_; }

  // Errors: kInvalid naming the nearest known one, kConflict naming both candidates; `pointer` says
  // where in the request the name stands.
  Result<DatasetRef> resolve(const std::string& id, const std::string& pointer) const;
  // A path, folder or glob given by a caller: absolute, or relative to a data folder; below one
  // after resolving links.
  Result<std::string> resolve_path(const std::string& path, const std::string& pointer) const;

  // The same, or a database's address: checked and without doubt; a SQLite file is looked for as a
  // path is.
  Result<std::string> resolve_source(const std::string& source, const std::string& pointer) const;

  struct Entry {
    std::string id;
    std::string source;
    std::string format;
    std::optional<std::uint64_t> bytes;  // none: so many files that they were not all measured
    bool loaded = false;
  };
  // Loaded names, then what lies at the top of the data folders, by name; of folders with very many
  // names not all (more_than_listed).
  std::vector<Entry> list(bool* more_than_listed = nullptr) const;
  const std::vector<std::string>& data_dirs() const { return data_dirs_; }

 private:
  Result<DatasetRef> at_top(const std::string& id, const std::string& pointer) const;
  // What lies at the top of the data folders, or only what `wanted` may mean.
  std::vector<Entry> scan(const std::string& wanted, bool sizes, bool* more) const;
  bool below_data_dir(const std::filesystem::path& real) const;
  Error unknown(const std::string& id, const std::string& pointer) const;

  std::vector<std::string> data_dirs_;
  bool any_path_;
  std::map<std::string, StoredDataset> loaded_;
};

// csv, tsv, parquet, ndjson or json by the name's ending (compression endings ignored); empty:
// unknown.
std::string format_of_name(const std::string& file_name);
// The name without the endings of format and compression.
std::string stem_of_name(const std::string& file_name);

}  // namespace polysome
