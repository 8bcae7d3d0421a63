// How a dataset lies (contract.md, Layout): a table or a matrix, which columns are labels, which
// way a matrix lies; and where each of these is known from. Told when a dataset is inspected, kept
// in its dialect. One thread.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "data/table_source.h"

namespace polysome {

// Fills in kind and label_columns in the source's dialect, and which of its members come from the
// format. `layout`: declared keys. Errors: labels that are no columns (kUserData).
Status tell_layout(Session& session, TableSource* source, const Json& layout);

// Each key with its value and `from`: declared, format or guessed.
Json layout_json(const TableSource& source, const Json& layout);

// A matrix as operations see it.
struct MatrixShape {
  std::vector<std::uint32_t> labels;  // columns, in the order of label_columns
  std::vector<std::uint32_t> values;  // numeric columns, in the order of the dataset
  std::string orientation;            // empty: not known
};
// Errors (kUserData): no label column, no numeric one, or columns of text that are not labels.
Result<MatrixShape> matrix_shape(const TableSource& source);
// The orientation, or the error that asks for it. `rows`: as told to people.
Result<std::string> known_orientation(const TableSource& source, const MatrixShape& shape,
                                      const std::string& rows);

}  // namespace polysome
