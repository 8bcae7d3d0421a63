// The header of one delimited file: names made unique, whether there is one, R's row names; and
// what the headers of all files of a dataset come to. Pure.
#pragma once

#include <cstddef>
#include <optional>
#include <string>
#include <string_view>
#include <unordered_map>
#include <vector>

#include "data/gct.h"
#include "data/row_scanner.h"
#include "data/table_source.h"

namespace polysome {

struct Header {
  std::vector<std::string> names;
  std::size_t data_offset = 0;
  bool present = true;
  std::size_t fields = 0;  // of a data row
  bool first_unnamed = false;
  Json warnings = Json::array();
};

// `at`: where it begins. `whole`: the text is the whole file.
Result<Header> read_header(std::string_view text, std::size_t at, TextShape shape,
                           const Json& layout, const std::string& label, bool whole);

// The header of a GCT file, whose head is read.
Result<Header> read_gct_header(std::string_view text, const GctHead& head, TextShape shape,
                               const std::string& label);

// What the headers of all files come to: each column once, in the order it was first met.
class HeaderUnion {
 public:
  // Names of one header, each once.
  void add(const std::vector<std::string>& more);
  const std::vector<std::string>& names() const { return names_; }
  // Where a name stands among them; nothing when it does not.
  std::optional<std::size_t> place(const std::string& name) const;

 private:
  void index() const;

  std::vector<std::string> names_;
  // Of the first names; made when files differ.
  mutable std::unordered_map<std::string, std::size_t> place_;
};

// Headers of further files: the same names, whose order may differ; some may be missing or more.
Status check_header(const HeaderUnion& known, const Header& first, const Header& header,
                    const std::string& first_label, const std::string& label);
// Where each of the dataset's columns stands in a file.
void place_columns(const HeaderUnion& all, const Header& header, std::size_t first_fields,
                   SourceFile* file);

// Empty names get a number, repeated ones a further one; warnings say so.
void make_unique_names(std::vector<std::string>* names, Json* warnings);

void warn(Json* warnings, const char* code, std::size_t count, std::string message);

}  // namespace polysome
