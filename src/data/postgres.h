// A PostgreSQL server through libpq, errors as Results without secrets. One thread.
#pragma once

#include <libpq-fe.h>

#include <atomic>
#include <functional>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "model/connections.h"

namespace polysome {

class PostgresResult {
 public:
  explicit PostgresResult(PGresult* raw) : raw_(raw, &PQclear) {}
  int rows() const { return PQntuples(raw_.get()); }
  bool missing(int row, int column) const { return PQgetisnull(raw_.get(), row, column) != 0; }
  std::string text(int row, int column) const { return PQgetvalue(raw_.get(), row, column); }
  PGresult* get() const { return raw_.get(); }

 private:
  std::unique_ptr<PGresult, decltype(&PQclear)> raw_;
};

class Postgres {
 public:
  // Errors: kIo (not reached, refused), kInvalid (no such connection).
  static Result<Postgres> connect(const DatabaseUrl& url, const Connections& connections);
  Result<PostgresResult> query(const std::string& sql);
  Status run(const std::string& sql);
  std::string identifier(const std::string& name) const;
  std::string literal(const std::string& value) const;
  // "schema"."table" of "schema.table".
  std::string table_name(const std::string& table) const;
  PGconn* get() const { return raw_.get(); }
  Error error(const std::string& what, const PGresult* result) const;

  // Starts COPY … FROM STDIN, sends what `more` gives until it gives nothing, ends it.
  Status copy_in(const std::string& sql,
                 const std::function<Status(const std::function<Status(std::string_view)>&)>& feed);

 private:
  Postgres(PGconn* raw, const Connections* connections)
      : raw_(raw, &PQfinish), connections_(connections) {}
  std::unique_ptr<PGconn, decltype(&PQfinish)> raw_;
  const Connections* connections_;
};

// Reads the rows of several COPY … TO STDOUT at once, each under way on its own connection: `take`
// is called with the number of the connection and a row with its line end.
Status read_copies(const std::vector<Postgres*>& connections,
                   const std::function<Status(std::size_t, std::string_view)>& take,
                   const std::atomic<bool>* cancelled);

}  // namespace polysome
