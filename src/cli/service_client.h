// The service's REST interface as calls: JSON in and out, problem objects as errors, and the ways
// people name a job turned into its id. Main thread; blocking.
#pragma once

#include <functional>
#include <optional>
#include <string>
#include <vector>

#include "cli/http_client.h"
#include "model/json.h"

namespace polysome::cli {

using Query = std::vector<std::pair<std::string, std::string>>;  // empty values are left out

class ServiceClient {
 public:
  // `token`: as Bearer with every request; may be empty.
  static Result<ServiceClient> open(const std::string& url, const std::string& token = {});

  // Paths below /api/processing, segments already encoded. Errors: as the service says, with its
  // hint.
  Result<Json> get(const std::string& path, const Query& query = {});
  Result<Json> post(const std::string& path, const Json& body, const Query& query = {});
  Result<Json> put(const std::string& path, const Json& body);
  Result<Json> patch(const std::string& path, const Json& body);
  // The body of an answer of any status (health tells with 503 what is wrong).
  Result<Json> get_any(const std::string& path);
  // With an Idempotency-Key, so that an answer lost on the way does not make a second job.
  Result<Json> submit(const Json& body, const std::string& path = "jobs/submit");
  // The body in pieces.
  Status download(const std::string& path, const Query& query,
                  std::function<Status(std::string_view)> sink);
  // Without /api/processing.
  Result<Json> get_root(const std::string& path);

  // A full id, its last 6 or more characters, a unique name, or "last" (the caller's newest).
  // Errors: kNotFound, kConflict when several jobs fit.
  Result<std::string> job_id(const std::string& name);

  const std::string& url() const { return http_.url(); }
  bool is_this_machine() const { return http_.is_this_machine(); }

 private:
  explicit ServiceClient(HttpClient http) : http_(std::move(http)) {}
  Result<Json> ask(HttpAsk ask);
  Result<Json> change(const char* method, const std::string& path, const Json& body);
  Result<std::string> newest_job();

  HttpClient http_;
};

// Whether a word can only be the end of a job's id: 6 to 36 hex digits and dashes.
bool looks_like_id(const std::string& word);
// The error of an answer that is no success.
Error error_of_answer(const HttpAnswer& answer, const std::string& url);

}  // namespace polysome::cli
