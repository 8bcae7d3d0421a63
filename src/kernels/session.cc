#include "kernels/session.h"

#include <fmt/format.h>
#include <sys/resource.h>

#include <atomic>
#include <filesystem>
#include <map>
#include <optional>
#include <set>
#include <system_error>
#include <utility>

#include "kernels/moments.h"

namespace polysome {
namespace {

bool has(std::string_view text, std::string_view part) {
  return text.find(part) != std::string_view::npos;
}

bool has_memory_limit() {
  rlimit limit{};
  return ::getrlimit(RLIMIT_DATA, &limit) == 0 && limit.rlim_cur != RLIM_INFINITY;
}

// DuckDB's own exception, which came back to it through a function of ours as another one's text.
std::optional<std::string> memory_error_within(std::string_view message) {
  if (!has(message, R"("exception_type":"Out of Memory")")) return std::nullopt;
  constexpr std::string_view kText = R"("exception_message":")";
  const auto at = message.find(kText);
  if (at == std::string_view::npos) return "DuckDB found no memory";
  const auto text = message.substr(at + kText.size());
  return "DuckDB found no memory: " + std::string(text.substr(0, text.find_first_of("\\\"")));
}

Error error_of(duckdb_error_type type, std::string message) {
  // DuckDB's own hints name functions and settings that callers do not see.
  if (const auto at = message.find("\n\nPossible solutions"); at != std::string::npos)
    message.resize(at);
  // An exception that found no memory for its own text; without a limit on memory it is a defect.
  if (message.ends_with("Error: ") || message.empty())
    return has_memory_limit()
               ? Error(Code::kOutOfMemory, "DuckDB gave no reason, as when an allocation fails")
               : Error(Code::kInternal, "DuckDB gave no reason for its failure");
  const bool full = has(message, "No space left") || has(message, "max_temp_directory_size");
  switch (type) {
    case DUCKDB_ERROR_INTERRUPT: return {Code::kCancelled, "the query was interrupted"};
    case DUCKDB_ERROR_OUT_OF_MEMORY:
      return {full ? Code::kDiskFull : Code::kOutOfMemory, std::move(message)};
    case DUCKDB_ERROR_IO:
    case DUCKDB_ERROR_HTTP:
    case DUCKDB_ERROR_NETWORK: return {full ? Code::kDiskFull : Code::kIo, std::move(message)};
    case DUCKDB_ERROR_FATAL:
      if (has(message, "bad_alloc")) return {Code::kOutOfMemory, std::move(message)};
      [[fallthrough]];
    case DUCKDB_ERROR_INTERNAL:
    case DUCKDB_ERROR_NULL_POINTER: return {Code::kInternal, std::move(message)};
    default: break;
  }
  if (has(message, "bad_alloc") || has(message, "could not allocate"))
    return {Code::kOutOfMemory, std::move(message)};
  if (auto within = memory_error_within(message)) return {Code::kOutOfMemory, std::move(*within)};
  return {Code::kUserData, std::move(message)};
}

std::string sql_list(const std::vector<std::string>& values) {
  std::string out;
  for (const auto& v : values) out += (out.empty() ? "" : ", ") + sql_text(v);
  return "[" + out + "]";
}

}  // namespace

// --- results ---

QueryResult::QueryResult(duckdb_result raw) : raw_(raw), live_(true) {}

QueryResult::~QueryResult() {
  if (chunk_ != nullptr) duckdb_destroy_data_chunk(&chunk_);
  if (live_) duckdb_destroy_result(&raw_);
}

QueryResult::QueryResult(QueryResult&& other) noexcept
    : raw_(other.raw_),
      chunk_(std::exchange(other.chunk_, nullptr)),
      live_(std::exchange(other.live_, false)) {}

QueryResult& QueryResult::operator=(QueryResult&& other) noexcept {
  std::swap(raw_, other.raw_);
  std::swap(chunk_, other.chunk_);
  std::swap(live_, other.live_);
  return *this;
}

std::size_t QueryResult::column_count() const {
  return duckdb_column_count(const_cast<duckdb_result*>(&raw_));
}

std::string QueryResult::column_name(std::size_t column) const {
  return duckdb_column_name(const_cast<duckdb_result*>(&raw_), column);
}

duckdb_type QueryResult::column_type(std::size_t column) const {
  return duckdb_column_type(const_cast<duckdb_result*>(&raw_), column);
}

