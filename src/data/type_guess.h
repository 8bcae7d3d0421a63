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
  // Of a column of texts: whether all of them are numbers with a decimal comma (1.234,5), or with
  // commas between thousands (1,234.5), which the layout did not say.
  bool decimal_comma() const { return comma_met_ && comma_decimals_; }
  bool comma_thousands() const { return comma_met_ && comma_thousands_; }

 private:
  // No other value makes it anything but a string.
  bool settled() const {
    return any_ && !(int64_ || double_ || bool_ || date_ || timestamp_ || comma_decimals_ ||
                     comma_thousands_);
  }
  bool any_ = false;  // a value that is neither empty nor a missing number
  bool int64_ = true, double_ = true, bool_ = true, date_ = true, timestamp_ = true;
  bool comma_met_ = false, comma_decimals_ = true, comma_thousands_ = true;
  bool text_missing_ = true;  // all values were empty or texts that mean a missing number
};

}  // namespace polysome
