// Partitions of delimited text: whatever the borders, the same rows as a plain reference reader
// gives.
#include <gmock/gmock.h>

#include <random>

#include "data/data_fixture.h"

namespace polysome {
namespace {

// The grammar letter by letter, as slow and plain as can be. The first row is the header.
Table reference(const std::string& text, char delimiter, char comment) {
  enum { kFieldStart, kPlain, kQuoted, kAfterQuote, kComment } state = kFieldStart;
  Table out;
  std::vector<std::string> row;
  std::string field;
  bool was_quoted = false;
  const auto end_field = [&](bool last) {
    if (last && !field.empty() && field.back() == '\r' && state == kPlain) field.pop_back();
    row.push_back(field);
    field.clear();
  };
  const auto end_row = [&] {
    const bool blank = row.size() == 1 && row[0].empty() && !was_quoted;
    if (!blank) {
      Cells cells;
      for (auto& f : row) cells.push_back(f.empty() ? std::nullopt : std::optional(f));
      out.push_back(std::move(cells));
    }
    row.clear();
    was_quoted = false;
  };
  for (std::size_t i = 0; i < text.size(); ++i) {
    const char c = text[i];
    if (state == kComment) {
      if (c == '\n') state = kFieldStart;
    } else if (state == kQuoted) {
      if (c != '"')
        field.push_back(c);
      else
        state = kAfterQuote;
    } else if (state == kAfterQuote && c == '"') {
      field.push_back('"');
      state = kQuoted;
    } else if (state == kFieldStart && row.empty() && comment != 0 && c == comment) {
      state = kComment;
    } else if (state == kFieldStart && c == '"') {
      state = kQuoted;
      was_quoted = true;
    } else if (c == delimiter) {
      end_field(false);
      state = kFieldStart;
    } else if (c == '\n') {
      end_field(true);
      end_row();
      state = kFieldStart;
    } else {
      const bool line_end = c == '\r' && i + 1 < text.size() && text[i + 1] == '\n';
      if (state == kAfterQuote && line_end) continue;
      field.push_back(c);
      state = kPlain;
    }
  }
  if (!row.empty() || !field.empty() || was_quoted) {
    end_field(true);
    end_row();
  }
  out.erase(out.begin());
  return out;
}

class PartitionTest : public DataTest {
 protected:
  // Every column as text, so that the bytes are compared and not their meaning.
  TableSource as_text(const std::string& name, const std::string& text, char delimiter,
                      char comment) {
    Json layout = {{"delimiter", std::string(1, delimiter)}, {"header", true}};
    if (comment != 0) layout["comment"] = std::string(1, comment);
    auto source = look(write(name, text), layout);
    EXPECT_TRUE(source) << source.error().message;
    for (auto& c : source->columns) c.type = "string";
    return *source;
  }
  Result<Table> rows_of_duckdb(const std::string& file, std::size_t columns) {
    std::string names;
    for (std::size_t c = 0; c < columns; ++c)
      names += (c > 0 ? ", 'c" : "'c") + std::to_string(c) + "': 'VARCHAR'";
    return rows("SELECT * FROM read_csv(" + sql_text(file) +
                ", auto_detect = false, header = true, " +
                "delim = ',', quote = '\"', escape = '\"', columns = {" + names + "})");
  }
  void expect_same(const std::string& text, char delimiter = ',', char comment = 0) {
    const auto source = as_text("t.csv", text, delimiter, comment);
    const Table expected = reference(text, delimiter, comment);
    for (std::uint64_t size = 1; size <= text.size() + 1;
         size = size < 6 ? size + 1 : size * 3 / 2) {
      SCOPED_TRACE(testing::Message() << "partition_size " << size << " of <" << text << ">");
      const auto apart = read_in_parts(source, size);
      ASSERT_TRUE(apart) << apart.error().message;
      ASSERT_EQ(*apart, expected);
      const auto together = read_all(source, size);
      ASSERT_TRUE(together) << together.error().message;
      ASSERT_EQ(*together, expected);
    }
  }
};

TEST_F(PartitionTest, PlainRowsAreReadOnceEach) {
  expect_same("a,b,c\n1,2,3\n44,55,66\n,,\n7,8,9\n");
  expect_same("a,b\n1,2\n3,4");
  expect_same("a\tb\r\n1\t2\r\n3\t4\r\n", '\t');
}

TEST_F(PartitionTest, QuotedFieldsWithLineBreaksStayWhole) {
  expect_same("a,b\n\"x\ny\",1\n\"p,q\r\nr\",2\n\"\",\"\"\n3,\"last\nline\"\n");
  expect_same("a,b\n\"\"\"\",\"a\"\"b\"\n\"\"\"x\n\"\"\",\"y\"\n");
  expect_same("a,b\n\"1\n2\n3\n4,5\n6\n7\",8\n9,\"10\n11\n12\n13\n14,15\n16\"\n");
}

TEST_F(PartitionTest, QuotesWithinAFieldAreLetters) {
  expect_same("a,b\n5\" x,6\" y\nit\"s,\"quoted\"\nx\"\"y,z\"\n\"half\"way,\"a\" \"b\"\n");
}

TEST_F(PartitionTest, LinesThatLookLikeRowsInsideQuotesAreNone) {
  expect_same("a,b\n\"1,2\n3,4\n5,6\n\",7\n\"\n\n\n\",\"\n8,9\n\"\n");
}

TEST_F(PartitionTest, CommentLinesHideTheirQuotes) {
  expect_same("#c\na,b\n1,2\n#it,\"s open\n3,4\n#\"\n\"5\n6\",7\n#,\",\"\n8,9\n", ',', '#');
}

TEST_F(PartitionTest, ACommentSignInsideQuotesIsText) {
  expect_same("a,b,c\n\"x\n#y\",1,\"p\nq\"\n\"\n#\",2,\"#\n\"\n3,4,5\n", ',', '#');
}

TEST_F(PartitionTest, BlankLinesAndMixedLineEndsAreSkipped) {
  expect_same("a,b\n\n1,2\r\n\r\n\n3,4\n\n\n5,6\r\n");
}

TEST_F(PartitionTest, AByteOrderMarkIsNotData) {
  const auto source = look(write("t.csv",
                                 "\xef\xbb\xbf"
                                 "a,b\n1,2\n3,4\n"));
  ASSERT_TRUE(source);
  EXPECT_EQ(source->columns[0].name, "a");
  for (std::uint64_t size = 1; size < 20; ++size)
    EXPECT_EQ(read_in_parts(*source, size)->size(), 2U) << size;
}

TEST_F(PartitionTest, ManyMadeTablesAgreeWithTheReference) {
  std::mt19937 random(7);
  const std::vector<std::string> fields = {"",
                                           "1",
                                           "x\"y",
                                           "\"\"",
                                           "\"a,b\"",
                                           "\"a\nb\"",
                                           "\"\"\"\"",
                                           "\"\n\"",
                                           "\"#\"",
                                           "a#b",
                                           "\"\n#,\"",
                                           "\"x\"tail",
                                           "'",
                                           "\"\r\n\"",
                                           "\"p\"\"\n\"\"q\"",
                                           "\"1,2\n3,4\""};
  for (int round = 0; round < 40; ++round) {
    const char comment = round % 2 == 0 ? '#' : '\0';
    const int columns = 2 + static_cast<int>(random() % 3);
    std::string text;
    for (int c = 0; c < columns; ++c) text += (c > 0 ? ",h" : "h") + std::to_string(c);
    text += "\n";
    const int n = 1 + static_cast<int>(random() % 8);
    for (int r = 0; r < n; ++r) {
      if (comment != 0 && random() % 4 == 0)
        text += std::string("#") + (random() % 2 == 0 ? ",\"z" : "\"") + "\n";
      for (int c = 0; c < columns; ++c)
        text += (c > 0 ? "," : "") + fields[random() % fields.size()];
      text += random() % 3 == 0 ? "\r\n" : "\n";
    }
    expect_same(text, ',', comment);
    if (HasFatalFailure()) return;
  }
  EXPECT_GT(reruns_, 100) << "the tables must make borders fall inside quotes";
}

TEST_F(PartitionTest, PartitionsCoverEachByteOnce) {
  std::string text = "a,b\n";
  for (int i = 0; i < 1000; ++i) text += std::to_string(i) + ",\"x\ny\"\n";
  const auto source = look(write("t.csv", text));
  ASSERT_TRUE(source);
  for (const std::uint64_t size : {1, 7, 100, 4096, 100'000}) {
    const auto partitions = cut(*source, size);
    ASSERT_TRUE(partitions);
    std::uint64_t at = partitions->front().offset;
    for (const auto& p : *partitions) {
      EXPECT_EQ(p.offset, at);
      EXPECT_GT(p.length, 0U);
      EXPECT_TRUE(text[p.offset] != '"' && (p.offset == 0 || text[p.offset - 1] != '"'));
      at += p.length;
    }
    EXPECT_EQ(at, text.size());
  }
}

TEST_F(PartitionTest, ARowIsReadByTheLastPartitionThatHoldsItsFirstByteEvenIfItIsHuge) {
  std::string text =
      "a,b\n1," + std::string(3'000'000, 'x') + "\n2,y\n3," + std::string(2'000'000, 'z') + "\n";
  const auto source = look(write("t.csv", text), {{"types", {{"b", "string"}}}});
  ASSERT_TRUE(source);
  const auto all = read_in_parts(*source, 500'000);
  ASSERT_TRUE(all);
  ASSERT_EQ(all->size(), 3U);
  EXPECT_EQ((*all)[0][1]->size(), 3'000'000U);
  EXPECT_EQ((*all)[1][1], "y");
  EXPECT_EQ((*all)[2][1]->size(), 2'000'000U);
}

TEST_F(PartitionTest, TheReportIsCompleteAlsoWhenTheScanFails) {
  const auto source =
      look(write("t.csv", "a,b\n1,2\n\"x\ny\",3\n4,5\n"), {{"types", {{"a", "string"}}}});
  ASSERT_TRUE(source);
  // From outside, the second part begins within the quotes: it fails, but its end states are known.
  const auto partitions = std::vector<Partition>{{0, 4, 7, 7, 0}, {0, 11, 9, 9, 0}};
  const auto report = open_view(*session_, "v", *source, {partitions[1]}, {});
  ASSERT_TRUE(report);
  (void)rows("SELECT * FROM v");
  (*report)->settle_now();
  EXPECT_FALSE((*report)->ends_inside_if_inside);
}

// Files as RFC 4180 has them, of any texts: what was written, what DuckDB reads and what we read
// are one table.
TEST_F(PartitionTest, GeneratedFilesAreReadAsWrittenAndAsDuckDBReadsThem) {
  constexpr std::string_view kTexts[] = {"",
                                         "a",
                                         "gene 1",
                                         ",",
                                         "\n",
                                         "\r\n",
                                         "\"",
                                         "\"\"",
                                         "x\"y\"z",
                                         "é",
                                         "日本",
                                         "1,5\n2,6",
                                         "#",
                                         "a\tb",
                                         " ",
                                         "-0.5",
                                         "line\nline\nline"};
  std::mt19937_64 random(15);
  for (int round = 0; round < 25; ++round) {
    const std::size_t columns = 2 + random() % 4;
    const std::string end = round % 3 == 0 ? "\r\n" : "\n";
    std::string text;
    for (std::size_t c = 0; c < columns; ++c) text += (c > 0 ? ",c" : "c") + std::to_string(c);
    text += end;
    Table expected;
    const std::size_t rows = 1 + random() % 12;
    for (std::size_t r = 0; r < rows; ++r) {
      Cells row;
      for (std::size_t c = 0; c < columns; ++c) {
        // The first is never empty: a line without anything is no row.
        std::string cell(c == 0 ? "k" : kTexts[random() % std::size(kTexts)]);
        if (c == 0) cell += std::to_string(r);
        const bool quoted = cell.find_first_of(",\"\r\n") != std::string::npos || random() % 4 == 0;
        std::string written;
        for (const char letter : cell) written += letter == '"' ? "\"\"" : std::string(1, letter);
        if (quoted) written = "\"" + written + "\"";
        text += (c > 0 ? "," : "") + written;
        row.push_back(cell.empty() ? std::nullopt : std::optional(cell));
      }
      expected.push_back(std::move(row));
      if (r + 1 < rows || random() % 2 == 0) text += end;
    }
    const auto source = as_text("t.csv", text, ',', 0);
    const auto theirs = rows_of_duckdb(path("t.csv"), columns);
    ASSERT_TRUE(theirs) << theirs.error().message;
    EXPECT_EQ(*theirs, expected) << "DuckDB: <" << text << ">";
    for (std::uint64_t size = 1; size <= text.size() + 1; size += 1 + size / 8) {
      const auto apart = read_in_parts(source, size);
      ASSERT_TRUE(apart) << apart.error().message;
      ASSERT_EQ(*apart, expected) << "partition_size " << size << " of <" << text << ">";
    }
  }
}

}  // namespace
}  // namespace polysome
