#include "store/sqlite_store.h"

#include <fmt/format.h>

#include <algorithm>
#include <future>
#include <utility>

#include "base/files.h"
#include "base/log.h"
#include "store/batch_records.h"
#include "store/inbox.h"
#include "store/job_list.h"
#include "store/learned_records.h"
#include "store/migrations.h"
#include "store/state_folder.h"
#include "store/writer.h"

namespace polysome {
namespace {

// Writes waiting for the disk above which new work is turned away.
constexpr std::size_t kMostWaiting = 500'000;

constexpr std::string_view kCount = "SELECT count(*) FROM processing_jobs";

// A read that fails is a broken disk or a defect; readers of the store see nothing there.
void note(const Status& status) {
  if (!status) log::error("cannot read: {}", status.error().message);
}

std::optional<Json> json_of(std::string_view text) {
  auto json = parse_trusted_json(text);
  if (json) return std::move(*json);
  log::error("unreadable JSON in the store: {}", json.error().message);
  return std::nullopt;
}

// Columns: sequence, spec, state, result.
std::optional<StoredJob> job_of(const Query& row) {
  const auto spec_json = json_of(row.text(1));
  const auto state_json = json_of(row.text(2));
  if (!spec_json || !state_json) return std::nullopt;
  auto spec = JobSpec::from_json(*spec_json);
  auto state = JobState::from_json(*state_json);
  if (!spec || !state) {
    log::error("{} in the store", (spec ? state.error() : spec.error()).message);
    return std::nullopt;
  }
  if (!row.null(3)) state->result = json_of(row.text(3)).value_or(Json());
  return StoredJob{std::move(*spec), std::move(*state), static_cast<std::uint64_t>(row.integer(0))};
}

class SqliteStore final : public Store {
 public:
  SqliteStore(StateFolder folder, Database reader, Database writer, Inbox::Post post,
              const RetentionLimits& limits, std::int64_t jobs)
      : folder_(std::move(folder)),
        inbox_(std::make_shared<Inbox>(std::move(post))),
        writer_(std::move(writer), inbox_, limits, jobs),
        reader_(std::move(reader)) {}
  ~SqliteStore() override { inbox_->end_turn(); }

  Result<std::uint32_t> next_epoch() override;
  std::uint64_t last_event_id() override { return number("SELECT max(id) FROM events"); }
  std::uint64_t last_sequence() override {
    return number(
        "SELECT max(coalesce((SELECT max(sequence) FROM processing_jobs), 0), "
        "coalesce((SELECT max(first_sequence + n_jobs - 1) FROM batches), 0))");
  }

  std::optional<std::pair<JobId, std::string>> find_key(const std::string& user,
                                                        const std::string& key) override;
  void insert_job(const StoredJob& job, const std::string& idempotency_key,
                  const std::string& body_hash, Done done) override {
    refusable(writes::insert_job(job, idempotency_key, body_hash), std::move(done));
  }
  void update_job(JobId id, const JobState& state, Done done) override {
    keep(writes::update_job(id, state), std::move(done));
  }
  void put_job(const StoredJob& job, Done done) override {
    keep(writes::put_job(job), std::move(done));
  }
  void insert_batch(const StoredBatch& batch, const std::vector<StoredJob>& jobs,
                    const std::string& idempotency_key, const std::string& body_hash,
                    Done done) override;
  std::optional<StoredBatch> batch(JobId id) override;
  std::optional<StoredJob> job(JobId id) override;
  std::vector<StoredJob> unfinished_jobs() override;
  std::pair<std::vector<StoredJob>, std::uint64_t> list_jobs(const JobFilter& filter,
                                                             std::vector<JobId>* perhaps) override;
  std::uint64_t count_jobs() override { return static_cast<std::uint64_t>(writer_.jobs()); }

  void record_tasks(JobId job, std::vector<StoredTaskRange> finished) override {
    keep(writes::record_tasks(job, std::move(finished)), {});
  }
  void forget_task(JobId job, std::uint32_t stage, std::uint32_t index) override {
    keep(writes::forget_task(job, stage, index), {});
  }
  std::vector<StoredTaskRange> finished_tasks(JobId job) override;
  void drop_tasks(JobId job) override { keep(writes::drop_tasks(job), {}); }