std::string QueryResult::column_type_name(std::size_t column) const {
  static const std::map<duckdb_type, const char*> kNames = {
      {DUCKDB_TYPE_BOOLEAN, "BOOLEAN"},
      {DUCKDB_TYPE_TINYINT, "TINYINT"},
      {DUCKDB_TYPE_SMALLINT, "SMALLINT"},
      {DUCKDB_TYPE_INTEGER, "INTEGER"},
      {DUCKDB_TYPE_BIGINT, "BIGINT"},
      {DUCKDB_TYPE_UTINYINT, "UTINYINT"},
      {DUCKDB_TYPE_USMALLINT, "USMALLINT"},
      {DUCKDB_TYPE_UINTEGER, "UINTEGER"},
      {DUCKDB_TYPE_UBIGINT, "UBIGINT"},
      {DUCKDB_TYPE_HUGEINT, "HUGEINT"},
      {DUCKDB_TYPE_UHUGEINT, "UHUGEINT"},
      {DUCKDB_TYPE_FLOAT, "FLOAT"},
      {DUCKDB_TYPE_DOUBLE, "DOUBLE"},
      {DUCKDB_TYPE_DATE, "DATE"},
      {DUCKDB_TYPE_TIME, "TIME"},
      {DUCKDB_TYPE_TIMESTAMP, "TIMESTAMP"},
      {DUCKDB_TYPE_TIMESTAMP_S, "TIMESTAMP_S"},
      {DUCKDB_TYPE_TIMESTAMP_MS, "TIMESTAMP_MS"},
      {DUCKDB_TYPE_TIMESTAMP_NS, "TIMESTAMP_NS"},
      {DUCKDB_TYPE_TIMESTAMP_TZ, "TIMESTAMP WITH TIME ZONE"},
      {DUCKDB_TYPE_TIME_TZ, "TIME WITH TIME ZONE"},
      {DUCKDB_TYPE_INTERVAL, "INTERVAL"},
      {DUCKDB_TYPE_VARCHAR, "VARCHAR"},
      {DUCKDB_TYPE_BLOB, "BLOB"},
      {DUCKDB_TYPE_BIT, "BIT"},
      {DUCKDB_TYPE_UUID, "UUID"},
      {DUCKDB_TYPE_ENUM, "ENUM"},
      {DUCKDB_TYPE_LIST, "LIST"},
      {DUCKDB_TYPE_STRUCT, "STRUCT"},
      {DUCKDB_TYPE_MAP, "MAP"},
      {DUCKDB_TYPE_ARRAY, "ARRAY"},
      {DUCKDB_TYPE_UNION, "UNION"},
      {DUCKDB_TYPE_SQLNULL, "NULL"},
  };
  const duckdb_type type = column_type(column);
  if (type == DUCKDB_TYPE_DECIMAL) {
    duckdb_logical_type t = duckdb_column_logical_type(const_cast<duckdb_result*>(&raw_), column);
    const std::string out =
        fmt::format("DECIMAL({},{})", duckdb_decimal_width(t), duckdb_decimal_scale(t));
    duckdb_destroy_logical_type(&t);
    return out;
  }
  const auto it = kNames.find(type);
  return it == kNames.end() ? "OTHER" : it->second;
}

duckdb_data_chunk QueryResult::fetch() {
  if (chunk_ != nullptr) duckdb_destroy_data_chunk(&chunk_);
  chunk_ = duckdb_fetch_chunk(raw_);
  return chunk_;
}

// --- session ---

namespace {

// A database in memory and the one connection to it, as DuckDB's functions need them.
struct Instance {
  duckdb_database database = nullptr;
  duckdb_connection connection = nullptr;

