#include "data/arrow_source.h"

#include <fmt/format.h>

#include <algorithm>
#include <map>

#include "data/column_schema.h"
#include "data/text_pieces.h"
#include "data/text_source.h"
#include "kernels/arrow_library.h"
#include "kernels/arrow_scan.h"

namespace polysome {
namespace {

std::string scan_sql(std::uint64_t handle) { return fmt::format("ps_arrow({}::UBIGINT)", handle); }

// Where the libraries speak of a path, people know the file by its name.
Error named(Error error, const SourceFile& file) {
  if (const auto at = error.message.find(file.path); at != std::string::npos)
    error.message.replace(at, file.path.size(), shown_name(file));
  if (error.code == Code::kUserData && error.hint.empty())
    error.hint = "is it complete, and is it Arrow IPC (Feather 2)?";
  return error;
}

Result<std::vector<Described>> look(Session& session, SourceFile* file) {
  POLYSOME_ASSIGN(const ArrowLibrary* library, arrow_library());
  POLYSOME_ASSIGN(const auto reader, library->open_arrow(file->path, {}));
  POLYSOME_ASSIGN(file->groups, reader->batch_rows());
  std::uint64_t rows = 0;
  for (const auto n : file->groups) rows += n;
  file->rows = rows;
  auto scan = std::make_shared<ArrowScan>();
  scan->path = file->path;
  const std::uint64_t handle = session.hold(std::move(scan));
  auto out = describe(session, "SELECT * FROM " + scan_sql(handle));
  session.release(handle);
  return out;
}

// What of a file a scan reads, and how much of a source's bytes that is.
struct FileScan {
  std::uint32_t file = 0;
  std::shared_ptr<ArrowScan> scan = std::make_shared<ArrowScan>();
  std::uint64_t bytes = 0;
  std::uint64_t rows = 0;
};

std::vector<FileScan> scans_of(const TableSource& source,
                               const std::vector<Partition>& partitions) {
  std::vector<FileScan> out;
  for (const auto& p : partitions) {
    if (out.empty() || out.back().file != p.file) {
      out.emplace_back().file = p.file;
      out.back().scan->path = source.files[p.file].path;
    }
    out.back().scan->ranges.push_back({p.offset, p.length});
    out.back().bytes += p.bytes;
    out.back().rows += p.length;
  }
  if (out.empty() && !source.files.empty()) out.emplace_back().scan->path = source.files[0].path;
  return out;
}

}  // namespace

Status inspect_arrow(Session& session, TableSource* source, const Json& layout,
                     const InspectOptions& options) {
  POLYSOME_TRY(register_arrow_scan(session));
  SchemaUnion all(layout);
  std::vector<std::vector<Described>> described(source->files.size());
  std::vector<const std::vector<Described>*> of_file(source->files.size(), nullptr);
  for (const auto f : spread_over(source->files.size(), options.most_files)) {
    SourceFile& file = source->files[f];
    auto columns = look(session, &file);
    if (!columns) return fail(named(columns.error(), file));
    described[f] = std::move(*columns);
    of_file[f] = &described[f];
    POLYSOME_TRY(all.add(described[f], shown_name(file)));
  }
  return all.finish(source, of_file);
}

Result<std::shared_ptr<ScanReport>> open_arrow_view(Session& session, const std::string& view,
                                                    const TableSource& source,
                                                    const std::vector<Partition>& partitions,
                                                    const ScanOptions& options) {
  POLYSOME_TRY(register_arrow_scan(session));
  auto report = std::make_shared<ScanReport>();
  const std::string columns = select_list(source);
  std::string sql;
  std::uint64_t before = 0;
  std::vector<std::uint64_t> handles;
  for (auto& one : scans_of(source, partitions)) {
    one.scan->cancelled = options.cancelled;
    if (options.progress && one.rows > 0)
      one.scan->progress = [told = options.progress, before, bytes = one.bytes,
                            all = one.rows](std::uint64_t rows) {
        told(before +
             static_cast<std::uint64_t>(static_cast<double>(bytes) * static_cast<double>(rows) /
                                        static_cast<double>(all)));
      };
    before += one.bytes;
    report->bytes += one.bytes;
    report->rows += one.rows;
    const std::uint64_t handle = session.hold(std::move(one.scan));
    handles.push_back(handle);
    sql += fmt::format("{}SELECT {} FROM {}", sql.empty() ? "" : " UNION ALL ", columns,
                       scan_sql(handle));
  }
  POLYSOME_TRY(session.open_view(view, sql, std::move(handles)));
  return report;
}

}  // namespace polysome
