#include "kernels/arrow_scan.h"

#include <algorithm>
#include <memory>
#include <new>
#include <optional>

#include "kernels/arrow_c_data.h"
#include "kernels/arrow_library.h"

namespace polysome {
namespace {

// DuckDB's errors of conversion as ours.
Status status_of(duckdb_error_data error, const std::string& path) {
  if (error == nullptr) return {};
  Status out;
  if (duckdb_error_data_has_error(error))
    out = fail(Code::kUserData, path + ": " + duckdb_error_data_message(error),
               "columns of types that SQL does not know have to be left out or converted first");
  duckdb_destroy_error_data(&error);
  return out;
}

// A reader with what DuckDB has to know of its columns.
class OpenFile {
 public:
  static Result<std::unique_ptr<OpenFile>> open(duckdb_connection connection,
                                                const std::string& path,
                                                const std::optional<std::vector<int>>& columns) {
    auto out = std::make_unique<OpenFile>();
    out->connection_ = connection;
    out->path_ = path;
    POLYSOME_ASSIGN(const ArrowLibrary* library, arrow_library());
    POLYSOME_ASSIGN(out->reader_, library->open_arrow(path, columns));
    POLYSOME_TRY(out->reader_->schema(out->schema_.get()));
    POLYSOME_TRY(status_of(
        duckdb_schema_from_arrow(connection, out->schema_.get(), &out->converted_), path));
    return out;
  }
  ~OpenFile() {
    drop_chunk();
    if (converted_ != nullptr) duckdb_destroy_arrow_converted_schema(&converted_);
  }

  ArrowReader& reader() { return *reader_; }
  std::size_t columns() { return static_cast<std::size_t>(schema_.get()->n_children); }
  const char* name(std::size_t column) { return schema_.get()->children[column]->name; }

  // The next rows as a chunk that is valid until the next call; null at the end.
  Result<duckdb_data_chunk> next(std::uint64_t most) {
    drop_chunk();
    POLYSOME_ASSIGN(const std::uint64_t n, reader_->next(most, rows_.get()));
    if (n == 0) return duckdb_data_chunk(nullptr);
    POLYSOME_TRY(convert());
    return chunk_;
  }
  // A chunk without rows, for its types.
  Result<duckdb_data_chunk> nothing() {
    drop_chunk();
    POLYSOME_TRY(reader_->no_rows(rows_.get()));
    POLYSOME_TRY(convert());
    return chunk_;
  }

 private:
  // DuckDB lets go of the rows with the vectors of whichever column it comes to first, but needs
  // them for all: it gets a copy that owns nothing, and the rows stay here.
  Status convert() {
    ArrowArray lent = *rows_.get();
    lent.release = [](ArrowArray* array) { array->release = nullptr; };
    return status_of(duckdb_data_chunk_from_arrow(connection_, &lent, converted_, &chunk_), path_);
  }
  void drop_chunk() {
    if (chunk_ != nullptr) duckdb_destroy_data_chunk(&chunk_);
    chunk_ = nullptr;
    rows_.clear();
  }

