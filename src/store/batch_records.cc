#include "store/batch_records.h"

#include <unordered_set>
#include <utility>

namespace polysome::batch_records {
namespace {

constexpr std::size_t kJobsAChunk = 1000;

JobState new_state(const JobSpec& spec) {
  JobState state;
  if (spec.held) state.phase = Phase::kHeld;
  return state;
}

struct Header {
  JobId id;
  std::uint64_t first_sequence = 0;
  Json base;
};

Result<std::unordered_set<JobId>> written(Database& db, const JobId& batch) {
  std::unordered_set<JobId> ids;
  Query query(db, "SELECT id FROM processing_jobs WHERE batch = ?");
  query.with(batch);
  while (query.next()) ids.insert(query.job_id(0));
  POLYSOME_TRY(query.status());
  return ids;
}

Status jobs_of(Database& db, const Header& header, std::vector<StoredJob>* out) {
  POLYSOME_ASSIGN(const auto known, written(db, header.id));
  std::uint64_t sequence = header.first_sequence;
  Query query(db, "SELECT jobs FROM batch_chunks WHERE batch = ? ORDER BY number");
  query.with(header.id);
  while (query.next()) {
    POLYSOME_ASSIGN(const Json chunk, parse_trusted_json(query.text(0)));
    for (const auto& changes : chunk) {
      const std::uint64_t own = sequence++;
      const auto id = JobId::parse(changes.value("id", ""));
      if (!id || known.contains(*id)) continue;
      Json whole = header.base;
      whole.update(changes);
      POLYSOME_ASSIGN(JobSpec spec, JobSpec::from_json(whole));
      JobState state = new_state(spec);
      out->push_back({std::move(spec), std::move(state), own, false});
    }
  }
  return query.status();
}

}  // namespace

Encoded encode(const std::vector<StoredJob>& jobs) {
  Encoded out;
  const JobSpec& base = jobs.front().spec;
  out.base = dump(base.to_json());
  out.first_sequence = jobs.front().sequence;
  for (std::size_t i = 0; i < jobs.size(); ++i) {
    if (i % kJobsAChunk == 0) {
      if (!out.chunks.empty()) out.chunks.back() += ']';
      out.chunks.emplace_back("[");
    } else {
      out.chunks.back() += ',';
    }
    out.chunks.back() += dump(jobs[i].spec.changes_from(base));
  }
  out.chunks.back() += ']';
  return out;
}

Apply insert_chunk(const JobId& batch, std::size_t number, std::string text) {
  return [batch, number, text = std::move(text)](WriteContext& c) {
    return Query(c.db, "INSERT INTO batch_chunks (batch, number, jobs) VALUES (?, ?, ?)")
        .with(batch, static_cast<std::uint64_t>(number), text)
        .run();
  };
}

Apply insert_header(const StoredBatch& batch, std::string base, std::uint64_t first_sequence,
                    std::size_t chunks, const std::string& key, const std::string& body_hash) {
  return [=, base = std::move(base)](WriteContext& c) -> Status {
    Query count(c.db, "SELECT count(*) FROM batch_chunks WHERE batch = ?");
    const bool complete =
        count.with(batch.id).next() && count.integer(0) == static_cast<std::int64_t>(chunks);
    POLYSOME_TRY(count.status());
    if (!complete)
      return fail(Code::kConflict, "a part of the batch could not be stored, so none of it is",
                  "Send the request again.");
    if (!key.empty()) {
      const auto keyed = Query(c.db,
                               "INSERT INTO idempotency (user, key, job, body_hash, ended_at) "
                               "VALUES (?, ?, ?, ?, ?)")
                             .with(batch.user, key, batch.id, body_hash, batch.created_at)
                             .run();
      if (!keyed && keyed.error().code == Code::kConflict)
        return fail(Code::kConflict,
                    "another request of user \"" + batch.user +
                        "\" was stored with the idempotency key \"" + key + "\" at the same time",
                    "Send the request again: it is answered with that one's jobs.");
      POLYSOME_TRY(keyed);
    }
    return Query(c.db,
                 "INSERT INTO batches (id, user, n_jobs, written, first, last, first_sequence, "
                 "created_at, base) VALUES (?, ?, ?, 0, ?, ?, ?, ?, ?)")
        .with(batch.id, batch.user, batch.n_jobs, batch.first, batch.last, first_sequence,
              batch.created_at, base)
        .run();
  };
}

Apply remove_loose_chunks() {
  return [](WriteContext& c) {
    return Query(c.db, "DELETE FROM batch_chunks WHERE batch NOT IN (SELECT id FROM batches)")
        .run();
  };
}

Status job_written(Database& db, const JobId& batch) {
  POLYSOME_TRY(
      Query(db, "UPDATE batches SET written = written + 1 WHERE id = ?").with(batch).run());
  Query rest(db, "SELECT n_jobs - written FROM batches WHERE id = ?");
  const bool all = rest.with(batch).next() && rest.integer(0) == 0;
  POLYSOME_TRY(rest.status());
  if (!all) return {};
  return Query(db, "DELETE FROM batch_chunks WHERE batch = ?").with(batch).run();
}

std::optional<StoredBatch> find(Database& db, const JobId& id, Status* status) {
  Query query(db, "SELECT id, user, n_jobs, first, last, created_at FROM batches WHERE id = ?");
  if (!query.with(id).next()) {
    *status = query.status();
    return std::nullopt;
  }
  return StoredBatch{query.job_id(0),
                     std::string(query.text(1)),
                     static_cast<std::uint64_t>(query.integer(2)),
                     query.job_id(3),
                     query.job_id(4),
                     query.integer(5)};
}

Status unwritten(Database& db, std::vector<StoredJob>* out) {
  std::vector<Header> headers;
  Query query(db, "SELECT id, first_sequence, base FROM batches WHERE written < n_jobs");
  while (query.next()) {
    POLYSOME_ASSIGN(Json base, parse_trusted_json(query.text(2)));
    headers.push_back(
        {query.job_id(0), static_cast<std::uint64_t>(query.integer(1)), std::move(base)});
  }
  POLYSOME_TRY(query.status());
  for (const auto& header : headers) POLYSOME_TRY(jobs_of(db, header, out));
  return {};
}

}  // namespace polysome::batch_records
