// Operations and the body of jobs/submit as JSON Schema (2020-12), for operations/{name},
// /openapi.json and forms. Made from the descriptions alone. Pure.
#pragma once

#include "model/operation.h"

namespace polysome {

// The schema of the operation's `parameters`.
Json parameters_schema(const OperationDescription& operation);
// The schema of a jobs/submit body for this operation, all other members included.
Json submit_schema(const OperationDescription& operation);
// The members of a submit body that are the same for all operations, by name.
Json submit_members();
// A schema of a size: bytes as a number, or a text such as "2GB".
Json size_schema(const std::string& text);

}  // namespace polysome
