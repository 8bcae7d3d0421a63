// A catalog with a parameter of every type, for the fuzz programs.
#pragma once

#include <cstdlib>

#include "model/operation.h"

namespace polysome::fuzz {

inline const OperationCatalog& catalog() {
  static const OperationCatalog made = [] {
    OperationCatalog out;
    OperationDescription all;
    all.name = "all";
    all.type = "table";
    all.min_datasets = 0;
    all.max_datasets = 3;
    for (int t = 0; t <= static_cast<int>(ParamType::kObject); ++t) {
      Parameter p;
      p.type = static_cast<ParamType>(t);
      p.name = std::string(name(p.type));
      p.choices = {"mean", "max", "quantile"};
      p.foreign_values = {{"average", "mean"}};
      p.foreign = {{p.name + "s", "pandas'"}};
      p.least = -5;
      p.most = 1e6;
      all.parameters.push_back(std::move(p));
    }
    out.add(all);
    return out;
  }();
  return made;
}

// A broken promise: the fuzzer keeps the input.
inline void expect(bool kept) {
  if (!kept) std::abort();
}
// Every refusal says what is wrong.
inline void expect_told(const Error& error) { expect(!error.message.empty()); }

}  // namespace polysome::fuzz
