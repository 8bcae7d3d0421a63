// The wiring: turns requests and reports into core events, carries out the core's commands, and
// answers the API. Owns the core, the journal and what is known of unfinished jobs; store, executor
// and data service are given. One event loop, one thread; holds no lock and does no blocking work
// beyond small files of its own.
//
// Invariants: a submit, cancel or end is committed before anybody is told; every command of the
// core is carried out in order; a job leaves `active_` only after its end is committed.
#pragma once

#include <boost/asio/io_context.hpp>
#include <boost/asio/steady_timer.hpp>
#include <deque>
#include <functional>
#include <list>
#include <map>
#include <memory>
#include <random>
#include <set>
#include <string>
#include <unordered_map>
#include <vector>

#include "api/backend.h"
#include "core/core.h"
#include "daemon/active_job.h"
#include "daemon/dataset_catalog.h"
#include "daemon/fault_ledger.h"
#include "daemon/job_log.h"
#include "daemon/journal.h"
#include "executor/data_service.h"
#include "executor/executor.h"
#include "store/store.h"

namespace polysome {

class Upload;

struct EngineConfig {
  std::string work_dir;  // task outputs: WORK/<job>/<stage>/…
  std::string state_dir;
  std::vector<std::string> output_roots;
  std::vector<std::string> read_roots;  // data folders; empty: whatever may be read (polysome run)
  ClusterSpec cluster;                  // defaults of cluster/start
  std::uint64_t machine_memory = 0;     // for all workers; 0: unknown
  std::string backend = "local";
  SubmitDefaults submit;
  std::int64_t retry_delay_ms = 5000;
  int dashboard_port = 0;
  std::uint64_t max_upload = 10'000'000'000;  // of a dataset's content
  std::int64_t keep_results_ms = 30LL * 24 * 3'600'000;
  std::string log_dir;      // of jobs' logs; empty: none are kept
  bool keep_tables = true;  // JobDescription::keep_table
  // Results are read by the workers that made them, where these are still there: they may write to
  // STATE/tmp then.
  bool workers_answer = false;
};

class Engine final : public api::Backend {
 public:
  using ExecutorFactory = std::function<std::unique_ptr<Executor>(Executor::Sink)>;

  Engine(boost::asio::io_context& loop, EngineConfig config, Store& store, OperationCatalog catalog,
         DatasetCatalog datasets, const ExecutorFactory& executor, DataService& data);
  ~Engine() override;

  // Raises the epoch, brings back unfinished jobs and the stored cluster. Once, before anything
  // else. cluster_given: the flags' cluster wins over the stored one. Answers with lines for
  // people.
  Result<std::vector<std::string>> start(bool cluster_given, bool autostart);
  // Stops the workers without touching the wanted cluster; jobs go on at the next start.
  void shut_down();
  // Registers a dataset of several files for this process only (polysome run).
  void add_files(const std::string& id, const std::vector<std::string>& files);
  // Jobs brought back by start().
  std::vector<JobId> active_jobs() const { return core_->active_jobs(); }

