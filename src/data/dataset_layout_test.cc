// Tables and matrices: labels, orientation, GCT, and where what is told comes from.
#include "data/dataset_layout.h"

#include <gmock/gmock.h>

#include "data/data_fixture.h"

namespace polysome {
namespace {

using testing::ElementsAre;
using testing::HasSubstr;
using testing::IsEmpty;

class DatasetLayout : public DataTest {
 protected:
  TableSource good(const std::string& text, Json layout = Json::object(),
                   const std::string& name = "t.tsv") {
    auto source = look(write(name, text), std::move(layout));
    EXPECT_TRUE(source) << (source ? "" : source.error().message);
    return source.value_or(TableSource{});
  }
  Error refused(const std::string& text, const std::string& name = "t.gct") {
    const auto source = look(write(name, text));
    EXPECT_FALSE(source);
    return source ? Error() : source.error();
  }
  static std::vector<std::string> labels(const TableSource& s) {
    return s.dialect.at("label_columns").get<std::vector<std::string>>();
  }
  static std::string from(const TableSource& s, const Json& layout, const char* key) {
    const Json told = layout_json(s, layout);
    const Json& of = told.at(key).at("from");
    return of.is_null() ? "" : of.get<std::string>();
  }
};

TEST_F(DatasetLayout, LeadingColumnsThatAreNoNumbersAreLabels) {
  const auto s = good("gene_id\tgene_name\ts1\ts2\nENSG1\tTP53\t1\t2\nENSG2\tNA\t3\t4\n");
  EXPECT_THAT(labels(s), ElementsAre("gene_id", "gene_name"));
  EXPECT_EQ(from(s, {}, "label_columns"), "guessed");
  EXPECT_EQ(from(s, {}, "orientation"), "");
}

TEST_F(DatasetLayout, AFirstColumnOfDistinctIntegersIsALabelWhenItsNameSaysSo) {
  EXPECT_THAT(labels(good("Sample_ID\tx\n7\t1\n8\t2\n")), ElementsAre("Sample_ID"));
  EXPECT_THAT(labels(good("\tx\n7\t1\n8\t2\n")), ElementsAre("column_1"));
  EXPECT_THAT(labels(good("Sample_ID\tx\n7\t1\n7\t2\n")), IsEmpty()) << "values are repeated";
  EXPECT_THAT(labels(good("reads\tx\n7\t1\n8\t2\n")), IsEmpty()) << "it counts something";
}

TEST_F(DatasetLayout, RsRowNamesAreALabelAlsoWhenTheyAreNumbers) {
  EXPECT_THAT(labels(good("a\tb\n1\t10\t20\n2\t11\t21\n")), ElementsAre("row_name"));
}

TEST_F(DatasetLayout, IntegersOfParquetAreLookedAtToo) {
  const std::string file = path("t.parquet");
  ASSERT_TRUE(session_->run("COPY (SELECT range AS cell_id, 1.5 AS x FROM range(50)) TO " +
                            sql_text(file) + " (FORMAT parquet)"));
  const auto s = look(file);
  ASSERT_TRUE(s) << s.error().message;
  EXPECT_THAT(labels(*s), ElementsAre("cell_id"));
}

TEST_F(DatasetLayout, WhatIsDeclaredHolds) {
  const Json layout = {{"label_columns", {"x"}}, {"orientation", "samples_as_rows"}};
  const auto s = good("name\tx\ty\na\t1\t2\n", layout);
  EXPECT_THAT(labels(s), ElementsAre("x"));
  EXPECT_EQ(from(s, layout, "label_columns"), "declared");
  EXPECT_EQ(from(s, layout, "orientation"), "declared");
  EXPECT_EQ(s.dialect["kind"], "matrix");
  const auto shape = matrix_shape(s);
  ASSERT_FALSE(shape) << "name is text and no label";
  EXPECT_THAT(shape.error().message, HasSubstr("\"name\" (string) is neither label nor number"));
}

TEST_F(DatasetLayout, WideNumbersBehindLabelsAreTakenForAMatrixAndLongTablesForNone) {
  EXPECT_EQ(good("g\ta\tb\tc\td\te\tf\th\ti\nx\t1\t2\t3\t4\t5\t6\t7\t8\n").dialect["kind"],
            "matrix");
  EXPECT_EQ(good("sample\tgene\tvalue\ns1\tg1\t2\n").dialect["kind"], "table");
}

TEST_F(DatasetLayout, AMatrixThatMayLieEitherWayIsRefusedWithTheWayOut) {
  const auto s = good("gene\ts1\ts2\na\t1\t2\n");
  const auto shape = matrix_shape(s);
  ASSERT_TRUE(shape) << shape.error().message;
  EXPECT_EQ(known_orientation(s, *shape, "58,302").error().message,
            "dataset \"d\": 58,302 rows and 2 numeric columns. Say which way it lies: "
            "layout.orientation \"features_as_rows\" (genes in rows) or \"samples_as_rows\".");
}

constexpr const char* kGct12 =
    "#1.2\n2\t3\nNAME\tDescription\tA\tB\tC\nprobe_1\t\"quoted\t1.5\t-2\tna\nprobe_2\tx\t4\t5\t6\n";

TEST_F(DatasetLayout, GctSaysWhatItIs) {
  const auto s = good(kGct12, Json::object(), "t.gct");
  EXPECT_EQ(s.format, "gct");
  EXPECT_THAT(labels(s), ElementsAre("NAME", "Description"));
  EXPECT_EQ(s.dialect["orientation"], "features_as_rows");
  for (const char* key : {"kind", "orientation", "label_columns", "delimiter"})
    EXPECT_EQ(from(s, {}, key), "format") << key;
  const auto table = read_all(s);
  ASSERT_TRUE(table) << table.error().message;
  ASSERT_EQ(table->size(), 2U);
  EXPECT_THAT((*table)[0], ElementsAre("probe_1", "\"quoted", "1.5", "-2", std::nullopt))
      << "GCT has no quotes";
}

TEST_F(DatasetLayout, GctIsToldByItsContentToo) {
  EXPECT_EQ(good(kGct12, Json::object(), "unnamed").format, "gct");
}

TEST_F(DatasetLayout, LinesThatDescribeSamplesAreNotRowsOfAGct13) {
  const auto s = good(
      "#1.3\r\n2\t2\t1\t2\r\nid\tsymbol\tA\tB\r\ncell\tna\tMCF7\tPC3\r\ndose\tna\t10\t0.5\r\n"
      "p1\tTP53\t1\t2\r\np2\tEGFR\t3\t4\r\n",
      Json::object(), "t.gct");
  EXPECT_THAT(labels(s), ElementsAre("id", "symbol"));
  const auto table = read_all(s);
  ASSERT_TRUE(table) << table.error().message;
  EXPECT_THAT((*table)[0], ElementsAre("p1", "TP53", "1", "2"));
  EXPECT_EQ(table->size(), 2U);
  EXPECT_THAT(dump(s.dialect["warnings"]), HasSubstr("cell, dose"));
}

TEST_F(DatasetLayout, AWrongHeadOfAGctIsNamedByItsLine) {
  EXPECT_THAT(refused("#1.4\n2\t3\n").message, HasSubstr("t.gct, line 1"));
  EXPECT_THAT(refused("#1.2\n2 3\nNAME\n").message, HasSubstr("line 2: \"2 3\""));
  EXPECT_THAT(refused("#1.2\n2\t4\nNAME\tDescription\tA\tB\tC\n").message,
              HasSubstr("line 3: 5 names, but line 2 says 4 samples"));
  EXPECT_THAT(refused("#1.2\n2\t4\n").message, HasSubstr("ends within its head"));
}

}  // namespace
}  // namespace polysome
