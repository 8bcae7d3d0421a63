// Guesses the type of a column from texts: the narrowest type that all of them fit. Pure.
#pragma once

#include <string_view>

#include "data/values.h"

namespace polysome {

class TypeGuess {
 public:
  // One value that is not missing by the column's own list.
  void see(std::string_view text, NumberStyle style, const MissingTexts& missing);
  // `whole`: every value of the column was seen. A column without values is double then (all of
  // them missing), else string.
  ValueType type(bool whole) const;

 private:
  bool any_ = false;  // a value that is neither empty nor a missing number
  bool int64_ = true, double_ = true, bool_ = true, date_ = true, timestamp_ = true;
  bool text_missing_ = true;  // all values were empty or texts that mean a missing number
};

}  // namespace polysome