  // ---- api::Backend ----
  const OperationCatalog& catalog() const override { return catalog_; }
  SubmitDefaults submit_defaults() const override { return config_.submit; }
  void cluster_start(const Json& body, double wait_seconds, api::Reply<Json> reply) override;
  void cluster_stop(bool force, double wait_seconds, api::Reply<Json> reply) override;
  void cluster_scale(int n_workers, double wait_seconds, api::Reply<Json> reply) override;
  Json cluster_status() override;
  Json worker_status(const std::string& id, Status* status) override;
  Result<Json> cluster_metrics(std::optional<WallTime> since,
                               std::optional<double> step_seconds) override;
  void submit(SubmitRequest request, const std::string& caller, const std::string& body_hash,
              api::Reply<api::SubmitAnswer> reply) override;
  void validate(SubmitRequest request, api::Reply<Json> reply) override;
  void retry(const JobId& id, const Json& body, const api::Repeat& repeat,
             api::Reply<api::SubmitAnswer> reply) override;
  Result<Json> job_status(const JobId& id) override;
  std::optional<std::string> job_owner(const JobId& id) override;
  void wait_job(const JobId& id, double seconds, std::optional<std::uint64_t> after,
                api::Reply<Json> reply) override;
  void cancel(const JobId& id, const std::string& reason, bool force,
              api::Reply<Json> reply) override;
  Result<Json> list_jobs(const api::ListQuery& query) override;
  void submit_batch(std::vector<SubmitRequest> requests, const std::string& caller,
                    const std::string& idempotency_key, const std::string& body_hash,
                    api::Reply<api::SubmitAnswer> reply) override;
  void patch_job(const JobId& id, const api::JobPatch& patch, api::Reply<Json> reply) override;
  void cancel_jobs(const api::CancelFilter& filter, api::Reply<Json> reply) override;
  Result<Json> explain(const JobId& id) override;
  void pause_queue(const std::string& reason, api::Reply<Json> reply) override;
  void resume_queue(api::Reply<Json> reply) override;
  Json limits() override;
  void set_limits(const QueueLimits& limits, api::Reply<Json> reply) override;
  void set_worker_aside(const std::string& id, api::WorkerAction action, const std::string& reason,
                        double seconds, api::Reply<Json> reply) override;
  Json autoscale() override;
  void set_autoscale(const Json& body, api::Reply<Json> reply) override;
  Json autoscale_decisions(std::optional<std::int64_t> before, std::size_t limit) override;
  Json usage(bool by_operation, std::optional<WallTime> since) override;
  Json recommendations(const std::string& operation) override;
  Json fault_statistics() override;
  Result<Json> job_tasks(const JobId& id, std::uint32_t offset, std::uint32_t limit) override;
  void job_result(const JobId& id, const api::ResultQuery& query,
                  api::Reply<api::Download> reply) override;
  // Rows of the main table as text, "csv" (with a header before the first row) or "ndjson", from
  // row `offset` on: so many that they fit a piece. The file is the caller's to remove.
  struct ResultText {
    std::string file;
    std::optional<std::uint64_t> next_offset;  // none: that was the last
  };
  void result_text(const JobId& id, const std::string& format, std::uint64_t offset,
                   api::Reply<ResultText> reply);
  Result<api::LogPage> job_log(const JobId& id, const api::LogQuery& query) override;
  std::optional<std::uint64_t> follow_log(const JobId& id,
                                          std::function<void(bool over)> told) override;
  void unfollow_log(std::uint64_t subscription) override { log_.unfollow(subscription); }
  Json queue_status(std::size_t limit) override;
  std::vector<std::string> recent_job_ids(std::size_t most) override;
  void data_load(const Json& body, const std::string& caller, api::Reply<Json> reply) override;
  void data_partition(const Json& body, const std::string& caller, api::Reply<Json> reply) override;
  std::uint64_t most_upload() const override { return config_.max_upload; }
  Result<std::shared_ptr<api::BodySink>> open_upload(const std::string& id,
                                                     std::uint64_t announced) override;
  void data_upload(const std::string& id, const std::string& format, bool replace,
                   std::shared_ptr<api::BodySink> content, const std::string& caller,
                   api::Reply<Json> reply) override;
  Json datasets() override;
  void dataset(const std::string& id, std::uint64_t column_offset, std::size_t columns,
               api::Reply<Json> reply) override;
  void forget_dataset(const std::string& id, api::Reply<Json> reply) override;
  std::uint64_t subscribe(std::optional<JobId> job, Listener listener) override {
    return journal_.subscribe(job, std::move(listener));
  }
  void unsubscribe(std::uint64_t subscription) override { journal_.unsubscribe(subscription); }
  std::vector<api::Told> replay(std::uint64_t after, std::optional<JobId> job,
                                std::size_t limit) override {
    return journal_.replay(after, job, limit);
  }
  std::uint64_t newest_event() override { return journal_.newest(); }
  std::uint64_t oldest_event() override { return journal_.oldest(); }
  std::optional<api::Told> snapshot(const JobId& id) override;
  Json health(int* http_status) override;
  bool ready(std::string* why_not) override;
  Json version() override;

