// Columns of files whose formats name and type them (Parquet, Arrow IPC, JSON): as DuckDB describes
// them, those of all files of a dataset together, and how SQL reads them. One thread.
#pragma once

#include <cstdint>
#include <map>
#include <string>
#include <vector>

#include "data/table_source.h"

namespace polysome {

struct Described {
  std::string name;
  std::string type;
};

// The columns that `select` gives.
Result<std::vector<Described>> describe(Session& session, const std::string& select);
// Their SELECT list over the files: 64 bits wide, NaN as missing, nested values as JSON text.
std::string select_list(const TableSource& source);

// The columns of all files, in the order they are first met.
class SchemaUnion {
 public:
  explicit SchemaUnion(const Json& layout);
  // Files of one dataset must share a column, unless there is only one. Types that go together are
  // read as the wider one. Errors: kUserData naming files, column and types.
  Status add(const std::vector<Described>& file, const std::string& label);
  // Gives the source its columns, and each file its fields where it lacks some; null: not looked
  // at.
  Status finish(TableSource* source, const std::vector<const std::vector<Described>*>& files);

 private:
  std::vector<std::uint32_t> fields_of(const std::vector<Described>& file) const;

  Json declared_ = Json::object();
  std::vector<SourceColumn> columns_;
  std::vector<std::string> seen_in_;
  std::map<std::string, std::size_t> place_;
};

}  // namespace polysome
