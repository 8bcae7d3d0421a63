#include "api/routes.h"

namespace polysome::api {

void add_routes(Router& router, Backend& backend, PushConfig config) {
  add_cluster_routes(router, backend);
  add_job_routes(router, backend);
  add_trial_routes(router, backend);
  add_log_routes(router, backend);
  add_operation_routes(router, backend);
  add_batch_routes(router, backend);
  add_queue_routes(router, backend);
  add_scaling_routes(router, backend);
  add_resource_routes(router, backend);
  add_data_routes(router, backend);
  add_health_routes(router, backend);
  add_push_routes(router, backend, config);
  add_docs_routes(router, backend);
  add_index_route(router);
}

}  // namespace polysome::api
