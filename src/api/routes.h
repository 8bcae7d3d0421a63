// The routes by group, one file each (x_routes.cc). A handler reads a request strictly, calls the
// backend and answers what it says; it decides nothing. The backend outlives the router and all
// exchanges.
#pragma once

#include <string>

#include "api/backend.h"
#include "api/router.h"

namespace polysome::api {

struct PushConfig {
  Millis heartbeat{15'000};
  std::size_t page = 256;               // events read from the journal at a time
  std::size_t replay_buffer = 262'144;  // a replay rests while the client has this much to take
  std::size_t most_held = 4096;         // live events kept aside during a replay
};

void add_cluster_routes(Router& router, Backend& backend);  // cluster/*, metrics/cluster
void add_job_routes(Router& router, Backend& backend);      // jobs/*, but their events
void add_batch_routes(Router& router, Backend& backend);    // jobs/batch, cancel, PATCH, explain
void add_trial_routes(Router& router, Backend& backend);    // jobs/validate, jobs/{id}/retry
void add_log_routes(Router& router, Backend& backend);      // jobs/{id}/logs
void add_operation_routes(Router& router, Backend& backend);
void add_docs_routes(Router& router, Backend& backend);      // openapi.json, docs
void add_queue_routes(Router& router, Backend& backend);     // queue/*, resources/limits
void add_scaling_routes(Router& router, Backend& backend);   // workers set aside, cluster/autoscale
void add_resource_routes(Router& router, Backend& backend);  // usage, recommendations, faults
void add_data_routes(Router& router, Backend& backend);
void add_health_routes(Router& router, Backend& backend);  // health, livez, readyz, version
void add_push_routes(Router& router, Backend& backend, PushConfig config = {});
void add_index_route(Router& router);  // "/": lists the router's routes
// All of the above.
void add_routes(Router& router, Backend& backend, PushConfig config = {});

// The id a path gives. Errors: kNotFound when it is none, naming the nearest job there is and how
// to list them. Whether the job exists is the backend's to say.
Result<JobId> job_of_path(const std::string& text, Backend& backend);
// The same for what only the job's owner and admins may see or do; `what` says it: "cancel it".
// Errors: kNotFound, kForbidden.
Result<JobId> own_job_of_path(const Call& call, Backend& backend, std::string_view what);
// Takes from a status object what only the job's owner and admins may see: parameters, result.
void hide_from(const Caller& caller, Json* status);

}  // namespace polysome::api
