#include "store/learned_records.h"

#include <utility>

namespace polysome::learned_records {

Apply record_usage(const StoredUsage& u) {
  return [u](WriteContext& c) {
    return Query(c.db,
                 "INSERT OR REPLACE INTO job_usage (job, ended_at, user, operation, completed, "
                 "cpu_seconds, memory_gb_seconds, seconds, wait_seconds, bytes_read, input_bytes, "
                 "peak_memory) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)")
        .with(u.job, u.ended_at, u.user, u.operation, u.completed ? 1 : 0, u.cpu_seconds,
              u.memory_gb_seconds, u.seconds, u.wait_seconds, u.bytes_read, u.input_bytes,
              u.peak_memory)
        .run();
  };
}

Apply append_decision(const StoredDecision& d) {
  return [d, numbers = dump(d.numbers)](WriteContext& c) {
    return Query(c.db,
                 "INSERT INTO scaling_decisions (at, before, after, reason, numbers) VALUES (?, ?, "
                 "?, ?, ?)")
        .with(d.at, d.from, d.to, d.reason, numbers)
        .run();
  };
}

Status each_usage(Database& db, WallTime since,
                  const std::function<void(const StoredUsage&)>& visit) {
  Query query(db,
              "SELECT job, ended_at, user, operation, completed, cpu_seconds, memory_gb_seconds, "
              "seconds, wait_seconds, bytes_read, input_bytes, peak_memory FROM job_usage WHERE "
              "ended_at >= ? ORDER BY ended_at");
  query.with(since);
  StoredUsage u;
  while (query.next()) {
    u.job = query.job_id(0);
    u.ended_at = query.integer(1);
    u.user = query.text(2);
    u.operation = query.text(3);
    u.completed = query.integer(4) != 0;
    u.cpu_seconds = query.real(5);
    u.memory_gb_seconds = query.real(6);
    u.seconds = query.real(7);
    u.wait_seconds = query.real(8);
    u.bytes_read = static_cast<std::uint64_t>(query.integer(9));
    u.input_bytes = static_cast<std::uint64_t>(query.integer(10));
    u.peak_memory = static_cast<std::uint64_t>(query.integer(11));
    visit(u);
  }
  return query.status();
}

Status decisions(Database& db, std::optional<std::int64_t> before, std::size_t limit,
                 std::vector<StoredDecision>* out) {
  Query query(db,
              "SELECT id, at, before, after, reason, numbers FROM scaling_decisions WHERE id < ? "
              "ORDER BY id DESC LIMIT ?");
  query.with(before.value_or(INT64_MAX), static_cast<std::uint64_t>(limit));
  while (query.next()) {
    POLYSOME_ASSIGN(Json numbers, parse_trusted_json(query.text(5)));
    out->push_back({query.integer(0), query.integer(1), static_cast<int>(query.integer(2)),
                    static_cast<int>(query.integer(3)), std::string(query.text(4)),
                    std::move(numbers)});
  }
  return query.status();
}

}  // namespace polysome::learned_records
