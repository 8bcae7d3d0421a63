// What stands behind `run OPERATION` and `submit OPERATION`: datasets and key=value parameters,
// read by the operation's declared types, as the body of jobs/submit. Pure but for --params @FILE.
#pragma once

#include <string>
#include <vector>

#include "model/operation.h"

namespace polysome::cli {

struct JobArguments {
  std::vector<std::string> datasets;  // as given, in order
  Json body = Json::object();         // operation, parameters, layout and what --params brought
};

// One value as the parameter's type reads it: numbers, true/false, lists by comma. Errors: kInvalid
// with what would be right.
Result<Json> read_value(const Parameter& parameter, const std::string& text);

// key=value and key:=JSON of parameters, layout.KEY=value of the layout, all else datasets.
// `params` is an object of parameters, or a whole body of jobs/submit; "@FILE" reads it from there.
// key=value wins. The parameters are checked by the description, names with the nearest known one;
// the answer has them as given, defaults are the service's. A `part` of a body may lack what is
// required.
Result<JobArguments> read_job_arguments(const OperationDescription& operation,
                                        const std::vector<std::string>& words,
                                        const std::string& params, bool part = false);

// Changed parameters alone: key=value read by the declared types, over what `params` says; names
// and values are the service's to check.
Result<Json> read_changes(const OperationDescription& operation,
                          const std::vector<std::string>& words, const std::string& params);

// Text of "@FILE" from the file, else the text itself.
Result<std::string> text_or_file(const std::string& value);
// The object a JSON text or "@FILE" holds; `what` names it in errors.
Result<Json> json_or_file(const std::string& value, const std::string& what);

// The operation of this name. Errors: kInvalid with the nearest and where to see all.
Result<const OperationDescription*> find_operation(const OperationCatalog& catalog,
                                                   const std::string& name);

}  // namespace polysome::cli