  Instance() = default;
  Instance(const Instance&) = delete;
  Instance& operator=(const Instance&) = delete;
  ~Instance() {
    if (connection != nullptr) duckdb_disconnect(&connection);
    if (database != nullptr) duckdb_close(&database);
  }
};

Result<std::unique_ptr<Instance>> open_instance(std::optional<std::uint64_t> memory) {
  auto out = std::make_unique<Instance>();
  duckdb_config options = nullptr;
  if (duckdb_create_config(&options) != DuckDBSuccess)
    return fail(Code::kOutOfMemory, "DuckDB could not be configured: out of memory");
  const auto set = [&](const char* name, const std::string& value) {
    return duckdb_set_config(options, name, value.c_str()) == DuckDBSuccess;
  };
  const bool good =
      set("threads", "1") && (!memory || set("memory_limit", fmt::format("{}B", *memory))) &&
      set("autoinstall_known_extensions", "false") && set("autoload_known_extensions", "false") &&
      set("preserve_insertion_order", "true");
  char* message = nullptr;
  const bool opened =
      good && duckdb_open_ext(nullptr, &out->database, options, &message) == DuckDBSuccess;
  duckdb_destroy_config(&options);
  if (!opened) {
    const std::string text = message != nullptr ? message : "a setting was refused";
    duckdb_free(message);
    return fail(error_of(DUCKDB_ERROR_INVALID, "DuckDB could not be opened: " + text));
  }
  if (duckdb_connect(out->database, &out->connection) != DuckDBSuccess)
    return fail(Code::kInternal, "DuckDB could not be connected to");
  return out;
}

// Opened before it was wanted; the main thread's.
std::unique_ptr<Instance>& spare_instance() {
  static std::unique_ptr<Instance> spare;
  return spare;
}

}  // namespace

struct Session::State {
  SessionConfig config;
  std::unique_ptr<Instance> instance;                   // opened by the first use
  std::atomic<duckdb_connection> connection = nullptr;  // for interrupt(); the instance's
  bool locked = false;
  std::optional<Error> error;  // left by a table function of ours during the running query
  std::uint64_t next_handle = 1;
  std::map<std::uint64_t, std::shared_ptr<void>> held;
  std::set<std::string> functions;                          // registered
  std::map<std::string, std::vector<std::uint64_t>> views;  // what they hold

  ~State() {
    // Held objects may be referred to by running scans: the database goes first.
    instance.reset();
  }
};

Session::Session(std::unique_ptr<State> state) : state_(std::move(state)) {}
Session::~Session() = default;

std::unique_ptr<Session> Session::make(const SessionConfig& config) {
  auto state = std::make_unique<State>();
  state->config = config;
  return std::unique_ptr<Session>(new Session(std::move(state)));
}

Result<std::unique_ptr<Session>> Session::open(const SessionConfig& config) {
  auto session = make(config);
  POLYSOME_TRY(session->ready());
  return session;
}

void Session::prepare_one() {
  if (spare_instance() != nullptr) return;
  // Whoever needs one says why it cannot be had.
  if (auto opened = open_instance({})) spare_instance() = std::move(*opened);
}

void Session::drop_prepared() { spare_instance().reset(); }

Status Session::ready() {
  if (state_->instance != nullptr) return {};
  const SessionConfig& config = state_->config;
  const bool prepared = spare_instance() != nullptr;
  if (prepared) {
    state_->instance = std::move(spare_instance());
  } else {
    POLYSOME_ASSIGN(state_->instance, open_instance(config.memory));
  }
  const Status set_up = [&]() -> Status {
    if (prepared) POLYSOME_TRY(run(fmt::format("SET memory_limit = '{}B'", config.memory)));
    if (!config.temp_folder.empty())
      POLYSOME_TRY(run("SET temp_directory = " + sql_text(config.temp_folder)));
    if (!config.allowed_paths.empty())
      POLYSOME_TRY(run("SET allowed_paths = " + sql_list(config.allowed_paths)));
    if (!config.allowed_directories.empty())
      POLYSOME_TRY(run("SET allowed_directories = " + sql_list(config.allowed_directories)));
    POLYSOME_TRY(register_moments(*this));
    return state_->locked ? lock_now() : Status();
  }();
  if (!set_up) {
    state_->instance.reset();
    return set_up;
  }
  state_->connection = state_->instance->connection;
  return {};
}

duckdb_connection Session::connection() const {
  return state_->instance == nullptr ? nullptr : state_->instance->connection;
}

Status Session::lock() {
  state_->locked = true;
  return state_->instance == nullptr ? Status() : lock_now();
}

Status Session::lock_now() {
  POLYSOME_TRY(run("SET enable_external_access = false"));
  return run("SET lock_configuration = true");
}

Status Session::run(const std::string& sql) {
  POLYSOME_TRY(query(sql));
  return {};
}

Result<QueryResult> Session::query(const std::string& sql) {
  POLYSOME_TRY(ready());
  state_->error.reset();
  duckdb_result raw{};
  const duckdb_state done = duckdb_query(connection(), sql.c_str(), &raw);
  QueryResult result(raw);
  if (done == DuckDBSuccess) return result;
  if (state_->error) return fail(*std::exchange(state_->error, std::nullopt));
  const char* text = duckdb_result_error(&raw);
  return fail(error_of(duckdb_result_error_type(&raw), text != nullptr ? text : ""));
}