 private:
  // engine.cc: the loop of events and commands
  void handle(core::Event event);
  void take(const Report& report);
  void carry_out(const core::Command& command);
  void start_task(const core::StartTask& command);
  void end_job(const core::JobEnded& command);
  void commit_end(ActiveJob& job, JobState end);
  void finish_end(JobId id);
  void schedule_tick();
  void refresh(ActiveJob& job);
  static void show(const core::JobView& view, MonoTime now, JobState* state);
  static void add_measured(const ActiveJob& job, JobState* state);
  void job_changed(JobId id);
  void job_progressed(JobId id);
  void send_progress(ActiveJob& job, MonoTime now);
  void answer_waiters(ActiveJob& job);
  void remove_intermediates(const JobSpec& spec, const JobState& state);
  std::string job_folder(JobId id) const;
  Result<Json> job_description(JobSpec spec);
  Status write_job_file(const ActiveJob& job);
  core::TaskFinished with_fragment(const TaskResult& result, const TaskRef& task);
  void take_failure(const TaskFailure& failure);
  void save(ActiveJob& job, const JobState& state);
  void row_written(const JobId& id);
  void count_pending(ActiveJob& job, bool pending);
  void count_faults(const Report& report);
  void measure(const TaskResult& result, const TaskRef& task);

  // engine_trial.cc
  Json estimate(const std::string& operation, std::uint64_t bytes);
  void note_logged(const report::TaskLogged& r);
  void count_reused(const JobId& id);
  void log_task(const TaskRef& task, JobLog::Line line);
  void begin_log(const JobSpec& spec, const JobState& state);
  void log_state(const JobId& id, const JobState& state);

  // engine_restore.cc
  Status restore(std::vector<std::string>* lines);
  Result<core::JobRestored> restored(const StoredJob& job);
  void restore_unwritten(const StoredJob& job);

  // engine_jobs.cc
  using KnownDatasets = std::map<std::string, DatasetRef>;  // resolved for others of the batch
  Result<JobSpec> prepare(SubmitRequest request, const std::string& caller,
                          KnownDatasets* known = nullptr);
  Status check_limits(const JobLimits& limits) const;
  Json size_warnings(const JobLimits& limits) const;
  Result<StoredJob> find(const JobId& id);
  std::optional<JobStatus> ended_as(const JobId& id);
  Error no_such_job(const JobId& id);
  Json submit_body(const JobSpec& spec, const JobState& state);

  // engine_result.cc
  Result<std::vector<std::string>> result_files(const std::string& dataset_id);
  Result<Json> find_table(const JobId& id, const std::string& wanted);
  void ask_data(const std::string& kind, Json body, const DataService::Reply& reply);

  // engine_batch.cc
  Result<std::vector<StoredJob>> prepare_batch(std::vector<SubmitRequest> requests,
                                               const std::string& caller, const JobId& batch);
  void batch_stored(const StoredBatch& batch, std::vector<StoredJob> jobs);
  void tell_core(const JobId& id);
  void tell_core_more();
  std::pair<std::vector<StoredJob>, std::uint64_t> list_all(const JobFilter& filter);

  // engine_cancel.cc
  struct CancelWork;
  struct Promise {
    Json record;        // which jobs, by sequence, and why
    bool kept = false;  // all have ended in the core; what is left is to write it down
  };
  void cancel_some(const std::shared_ptr<CancelWork>& work);
  void store_promises(std::function<void(Status)> done);
  void end_late(ActiveJob& job, JobState end);
  void write_late_ends();
  void keep_promises();

  // engine_queue.cc
  Status check_queue_limits(const std::string& user, std::size_t more, Priority priority) const;
  void restore_queue();

  // engine_resources.cc
  void note_usage(const ActiveJob& job, const JobState& end);
  void restore_learned();
  void store_learned();

  // engine_scaling.cc
  void apply_autoscale(const AutoscalePolicy& policy);
  void take_autoscale(const Json& body);
  void restore_autoscale();
  static Json decision_json(const StoredDecision& decision);