  duckdb_connection connection_ = nullptr;
  std::string path_;
  std::unique_ptr<ArrowReader> reader_;
  ArrowOwned<ArrowSchema> schema_;
  duckdb_arrow_converted_schema converted_ = nullptr;
  ArrowOwned<ArrowArray> rows_;
  duckdb_data_chunk chunk_ = nullptr;
};

struct Bound {
  std::shared_ptr<ArrowScan> scan;
};

struct Running {
  std::unique_ptr<OpenFile> file;
  std::vector<std::optional<std::size_t>> source;  // column of the file's chunk, of each vector
  std::size_t range = 0;
  std::uint64_t left = 0;  // rows of the range before this
  bool in_range = false;
  std::uint64_t done = 0;
};

Status bind_scan(duckdb_bind_info info, Session* session) {
  duckdb_value parameter = duckdb_bind_get_parameter(info, 0);
  const std::uint64_t handle = duckdb_get_uint64(parameter);
  duckdb_destroy_value(&parameter);
  auto scan = std::static_pointer_cast<ArrowScan>(session->held(handle));
  if (scan == nullptr) return fail(Code::kUserData, "ps_arrow is for Polysome's own plans");
  POLYSOME_ASSIGN(const auto file, OpenFile::open(session->connection(), scan->path, {}));
  if (file->columns() == 0) return fail(Code::kUserData, scan->path + ": has no columns");
  POLYSOME_ASSIGN(duckdb_data_chunk chunk, file->nothing());
  for (std::size_t c = 0; c < file->columns(); ++c) {
    duckdb_logical_type type =
        duckdb_vector_get_column_type(duckdb_data_chunk_get_vector(chunk, c));
    duckdb_bind_add_result_column(info, file->name(c), type);
    duckdb_destroy_logical_type(&type);
  }
  duckdb_bind_set_bind_data(info, new Bound{std::move(scan)},
                            [](void* p) { delete static_cast<Bound*>(p); });
  return {};
}

void bind(duckdb_bind_info info) {
  auto* session = static_cast<Session*>(duckdb_bind_get_extra_info(info));
  if (const auto done = bind_scan(info, session); !done) {
    duckdb_bind_set_error(info, done.error().message.c_str());
    session->set_error(done.error());
  }
}

Result<std::unique_ptr<Running>> start_scan(duckdb_init_info info, Session* session) {
  const auto* bound = static_cast<Bound*>(duckdb_init_get_bind_data(info));
  std::vector<std::size_t> wanted;
  for (idx_t i = 0; i < duckdb_init_get_column_count(info); ++i)
    wanted.push_back(duckdb_init_get_column_index(info, i));
  // The file's own columns; row numbers and the like are none.
  std::vector<int> columns;
  for (const auto c : wanted)
    if (c <= INT32_MAX) columns.push_back(static_cast<int>(c));
  if (columns.empty()) columns.push_back(0);
  std::ranges::sort(columns);
  columns.erase(std::unique(columns.begin(), columns.end()), columns.end());
  auto out = std::make_unique<Running>();
  for (const auto c : wanted) {
    const auto at =
        std::ranges::find(columns, static_cast<int>(std::min<std::size_t>(c, INT32_MAX)));
    out->source.push_back(at == columns.end() || c > INT32_MAX
                              ? std::nullopt
                              : std::optional(static_cast<std::size_t>(at - columns.begin())));
  }
  POLYSOME_ASSIGN(out->file, OpenFile::open(session->connection(), bound->scan->path, columns));
  return out;
}

void start(duckdb_init_info info) {
  auto* session = static_cast<Session*>(duckdb_init_get_extra_info(info));
  duckdb_init_set_max_threads(info, 1);
  auto running = start_scan(info, session);
  if (!running) {
    session->set_error(running.error());
    duckdb_init_set_error(info, running.error().message.c_str());
    return;
  }
  duckdb_init_set_init_data(info, running->release(),
                            [](void* p) { delete static_cast<Running*>(p); });
}

// Rows of the next chunk, at most a vector's; 0 at the end.
Result<std::uint64_t> fill_chunk(const ArrowScan& scan, Running* run, duckdb_data_chunk out) {
  if (scan.cancelled != nullptr && scan.cancelled->load(std::memory_order_relaxed))
    return fail(Code::kCancelled, "the task was cancelled");
  while (run->left == 0) {
    if (run->in_range) ++run->range;
    if (run->range >= scan.ranges.size()) return std::uint64_t{0};
    run->in_range = true;
    run->left = scan.ranges[run->range].rows;
    if (run->left > 0) POLYSOME_TRY(run->file->reader().seek(scan.ranges[run->range].first));
  }
  POLYSOME_ASSIGN(duckdb_data_chunk rows,
                  run->file->next(std::min<std::uint64_t>(run->left, duckdb_vector_size())));
  if (rows == nullptr)
    return fail(Code::kUserData, scan.path + ": has fewer rows than when it was looked at");
  const std::uint64_t n = duckdb_data_chunk_get_size(rows);
  for (std::size_t i = 0; i < run->source.size(); ++i)
    if (run->source[i])
      duckdb_vector_reference_vector(duckdb_data_chunk_get_vector(out, i),
                                     duckdb_data_chunk_get_vector(rows, *run->source[i]));
  run->left -= n;
  run->done += n;
  if (scan.progress) scan.progress(run->done);
  return n;
}

void fill(duckdb_function_info info, duckdb_data_chunk chunk) {
  const auto* bound = static_cast<Bound*>(duckdb_function_get_bind_data(info));
  auto* running = static_cast<Running*>(duckdb_function_get_init_data(info));
  const auto n = fill_chunk(*bound->scan, running, chunk);
  if (!n) {
    static_cast<Session*>(duckdb_function_get_extra_info(info))->set_error(n.error());
    duckdb_function_set_error(info, n.error().message.c_str());
    return;
  }
  duckdb_data_chunk_set_size(chunk, *n);
}

Status export_schema(RowStream& result, const std::string& path, duckdb_arrow_options options,
                     ArrowSchema* out) {
  std::vector<std::string> names;
  std::vector<duckdb_logical_type> types;
  for (std::size_t c = 0; c < result.column_count(); ++c) {
    names.push_back(result.column_name(c));
    types.push_back(result.column_type(c));
  }
  std::vector<const char*> raw;
  for (const auto& name : names) raw.push_back(name.c_str());
  const Status done =
      status_of(duckdb_to_arrow_schema(options, types.data(), raw.data(), raw.size(), out), path);
  for (auto& type : types) duckdb_destroy_logical_type(&type);
  return done;
}

}  // namespace

Status register_arrow_scan(Session& session) {
  return session.register_table_function(
      {.name = "ps_arrow", .bind = bind, .start = start, .fill = fill, .only_asked_columns = true});
}

Result<std::uint64_t> write_arrow(Session& session, const std::string& select,
                                  const std::string& path, const std::string& compression) {
  POLYSOME_ASSIGN(const ArrowLibrary* library, arrow_library());
  POLYSOME_ASSIGN(RowStream result, session.stream(select));
  duckdb_arrow_options raw = nullptr;
  duckdb_connection_get_arrow_options(session.connection(), &raw);
  const std::unique_ptr<duckdb_arrow_options, void (*)(duckdb_arrow_options*)> options(
      &raw, [](duckdb_arrow_options* o) { duckdb_destroy_arrow_options(o); });
  ArrowOwned<ArrowSchema> schema;
  POLYSOME_TRY(export_schema(result, path, raw, schema.get()));
  POLYSOME_ASSIGN(const auto writer, library->create_arrow(path, schema.get(), compression));
  std::uint64_t rows = 0;
  for (;;) {
    POLYSOME_ASSIGN(duckdb_data_chunk chunk, result.fetch());
    if (chunk == nullptr) break;
    ArrowOwned<ArrowArray> array;
    POLYSOME_TRY(status_of(duckdb_data_chunk_to_arrow(raw, chunk, array.get()), path));
    rows += duckdb_data_chunk_get_size(chunk);
    POLYSOME_TRY(writer->append(array.get()));
  }
  POLYSOME_TRY(writer->close());
  return rows;
}

}  // namespace polysome