  void append_events(std::vector<StoredEvent> events, Done committed) override {
    inbox_->put({.apply = writes::append_events(std::move(events)),
                 .done = std::move(committed),
                 .events = true});
  }
  std::vector<StoredEvent> events(std::uint64_t after, std::optional<JobId> job,
                                  std::size_t limit) override;
  std::uint64_t last_event_seq(JobId job) override;
  std::uint64_t first_event_id() override { return number("SELECT min(id) FROM events"); }

  void put_dataset(const StoredDataset& dataset, Done done) override {
    refusable(writes::put_dataset(dataset), std::move(done));
  }
  void remove_dataset(const std::string& id, Done done) override {
    refusable(writes::remove_dataset(id), std::move(done));
  }
  std::vector<StoredDataset> datasets() override;
  void put_setting(const std::string& key, const Json& value, Done done) override {
    refusable(writes::put_setting(key, value), std::move(done));
  }
  std::optional<Json> setting(const std::string& key) override;
  void append_metrics(WallTime timestamp, const Json& fields) override {
    keep(writes::append_metrics(timestamp, fields), {});
  }
  std::vector<StoredMetrics> metrics(WallTime since, std::size_t limit) override;
  std::optional<StoredMetrics> newest_metrics() override;

  void record_usage(const StoredUsage& usage) override {
    keep(learned_records::record_usage(usage), {});
  }
  void each_usage(WallTime since, const std::function<void(const StoredUsage&)>& visit) override {
    note(learned_records::each_usage(reader_, since, visit));
  }
  void append_decision(const StoredDecision& decision) override {
    keep(learned_records::append_decision(decision), {});
  }
  std::vector<StoredDecision> decisions(std::optional<std::int64_t> before,
                                        std::size_t limit) override;

  void flush(Done done) override {
    keep([](WriteContext&) -> Status { return {}; }, std::move(done));
  }
  std::optional<Error> trouble() override;

 private:
  void keep(Apply apply, Done done) {
    inbox_->put({.apply = std::move(apply), .done = std::move(done)});
  }
  void refusable(Apply apply, Done done) {
    inbox_->put({.apply = std::move(apply), .done = std::move(done), .refusable = true});
  }
  std::uint64_t number(std::string_view sql);
  std::pair<std::vector<StoredJob>, std::uint64_t> read_list(const JobFilter& filter);
  std::vector<StoredMetrics> read_metrics(Query& query);