// --- rows as they come ---

struct RowStream::State {
  Session* session = nullptr;
  duckdb_result result{};
  duckdb_data_chunk chunk = nullptr;

  ~State() {
    if (chunk != nullptr) duckdb_destroy_data_chunk(&chunk);
    duckdb_destroy_result(&result);
  }
};

RowStream::RowStream(std::unique_ptr<State> state) : state_(std::move(state)) {}
RowStream::~RowStream() = default;
RowStream::RowStream(RowStream&&) noexcept = default;

std::size_t RowStream::column_count() const { return duckdb_column_count(&state_->result); }
std::string RowStream::column_name(std::size_t column) const {
  return duckdb_column_name(&state_->result, column);
}
duckdb_logical_type RowStream::column_type(std::size_t column) const {
  return duckdb_column_logical_type(&state_->result, column);
}

Result<duckdb_data_chunk> RowStream::fetch() {
  if (state_->chunk != nullptr) duckdb_destroy_data_chunk(&state_->chunk);
  state_->chunk = duckdb_fetch_chunk(state_->result);
  if (state_->chunk != nullptr) return state_->chunk;
  const char* text = duckdb_result_error(&state_->result);
  auto& error = state_->session->state_->error;
  if (error) return fail(*std::exchange(error, std::nullopt));
  if (text != nullptr && *text != '\0')
    return fail(error_of(duckdb_result_error_type(&state_->result), text));
  return static_cast<duckdb_data_chunk>(nullptr);
}

Result<RowStream> Session::stream(const std::string& sql) {
  POLYSOME_TRY(ready());
  state_->error.reset();
  duckdb_prepared_statement prepared = nullptr;
  if (duckdb_prepare(connection(), sql.c_str(), &prepared) != DuckDBSuccess) {
    const char* text = duckdb_prepare_error(prepared);
    Error error = error_of(DUCKDB_ERROR_INVALID, text != nullptr ? text : "");
    duckdb_destroy_prepare(&prepared);
    return fail(std::move(error));
  }
  auto stream = std::make_unique<RowStream::State>();
  stream->session = this;
  duckdb_pending_result pending = nullptr;
  const bool good = duckdb_pending_prepared_streaming(prepared, &pending) == DuckDBSuccess &&
                    duckdb_execute_pending(pending, &stream->result) == DuckDBSuccess;
  const char* text = good ? nullptr : duckdb_pending_error(pending);
  std::optional<Error> error;
  if (!good) {
    error = state_->error
                ? std::exchange(state_->error, std::nullopt)
                : error_of(duckdb_result_error_type(&stream->result), text != nullptr ? text : "");
  }
  duckdb_destroy_pending(&pending);
  duckdb_destroy_prepare(&prepared);
  if (error) return fail(*std::move(error));
  return RowStream(std::move(stream));
}

Result<std::string> Session::text(const std::string& sql) {
  POLYSOME_ASSIGN(QueryResult result,
                  query("SELECT CAST(COLUMNS(*) AS VARCHAR) FROM (" + sql + "\n) LIMIT 1"));
  duckdb_data_chunk chunk = result.fetch();
  if (chunk == nullptr || duckdb_data_chunk_get_size(chunk) == 0)
    return fail(Code::kInternal, "a query of ours gave no row: " + sql);
  duckdb_vector vector = duckdb_data_chunk_get_vector(chunk, 0);
  if (auto* validity = duckdb_vector_get_validity(vector);
      validity != nullptr && !duckdb_validity_row_is_valid(validity, 0))
    return std::string();
  auto* value = static_cast<duckdb_string_t*>(duckdb_vector_get_data(vector));
  return std::string(duckdb_string_t_data(value), duckdb_string_t_length(*value));
}

