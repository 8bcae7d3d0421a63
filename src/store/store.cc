#include "store/store.h"

namespace polysome {

Json StoredEvent::envelope() const {
  return {{"id", id},
          {"time", format_time(time)},
          {"type", type},
          {"job_id", job ? Json(job->text()) : Json()},
          {"seq", job ? Json(seq) : Json()},
          {"data", data}};
}

}  // namespace polysome