  const StateFolder folder_;
  const std::shared_ptr<Inbox> inbox_;
  Writer writer_;
  Database
      reader_;  // closes before the writer's connection, which then folds the log into the file
};

std::uint64_t SqliteStore::number(std::string_view sql) {
  const auto value = reader_.integer(sql);
  if (!value) note(std::unexpected(value.error()));
  return static_cast<std::uint64_t>(value.value_or(0));
}

Result<std::uint32_t> SqliteStore::next_epoch() {
  std::promise<Status> committed;
  auto answer = committed.get_future();
  inbox_->put({.apply = writes::raise_epoch(),
               .done = [&committed](Status status) { committed.set_value(std::move(status)); },
               .refusable = true,
               .done_at_once = true});
  inbox_->end_turn();
  POLYSOME_TRY(answer.get());
  POLYSOME_ASSIGN(const auto epoch,
                  reader_.integer("SELECT value FROM counters WHERE name = 'epoch'"));
  return static_cast<std::uint32_t>(epoch);
}

std::optional<std::pair<JobId, std::string>> SqliteStore::find_key(const std::string& user,
                                                                   const std::string& key) {
  Query query(reader_, "SELECT job, body_hash FROM idempotency WHERE user = ? AND key = ?");
  if (query.with(user, key).next()) return std::pair(query.job_id(0), std::string(query.text(1)));
  note(query.status());
  return std::nullopt;
}

std::optional<StoredJob> SqliteStore::job(JobId id) {
  Query query(reader_,
              "SELECT j.sequence, d.spec, d.state, d.result FROM processing_jobs AS j CROSS JOIN "
              "job_documents AS d ON d.job = j.id WHERE j.id = ?");
  if (query.with(id).next()) return job_of(query);
  note(query.status());
  return std::nullopt;
}

std::vector<StoredJob> SqliteStore::unfinished_jobs() {
  std::vector<StoredJob> jobs;
  Query query(reader_,
              "SELECT j.sequence, d.spec, d.state, d.result FROM processing_jobs AS j CROSS JOIN "
              "job_documents AS d ON d.job = j.id WHERE j.status IN ('pending', 'running') "
              "ORDER BY j.sequence");
  while (query.next())
    if (auto job = job_of(query)) jobs.push_back(std::move(*job));
  note(query.status());
  const std::size_t rows = jobs.size();
  note(batch_records::unwritten(reader_, &jobs));
  if (jobs.size() > rows) std::ranges::sort(jobs, {}, &StoredJob::sequence);
  return jobs;
}

void SqliteStore::insert_batch(const StoredBatch& batch, const std::vector<StoredJob>& jobs,
                               const std::string& idempotency_key, const std::string& body_hash,
                               Done done) {
  auto encoded = batch_records::encode(jobs);
  const std::size_t chunks = encoded.chunks.size();
  for (std::size_t i = 0; i < chunks; ++i)
    refusable(batch_records::insert_chunk(batch.id, i, std::move(encoded.chunks[i])), {});
  refusable(batch_records::insert_header(batch, std::move(encoded.base), encoded.first_sequence,
                                         chunks, idempotency_key, body_hash),
            [this, done = std::move(done)](const Status& status) {
              if (!status) keep(batch_records::remove_loose_chunks(), {});
              if (done) done(status);
            });
}

std::optional<StoredBatch> SqliteStore::batch(JobId id) {
  Status status;
  auto found = batch_records::find(reader_, id, &status);
  note(status);
  return found;
}

std::vector<StoredDecision> SqliteStore::decisions(std::optional<std::int64_t> before,
                                                   std::size_t limit) {
  std::vector<StoredDecision> found;
  note(learned_records::decisions(reader_, before, limit, &found));
  return found;
}

std::pair<std::vector<StoredJob>, std::uint64_t> SqliteStore::list_jobs(
    const JobFilter& filter, std::vector<JobId>* perhaps) {
  if (perhaps == nullptr) return read_list(filter);
  note(reader_.run("BEGIN"));
  auto listed = read_list(filter);
  std::erase_if(*perhaps, [this](const JobId& id) {
    Query query(reader_, "SELECT 1 FROM processing_jobs WHERE id = ?");
    return query.with(id).next();
  });
  // The writer may be ahead of its count of jobs by a commit.
  if (job_list_sql(filter).filter.empty()) listed.second = number(kCount);
  note(reader_.run("COMMIT"));
  return listed;
}

std::pair<std::vector<StoredJob>, std::uint64_t> SqliteStore::read_list(const JobFilter& filter) {
  const auto sql = job_list_sql(filter);
  std::vector<StoredJob> jobs;
  Query page(reader_, sql.page);
  for (const auto& value : sql.filter) page.with(value);
  if (sql.before) page.with(*sql.before);
  page.with(static_cast<std::uint64_t>(filter.limit));
  while (page.next())
    if (auto job = job_of(page)) jobs.push_back(std::move(*job));
  note(page.status());
  if (sql.filter.empty()) return {std::move(jobs), count_jobs()};
  Query total(reader_, sql.total);
  for (const auto& value : sql.filter) total.with(value);
  const auto count = total.next() ? static_cast<std::uint64_t>(total.integer(0)) : 0;
  note(total.status());
  return {std::move(jobs), count};
}

std::vector<StoredTaskRange> SqliteStore::finished_tasks(JobId job) {
  std::vector<StoredTaskRange> ranges;
  Query query(reader_,
              "SELECT stage, first, last FROM task_ranges WHERE job = ? ORDER BY stage, first");
  query.with(job);
  while (query.next())
    ranges.push_back({static_cast<std::uint32_t>(query.integer(0)),
                      static_cast<std::uint32_t>(query.integer(1)),
                      static_cast<std::uint32_t>(query.integer(2))});
  note(query.status());
  return ranges;
}

std::vector<StoredEvent> SqliteStore::events(std::uint64_t after, std::optional<JobId> job,
                                             std::size_t limit) {
  constexpr std::string_view kAll =
      "SELECT id, time, type, job, seq, data FROM events WHERE id > ? ORDER BY id LIMIT ?";
  constexpr std::string_view kOfJob =
      "SELECT id, time, type, job, seq, data FROM events WHERE job = ? AND id > ? ORDER BY id "
      "LIMIT ?";
  std::vector<StoredEvent> events;
  Query query(reader_, job ? kOfJob : kAll);
  if (job) query.with(*job);
  query.with(after, static_cast<std::uint64_t>(limit));
  while (query.next()) {
    StoredEvent event;
    event.id = static_cast<std::uint64_t>(query.integer(0));
    event.time = query.integer(1);
    event.type = query.text(2);
    if (!query.null(3)) event.job = query.job_id(3);
    event.seq = static_cast<std::uint64_t>(query.integer(4));
    event.data = json_of(query.text(5)).value_or(Json());
    events.push_back(std::move(event));
  }
  note(query.status());
  return events;
}

std::uint64_t SqliteStore::last_event_seq(JobId job) {
  Query query(reader_,
              "SELECT coalesce((SELECT seq FROM events WHERE job = ?1 ORDER BY id DESC LIMIT 1), "
              "(SELECT pruned_seq FROM processing_jobs WHERE id = ?1), 0)");
  const auto seq = query.with(job).next() ? static_cast<std::uint64_t>(query.integer(0)) : 0;
  note(query.status());
  return seq;
}

std::vector<StoredDataset> SqliteStore::datasets() {
  std::vector<StoredDataset> datasets;
  Query query(reader_, "SELECT id, ref, record, created_at FROM datasets ORDER BY id");
  while (query.next()) {
    const auto ref_json = json_of(query.text(1));
    if (!ref_json) continue;
    auto ref = DatasetRef::from_json(*ref_json);
    if (!ref) {
      log::error("dataset {}: {}", query.text(0), ref.error().message);
      continue;
    }
    datasets.push_back({std::string(query.text(0)), std::move(*ref),
                        json_of(query.text(2)).value_or(Json()), query.integer(3)});
  }
  note(query.status());
  return datasets;
}

std::optional<Json> SqliteStore::setting(const std::string& key) {
  Query query(reader_, "SELECT value FROM settings WHERE key = ?");
  if (query.with(key).next()) return json_of(query.text(0));
  note(query.status());
  return std::nullopt;
}

std::vector<StoredMetrics> SqliteStore::read_metrics(Query& query) {
  std::vector<StoredMetrics> metrics;
  while (query.next())
    metrics.push_back(
        {query.integer(0), query.integer(1), json_of(query.text(2)).value_or(Json())});
  note(query.status());
  return metrics;
}

std::vector<StoredMetrics> SqliteStore::metrics(WallTime since, std::size_t limit) {
  Query query(reader_,
              "SELECT id, timestamp, fields FROM cluster_metrics WHERE timestamp >= ? "
              "ORDER BY timestamp, id LIMIT ?");
  query.with(since, static_cast<std::uint64_t>(limit));
  return read_metrics(query);
}

std::optional<StoredMetrics> SqliteStore::newest_metrics() {
  Query query(reader_,
              "SELECT id, timestamp, fields FROM cluster_metrics ORDER BY timestamp DESC, id DESC "
              "LIMIT 1");
  auto newest = read_metrics(query);
  if (newest.empty()) return std::nullopt;
  return std::move(newest.front());
}

std::optional<Error> SqliteStore::trouble() {
  if (auto trouble = inbox_->trouble()) return trouble;
  const auto waiting = inbox_->waiting();
  if (waiting < kMostWaiting) return std::nullopt;
  return Error(Code::kUnavailable, fmt::format("the store is {} writes behind its disk", waiting),
               "Try again in a few seconds; if it stays so, look at the disk's load.");
}

}  // namespace

Result<std::unique_ptr<Store>> open_sqlite_store(
    const std::filesystem::path& state_folder,
    std::function<void(std::function<void()>)> post_to_loop, SqliteStoreOptions options) {
  POLYSOME_ASSIGN(auto folder, StateFolder::take(state_folder));
  const auto file = folder.path() / "store.db";
  POLYSOME_ASSIGN(auto writer, Database::open(file, Database::Mode::kWrite, options.vfs));
  POLYSOME_TRY(migrate(writer, store_migrations()));
  // Of a batch that the service's end cut off.
  POLYSOME_TRY(writer.run("DELETE FROM batch_chunks WHERE batch NOT IN (SELECT id FROM batches)"));
  POLYSOME_TRY(sync_folder(folder.path()));
  POLYSOME_ASSIGN(const auto jobs, writer.integer("SELECT count(*) FROM processing_jobs"));
  POLYSOME_ASSIGN(auto reader, Database::open(file, Database::Mode::kRead, options.vfs));
  return std::make_unique<SqliteStore>(std::move(folder), std::move(reader), std::move(writer),
                                       std::move(post_to_loop), options.retention, jobs);
}

}  // namespace polysome