Result<std::int64_t> Session::integer(const std::string& sql) {
  POLYSOME_ASSIGN(QueryResult result, query(sql));
  if (result.column_count() == 0 || result.column_type(0) == DUCKDB_TYPE_INVALID)
    return fail(Code::kInternal, "a query of ours gave no column: " + sql);
  duckdb_data_chunk chunk = result.fetch();
  if (chunk == nullptr || duckdb_data_chunk_get_size(chunk) == 0)
    return fail(Code::kInternal, "a query of ours gave no row: " + sql);
  duckdb_vector vector = duckdb_data_chunk_get_vector(chunk, 0);
  if (auto* validity = duckdb_vector_get_validity(vector);
      validity != nullptr && !duckdb_validity_row_is_valid(validity, 0))
    return fail(Code::kInternal, "a query of ours gave NULL: " + sql);
  const void* data = duckdb_vector_get_data(vector);
  switch (result.column_type(0)) {
    case DUCKDB_TYPE_BOOLEAN: return static_cast<const bool*>(data)[0] ? 1 : 0;
    case DUCKDB_TYPE_TINYINT: return static_cast<const std::int8_t*>(data)[0];
    case DUCKDB_TYPE_UTINYINT: return static_cast<const std::uint8_t*>(data)[0];
    case DUCKDB_TYPE_SMALLINT: return static_cast<const std::int16_t*>(data)[0];
    case DUCKDB_TYPE_USMALLINT: return static_cast<const std::uint16_t*>(data)[0];
    case DUCKDB_TYPE_INTEGER: return static_cast<const std::int32_t*>(data)[0];
    case DUCKDB_TYPE_UINTEGER: return static_cast<const std::uint32_t*>(data)[0];
    case DUCKDB_TYPE_BIGINT: return static_cast<const std::int64_t*>(data)[0];
    case DUCKDB_TYPE_UBIGINT:
      return static_cast<std::int64_t>(static_cast<const std::uint64_t*>(data)[0]);
    case DUCKDB_TYPE_HUGEINT:
      return static_cast<std::int64_t>(static_cast<const duckdb_hugeint*>(data)[0].lower);
    case DUCKDB_TYPE_DOUBLE: return static_cast<std::int64_t>(static_cast<const double*>(data)[0]);
    default:
      return fail(Code::kInternal, fmt::format("a query of ours gave {}, not an integer: {}",
                                               result.column_type_name(0), sql));
  }
}

void Session::interrupt() {
  if (duckdb_connection connection = state_->connection) duckdb_interrupt(connection);
}

void Session::set_error(Error error) {
  if (!state_->error) state_->error = std::move(error);
}

std::uint64_t Session::hold(std::shared_ptr<void> object) {
  const std::uint64_t handle = state_->next_handle++;
  state_->held.emplace(handle, std::move(object));
  return handle;
}

std::shared_ptr<void> Session::held(std::uint64_t handle) const {
  const auto it = state_->held.find(handle);
  return it == state_->held.end() ? nullptr : it->second;
}

void Session::release(std::uint64_t handle) { state_->held.erase(handle); }

Status Session::register_table_function(const TableFunction& function) {
  POLYSOME_TRY(ready());
  if (!state_->functions.insert(function.name).second) return {};
  duckdb_table_function f = duckdb_create_table_function();
  duckdb_table_function_set_name(f, function.name);
  duckdb_logical_type handle = duckdb_create_logical_type(DUCKDB_TYPE_UBIGINT);
  duckdb_table_function_add_parameter(f, handle);
  duckdb_destroy_logical_type(&handle);
  duckdb_table_function_set_extra_info(f, this, nullptr);
  duckdb_table_function_set_bind(f, function.bind);
  duckdb_table_function_set_init(f, function.start);
  duckdb_table_function_set_function(f, function.fill);
  duckdb_table_function_supports_projection_pushdown(f, function.only_asked_columns);
  const bool good = duckdb_register_table_function(connection(), f) == DuckDBSuccess;
  duckdb_destroy_table_function(&f);
  if (good) return {};
  state_->functions.erase(function.name);
  return fail(Code::kInternal,
              std::string("the table function ") + function.name + " could not be registered");
}

Status Session::open_view(const std::string& view, const std::string& select,
                          std::vector<std::uint64_t> handles) {
  POLYSOME_TRY(run("CREATE OR REPLACE TEMP VIEW " + sql_identifier(view) + " AS " + select));
  auto& held = state_->views[view];
  for (const auto handle : held) release(handle);
  held = std::move(handles);
  return {};
}

std::string sql_identifier(std::string_view name) {
  std::string out = "\"";
  for (const char c : name) {
    if (c == '"') out.push_back('"');
    out.push_back(c);
  }
  out.push_back('"');
  return out;
}

std::string sql_text(std::string_view value) {
  std::string out = "'";
  for (const char c : value) {
    if (c == '\'') out.push_back('\'');
    out.push_back(c);
  }
  out.push_back('\'');
  return out;
}

}  // namespace polysome
