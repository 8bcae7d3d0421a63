// What openapi.cc can't read from the table of routes: types of query parameters, bodies and
// answers, by name. A route that is not named here takes any object or gives one. Pure.
#pragma once

#include <optional>
#include <string>
#include <vector>

#include "model/json.h"

namespace polysome::api {

// The type of a query parameter; `pattern` for names that mean different things.
Json query_schema(const std::string& name, const std::string& pattern);
// Media types of a route's 200.
std::vector<std::string> answer_types(const std::string& pattern);
// Names in components/schemas of the body and answer of "METHOD pattern"; nullopt: no body, or any
// object.
std::optional<std::string> body_schema_name(const std::string& route);
std::optional<std::string> answer_schema_name(const std::string& route);
// Bodies and answers by name, but submit's, which depends on the operations.
Json shared_schemas();

}  // namespace polysome::api
