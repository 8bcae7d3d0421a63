// What the command line starts: the service, and one job without a service. Both block until their
// end.
#pragma once

#include <cstdint>
#include <functional>
#include <map>
#include <string>
#include <string_view>
#include <vector>

#include "model/json.h"
#include "model/resources.h"

namespace polysome {

struct ServeConfig {
  std::string host = "localhost";  // 127.0.0.1 and ::1
  int port = 8001;                 // 0: any free one, printed
  int dashboard_port = 8787;       // 0: off
  std::vector<std::string> data_dirs;
  std::string state_dir;
  std::string work_dir;                  // task outputs; default STATE/work
  std::string scratch;                   // spill; default STATE/scratch
  std::vector<std::string> output_dirs;  // default STATE/results
  ClusterSpec cluster;
  bool cluster_flags_given = false;  // then they win over the stored cluster, and say so
  bool autostart = false;
  std::uint64_t machine_memory = 0;  // that this process may use; bounds scaling; 0: unknown
  std::string backend = "local";
  std::string worker_program;  // path of polysome-worker
  std::uint64_t max_upload = 10'000'000'000;
  std::int64_t keep_results_ms = 30LL * 24 * 3'600'000;
  std::int64_t keep_jobs = 1'000'000;  // records of ended ones
  std::string connections;             // file of databases' credentials by name; empty: none
  int max_attempts = 3;
  std::int64_t retry_delay_ms = 5000;
  std::uint64_t partition_size = 100'000'000;
  std::string log_format = "text";  // or json
  // Who may call (api/access.h).
  std::string token_file;  // default STATE/tokens, if it is there
  std::vector<std::string> allow_origins, allow_hosts, trust_proxies, allow_groups;
  bool allow_all_local = false;
  std::map<std::string, std::string> origins;  // option → where its value came from
};

// Runs the service until SIGTERM or SIGINT; answers with the exit code.
int serve(const ServeConfig& config, std::string_view operations_json);

// Where the token file is when none is named: below the state folder, given or default.
std::string default_token_file(const std::string& state_dir);

// One job in this process, no listener. `base` gives defaults (worker_program, retry_delay_ms …).
struct RunRequest {
  Json submit_body;                // as for jobs/submit, without dataset_id when files are given
  std::vector<std::string> files;  // absolute dataset sources, in order
  bool files_are_layers = false;  // several files: several datasets; else one dataset of many files
  std::string work_folder;  // ".polysome/<key>": kept until the job succeeds; same folder resumes
  std::string out;          // absolute path for output.path, or empty
  ClusterSpec cluster;
  ServeConfig base;
  std::function<void(const Json& status)> on_progress;  // status object; about 4 times a second
  std::function<bool()> stop_requested;                 // polled; true cancels the job
};
struct RunOutcome {
  int exit_code = 0;
  Json status;   // final status object, or null when refused
  Json problem;  // why it was refused or failed; null otherwise
  std::uint64_t resumed_tasks = 0;
  // The first rows of the result, of some columns or (empty) all: {"columns", "rows", "n_rows"}.
  std::function<Result<Json>(std::uint64_t limit, const std::vector<std::string>& columns)> page;
  // All of them as text, "csv" with a header or "ndjson", piece after piece as it is made.
  using TextSink = std::function<Status(std::string_view piece)>;
  std::function<Status(const std::string& format, const TextSink& sink)> text;
  // Removes the work folder; call when the result has been taken.
  std::function<void()> clean;
};
RunOutcome run_job(const RunRequest& request, std::string_view operations_json);

}  // namespace polysome