  // engine_load.cc
  struct LoadRequest {
    StoredDataset dataset;  // its record says where it came from until it was looked at
    bool replace = false;
    bool materialize = false;
    std::string caller;
    std::string pointer;              // of the request, for errors of the data
    std::shared_ptr<Upload> content;  // what was sent
  };
  std::string dataset_folder() const;
  void register_dataset(LoadRequest load, api::Reply<Json> reply);
  Result<bool> is_loaded_already(const LoadRequest& load) const;
  void take_name(const StoredDataset& dataset);
  void remove_unused_content(const std::vector<std::string>& files);
  void remove_orphaned_content();
  void materialize(const LoadRequest& load, api::Reply<Json> reply);
  static std::optional<StoredDataset> dataset_of_result(const JobSpec& spec, const JobState& end);
  Status check_output_path(const JobSpec& spec) const;
  Status check_output_name(const JobSpec& spec) const;

  // engine_keep.cc
  void sweep();
  std::set<std::string> folders_of_datasets() const;
  std::optional<WallTime> kept_until(const JobSpec& spec, const JobState& state) const;
  Error result_gone(const StoredJob& job, const std::string& path) const;

  // engine_data.cc
  struct PartitionRequest;
  Result<PartitionRequest> read_partition_request(const Json& body);
  Json readable_roots() const;
  void keep_counts(const JobSpec& spec, const JobState& state);
  void use_counts(const PartitionRequest& request, Json* answer);
  void count_exactly(const PartitionRequest& request, const std::string& caller, Json answer,
                     api::Reply<Json> reply);

  // engine_cluster.cc
  Result<ClusterSpec> read_cluster(const Json& body);
  void when_settled(double wait_seconds, api::Reply<Json> reply);
  void cluster_moved();
  void store_cluster();
  Json metrics_fields();
  void note_metrics();

  boost::asio::io_context& loop_;
  EngineConfig config_;
  Store& store_;
  OperationCatalog catalog_;
  DatasetCatalog datasets_;
  DataService& data_;
  Journal journal_;
  JobLog log_;
  std::unique_ptr<Executor> executor_;
  std::unique_ptr<core::Core> core_;
  std::unordered_map<JobId, ActiveJob> active_;
  std::unordered_map<AttemptId, RunningAttempt> running_;
  std::deque<core::Event> events_;
  bool handling_ = false;
  std::unordered_map<JobId, std::vector<StoredTaskRange>>
      finished_;                                      // of this step, to be recorded
  std::unordered_map<std::string, PendingKey> keys_;  // "user\nkey"
  std::uint64_t next_sequence_ = 1;
  JobIds ids_;
  std::deque<JobId> untold_;  // jobs of batches, for the core
  std::size_t unwritten_ = 0;
  std::map<std::uint64_t, Promise> promises_;
  std::uint64_t last_promise_ = 0;
  std::deque<JobId> late_ends_;  // promised, to be written
  bool end_late_ = false;        // jobs that are cancelled now are promised
  bool writing_late_ends_ = false;
  std::map<std::string, std::size_t> pending_of_;  // by user; also jobs whose commit is under way
  std::size_t pending_ = 0;
  FaultLedger faults_;
  std::uint64_t next_waiter_ = 1;
  boost::asio::steady_timer tick_timer_;
  std::optional<MonoTime> tick_due_;
  boost::asio::steady_timer progress_timer_;
  bool progress_armed_ = false;
  boost::asio::steady_timer metrics_timer_;
  boost::asio::steady_timer sweep_timer_;
  struct ClusterWaiter {
    std::uint64_t id = 0;
    api::Reply<Json> reply;
    std::unique_ptr<boost::asio::steady_timer> timer;
  };
  std::list<ClusterWaiter> cluster_waiters_;
  std::string cluster_wanted_ = "stopped";  // or running: what is stored
  std::mt19937_64 random_{std::random_device{}()};
  MonoTime started_at_;
  bool shutting_down_ = false;
};

}  // namespace polysome
