// What a join has worked out before the first row is read, and the bodies of its stages.
//
// Both tables become runs sorted by key ("left", "right"); "match" tasks take a range of keys each,
// bring the rows of both together and sort the pairs by the rows' places in the datasets; "place"
// tasks merge those into the answer, in the order of the left table. A small right table is held in
// memory by each task that reads the left one ("match" straight away). Both ways and any cut give
// the same rows in the same order.
#pragma once

#include <string>
#include <vector>

#include "operations/operation.h"

namespace polysome {

enum class JoinKind : std::uint8_t { kInner, kLeft, kOuter, kSemi, kAnti };

struct JoinDetails {
  JoinKind kind = JoinKind::kInner;
  std::string left_key, right_key;  // SQL: BLOB, missing where a part of the key is
  std::string left_columns;         // SQL: those of the answer, in order
  std::string right_columns;        // SQL: the keys, then those of the answer; may be empty
  std::vector<std::uint32_t> keys;  // places of the keys among the left columns
  std::string right_name;           // of the dataset, for messages

  bool takes_right_columns() const { return kind <= JoinKind::kOuter; }
  Json to_json() const;
  static JoinDetails from_json(const Json& j);
};

std::vector<StageBody> join_bodies();

}  // namespace polysome
