#include "data/postgres.h"

#include <fmt/format.h>
#include <poll.h>

#include <array>
#include <cerrno>

namespace polysome {
namespace {

constexpr const char* kConnectSeconds = "15";
constexpr int kPollMs = 200;

void drop_notice(void* unused, const char* message) {
  (void)unused;
  (void)message;
}

}  // namespace

Error Postgres::error(const std::string& what, const PGresult* result) const {
  std::string said = result != nullptr ? PQresultErrorMessage(result) : PQerrorMessage(raw_.get());
  while (!said.empty() && said.back() == '\n') said.pop_back();
  if (said.starts_with("ERROR:")) said = said.substr(said.find_first_not_of(' ', 6));
  const char* state = result != nullptr ? PQresultErrorField(result, PG_DIAG_SQLSTATE) : nullptr;
  const std::string_view code = state != nullptr ? state : "";
  Code ours = Code::kIo;
  // Missing tables, wrong values, missing rights: the caller's. 53100 is a full disk, 57 and 08 an
  // operator or the network.
  if (code.starts_with("42") || code.starts_with("22") || code.starts_with("23") ||
      code.starts_with("3F"))
    ours = Code::kUserData;
  if (code == "53100") ours = Code::kDiskFull;
  return {ours, connections_->without_secrets(fmt::format("{}: {}", what, said))};
}

Result<Postgres> Postgres::connect(const DatabaseUrl& url, const Connections& connections) {
  POLYSOME_ASSIGN(const std::string conninfo, connections.conninfo(url));
  const std::array<const char*, 5> keys = {"dbname", "connect_timeout", "application_name",
                                           "client_encoding", nullptr};
  const std::array<const char*, 5> values = {conninfo.c_str(), kConnectSeconds, "polysome", "UTF8",
                                             nullptr};
  PGconn* raw = PQconnectdbParams(keys.data(), values.data(), 1);
  if (raw == nullptr) return fail(Code::kOutOfMemory, "no memory to connect to a database");
  Postgres out(raw, &connections);
  if (PQstatus(raw) != CONNECTION_OK) {
    Error e = out.error(fmt::format("postgresql://{} was not reached", url.host), nullptr);
    e.hint = "passwords come by name from the file of serve --connections FILE";
    return fail(std::move(e));
  }
  PQsetNoticeProcessor(raw, drop_notice, nullptr);
  return out;
}

Result<PostgresResult> Postgres::query(const std::string& sql) {
  PostgresResult result(PQexec(raw_.get(), sql.c_str()));
  const auto status = PQresultStatus(result.get());
  if (status != PGRES_TUPLES_OK && status != PGRES_COMMAND_OK && status != PGRES_COPY_OUT &&
      status != PGRES_COPY_IN)
    return fail(error("PostgreSQL", result.get()));
  return result;
}

Status Postgres::run(const std::string& sql) {
  POLYSOME_TRY(query(sql));
  return {};
}

std::string Postgres::identifier(const std::string& name) const {
  char* quoted = PQescapeIdentifier(raw_.get(), name.c_str(), name.size());
  std::string out = quoted != nullptr ? quoted : "\"\"";
  PQfreemem(quoted);
  return out;
}

std::string Postgres::literal(const std::string& value) const {
  char* quoted = PQescapeLiteral(raw_.get(), value.c_str(), value.size());
  std::string out = quoted != nullptr ? quoted : "''";
  PQfreemem(quoted);
  return out;
}

std::string Postgres::table_name(const std::string& table) const {
  const auto dot = table.find('.');
  if (dot == std::string::npos) return identifier(table);
  return identifier(table.substr(0, dot)) + "." + identifier(table.substr(dot + 1));
}

Status Postgres::copy_in(
    const std::string& sql,
    const std::function<Status(const std::function<Status(std::string_view)>&)>& feed) {
  POLYSOME_TRY(run(sql));
  const auto sent = feed([&](std::string_view bytes) -> Status {
    if (PQputCopyData(raw_.get(), bytes.data(), static_cast<int>(bytes.size())) != 1)
      return fail(error("PostgreSQL took no more rows", nullptr));
    return {};
  });
  PQputCopyEnd(raw_.get(), sent ? nullptr : "given up");
  Status ended;
  while (PGresult* raw = PQgetResult(raw_.get())) {
    const PostgresResult result(raw);
    if (ended && PQresultStatus(raw) != PGRES_COMMAND_OK) ended = fail(error("PostgreSQL", raw));
  }
  return sent ? ended : sent;
}

Status read_copies(const std::vector<Postgres*>& connections,
                   const std::function<Status(std::size_t, std::string_view)>& take,
                   const std::atomic<bool>* cancelled) {
  std::vector<char> open(connections.size(), 1);
  std::size_t left = connections.size();
  while (left > 0) {
    std::vector<pollfd> wait;
    for (std::size_t i = 0; i < connections.size(); ++i) {
      if (open[i] == 0) continue;
      Postgres& one = *connections[i];
      int n = 0;
      char* row = nullptr;
      while ((n = PQgetCopyData(one.get(), &row, 1)) > 0) {
        const auto taken = take(i, {row, static_cast<std::size_t>(n)});
        PQfreemem(row);
        if (!taken) return taken;
      }
      if (n == 0) {
        wait.push_back({PQsocket(one.get()), POLLIN, 0});
        continue;
      }
      if (n == -2) return fail(one.error("PostgreSQL ended early", nullptr));
      while (PGresult* raw = PQgetResult(one.get())) {
        const PostgresResult result(raw);
        if (PQresultStatus(raw) != PGRES_COMMAND_OK) return fail(one.error("PostgreSQL", raw));
      }
      open[i] = 0;
      --left;
    }
    if (cancelled != nullptr && cancelled->load(std::memory_order_relaxed))
      return fail(Code::kCancelled, "cancelled");
    if (wait.empty()) continue;
    if (::poll(wait.data(), wait.size(), kPollMs) < 0 && errno != EINTR)
      return fail(Code::kIo, "waiting for PostgreSQL failed");
    for (std::size_t i = 0; i < connections.size(); ++i)
      if (open[i] != 0 && PQconsumeInput(connections[i]->get()) == 0)
        return fail(connections[i]->error("the connection to PostgreSQL was lost", nullptr));
  }
  return {};
}

}  // namespace polysome
