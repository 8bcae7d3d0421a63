// The OpenAPI 3.1 document of the service, made from the router's table of routes and the
// operations' descriptions, so that it can't say what is not there. Pure.
#pragma once

#include "api/router.h"
#include "model/operation.h"

namespace polysome::api {

Json openapi_document(const Router& router, const OperationCatalog& catalog);

}  // namespace polysome::api
