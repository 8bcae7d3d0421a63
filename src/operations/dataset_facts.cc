#include "operations/dataset_facts.h"

#include <fmt/format.h>
#include <unistd.h>

#include <filesystem>
#include <system_error>

#include "base/files.h"

namespace polysome {
namespace fs = std::filesystem;
namespace {

constexpr std::uint64_t kCountedBytes = 32'000'000;  // counted row by row up to here
constexpr std::uint64_t kUnpackedBytes = 4'000'000;  // compressed
constexpr std::uint64_t kSampledBytes = 2'000'000;
constexpr const char* kView = "ps_counted";

Result<std::uint64_t> count_in(Session& session, const TableSource& source,
                               std::vector<Partition> partitions, const TaskContext& context,
                               bool start_inside_quotes = false) {
  ScanOptions options;
  options.cancelled = context.cancelled;
  options.start_inside_quotes = start_inside_quotes;
  POLYSOME_TRY(open_view(session, kView, source, std::move(partitions), options));
  const auto rows = session.integer(fmt::format("SELECT count(*) FROM {}", kView));
  (void)session.run(fmt::format("DROP VIEW IF EXISTS {}", kView));
  if (!rows) return std::unexpected(rows.error());
  return static_cast<std::uint64_t>(*rows);
}

Result<RowCount> count_unpacked(Session& session, const TableSource& source,
                                const TaskContext& context) {
  const std::string folder = fmt::format("{}/count.{}", context.scratch, ::getpid());
  POLYSOME_TRY(remove_all(folder));
  POLYSOME_TRY(make_folders(folder));
  ScanOptions options;
  options.cancelled = context.cancelled;
  std::vector<std::string> parts;
  Result<RowCount> out = RowCount{};
  for (std::uint32_t i = 0; i < source.files.size() && out; ++i) {
    auto unpacked =
        unpack(session, source, i, kCountedBytes, fmt::format("{}/{}.", folder, i), options);
    if (!unpacked) {
      out = std::unexpected(unpacked.error());
      break;
    }
    for (const auto& p : *unpacked) parts.push_back(p.path);
  }
  if (out) {
    const TableSource plain = unpacked_source(source, parts);
    auto partitions = cut(plain, kCountedBytes);
    auto rows = partitions ? count_in(session, plain, std::move(*partitions), context)
                           : Result<std::uint64_t>(std::unexpected(partitions.error()));
    if (rows)
      out = RowCount{*rows, true};
    else
      out = std::unexpected(rows.error());
  }
  (void)remove_all(folder);
  return out;
}

Result<RowCount> estimate(Session& session, const TableSource& source, const TaskContext& context) {
  POLYSOME_ASSIGN(const auto partitions, cut(source, kSampledBytes));
  if (partitions.empty()) return RowCount{0, true};
  std::uint64_t rows = 0, bytes = 0;
  for (const std::size_t at : {std::size_t{0}, partitions.size() / 2}) {
    // Whether a piece begins within quotes is not known here: the other start is tried.
    auto n = count_in(session, source, {partitions[at]}, context);
    if (!n && n.error().code == Code::kUserData && at > 0)
      n = count_in(session, source, {partitions[at]}, context, true);
    if (!n && at > 0) continue;
    if (!n) return std::unexpected(n.error());
    rows += *n;
    bytes += partitions[at].bytes;
  }
  if (bytes == 0) return RowCount{};
  const double share = static_cast<double>(rows) / static_cast<double>(bytes);
  return RowCount{static_cast<std::uint64_t>(share * static_cast<double>(source.total_bytes())),
                  false};
}

}  // namespace

std::vector<std::string> dataset_folders(const DatasetRef& ref) {
  std::vector<std::string> out;
  std::error_code ec;
  if (!ref.source.empty()) {
    const auto pattern = ref.source.find_first_of("*?[");
    // Of a glob the part before its first pattern.
    const fs::path fixed(ref.source.substr(0, pattern));
    out.push_back(fixed.parent_path().string());
    if (pattern == std::string::npos && fs::is_directory(fixed, ec)) out.push_back(fixed.string());
    const fs::path real = fs::weakly_canonical(fixed, ec);
    if (!ec) out.push_back(real.parent_path().string());
  }
  for (const auto& f : ref.files) out.push_back(fs::path(f).parent_path().string());
  std::erase(out, std::string());
  return out;
}

Result<RowCount> count_rows(Session& session, const TableSource& source,
                            const TaskContext& context) {
  std::uint64_t known = 0;
  bool all_known = true;
  for (const auto& f : source.files) {
    all_known = all_known && f.rows.has_value();
    known += f.rows.value_or(0);
  }
  if (all_known) return RowCount{known, true};
  if (!source.splittable())
    return source.total_bytes() <= kUnpackedBytes ? count_unpacked(session, source, context)
                                                  : Result<RowCount>(RowCount{});
  if (source.total_bytes() > kCountedBytes) return estimate(session, source, context);
  POLYSOME_ASSIGN(auto partitions, cut(source, kCountedBytes));
  POLYSOME_ASSIGN(const auto rows, count_in(session, source, std::move(partitions), context));
  return RowCount{rows, true};
}

}  // namespace polysome
