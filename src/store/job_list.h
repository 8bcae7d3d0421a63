// The SQL of a list of jobs: one page, newest first, and the total of its filter. Chooses by hand
// what drives the query, so that every combination either walks one index or the small job rows in
// order.
#pragma once

#include <string>
#include <vector>

#include "store/sqlite.h"
#include "store/store.h"

namespace polysome {

struct JobListSql {
  std::string page;                    // sequence, spec, state, result; ends in LIMIT ?
  std::string total;                   // one number
  std::vector<Query::Value> filter;    // arguments of both
  std::optional<Query::Value> before;  // argument of the page, after the filter's
};

JobListSql job_list_sql(const JobFilter& filter);

}  // namespace polysome
