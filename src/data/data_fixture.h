// What the tests of this room share: a folder of their own, a session, and the rows of a view as
// text.
#pragma once

#include <gmock/gmock.h>
#include <unistd.h>

#include <filesystem>
#include <fstream>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "data/table_source.h"

namespace polysome {

using Cells = std::vector<std::optional<std::string>>;
using Table = std::vector<Cells>;

class DataTest : public testing::Test {
 protected:
  void SetUp() override {
    const auto* test = testing::UnitTest::GetInstance()->current_test_info();
    folder_ = std::filesystem::path(testing::TempDir()) /
              ("data_" + std::to_string(::getpid()) + "_" + test->name());
    std::filesystem::create_directories(folder_);
    folder_ = std::filesystem::canonical(folder_);
    auto session = Session::open(SessionConfig());
    ASSERT_TRUE(session) << session.error().message;
    session_ = std::move(*session);
  }
  void TearDown() override {
    session_.reset();
    std::filesystem::remove_all(folder_);
  }

  std::string path(const std::string& name) const { return (folder_ / name).string(); }
  std::string write(const std::string& name, const std::string& content) const {
    std::filesystem::create_directories((folder_ / name).parent_path());
    std::ofstream(folder_ / name, std::ios::binary) << content;
    return path(name);
  }
  Result<TableSource> look(const std::string& source, Json layout = Json::object(),
                           const std::string& on_bad_value = "fail",
                           const std::string& format = {}) {
    DatasetRef ref;
    ref.id = "d";
    ref.source = source;
    ref.layout = std::move(layout);
    ref.format = format;
    return inspect(*session_, ref, {}, on_bad_value);
  }
  // All rows of `select` as text; missing is nullopt.
  Result<Table> rows(const std::string& select) {
    POLYSOME_ASSIGN(QueryResult result,
                    session_->query("SELECT CAST(COLUMNS(*) AS VARCHAR) FROM (" + select + ")"));
    Table out;
    while (duckdb_data_chunk chunk = result.fetch())
      for (idx_t i = 0; i < duckdb_data_chunk_get_size(chunk); ++i) {
        Cells row;
        for (std::size_t c = 0; c < result.column_count(); ++c) {
          duckdb_vector v = duckdb_data_chunk_get_vector(chunk, c);
          auto* validity = duckdb_vector_get_validity(v);
          auto* texts = static_cast<duckdb_string_t*>(duckdb_vector_get_data(v));
          if (validity != nullptr && !duckdb_validity_row_is_valid(validity, i))
            row.emplace_back(std::nullopt);
          else
            row.emplace_back(
                std::string(duckdb_string_t_data(&texts[i]), duckdb_string_t_length(texts[i])));
        }
        out.push_back(std::move(row));
      }
    return out;
  }
  // The whole dataset in one scan.
  Result<Table> read_all(const TableSource& source, std::uint64_t partition_size = 1'000'000'000) {
    POLYSOME_ASSIGN(auto partitions, cut(source, partition_size));
    POLYSOME_ASSIGN(const auto report,
                    open_view(*session_, "v", source, std::move(partitions), {}));
    return rows("SELECT * FROM v");
  }
  // As the service does it: every partition by itself from outside quotes, then those that had
  // begun wrongly again, as their neighbours' end states tell.
  Result<Table> read_in_parts(const TableSource& source, std::uint64_t partition_size) {
    POLYSOME_ASSIGN(const auto partitions, cut(source, partition_size));
    std::vector<Result<Table>> parts;
    std::vector<ScanReport> ends;
    for (const auto& p : partitions) {
      POLYSOME_ASSIGN(const auto report, open_view(*session_, "v", source, {p}, {}));
      parts.push_back(rows("SELECT * FROM v"));  // an error may come from the wrong start
      report->settle_now();
      ends.push_back(*report);
    }
    bool inside = false;
    Table out;
    for (std::size_t i = 0; i < partitions.size(); ++i) {
      if (inside) {
        ++reruns_;
        ScanOptions options;
        options.start_inside_quotes = true;
        POLYSOME_ASSIGN(const auto report,
                        open_view(*session_, "v", source, {partitions[i]}, options));
        parts[i] = rows("SELECT * FROM v");
      }
      if (!parts[i]) return fail(parts[i].error());
      for (auto& row : *parts[i]) out.push_back(std::move(row));
      inside = inside ? ends[i].ends_inside_if_inside : ends[i].ends_inside_if_outside;
    }
    return out;
  }

  std::filesystem::path folder_;
  std::unique_ptr<Session> session_;
  int reruns_ = 0;
};

}  // namespace polysome
