#include "kernels/row_source.h"

#include <memory>
#include <new>

namespace polysome {
namespace {

struct Bound {
  std::shared_ptr<RowSource> source;
};

void bind(duckdb_bind_info info) {
  auto* session = static_cast<Session*>(duckdb_bind_get_extra_info(info));
  duckdb_value parameter = duckdb_bind_get_parameter(info, 0);
  const std::uint64_t handle = duckdb_get_uint64(parameter);
  duckdb_destroy_value(&parameter);
  auto source = std::static_pointer_cast<RowSource>(session->held(handle));
  if (source == nullptr) {
    duckdb_bind_set_error(info, "ps_rows is for Polysome's own plans");
    return;
  }
  for (const auto& column : source->columns) {
    if (column.exact != nullptr) {
      duckdb_bind_add_result_column(info, column.name.c_str(), column.exact.get());
      continue;
    }
    duckdb_logical_type type = duckdb_create_logical_type(column.type);
    duckdb_bind_add_result_column(info, column.name.c_str(), type);
    duckdb_destroy_logical_type(&type);
  }
  duckdb_bind_set_bind_data(info, new Bound{std::move(source)},
                            [](void* p) { delete static_cast<Bound*>(p); });
}

void start(duckdb_init_info info) { duckdb_init_set_max_threads(info, 1); }

void fill(duckdb_function_info info, duckdb_data_chunk chunk) {
  const auto* bound = static_cast<Bound*>(duckdb_function_get_bind_data(info));
  const auto failed = [&](Error error) {
    duckdb_function_set_error(info, error.message.c_str());
    static_cast<Session*>(duckdb_function_get_extra_info(info))->set_error(std::move(error));
  };
  try {
    auto filled = bound->source->fill(chunk);
    if (!filled) return failed(std::move(filled.error()));
    duckdb_data_chunk_set_size(chunk, *filled);
  } catch (const std::bad_alloc&) {
    failed(Error(Code::kOutOfMemory, "not enough memory to hand over rows"));
  }
}

}  // namespace

Status register_row_source(Session& session) {
  return session.register_table_function(
      {.name = "ps_rows", .bind = bind, .start = start, .fill = fill});
}

}  // namespace polysome
