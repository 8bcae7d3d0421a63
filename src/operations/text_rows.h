// Rows of a query as lines of CSV, TSV or JSON, made chunk by chunk: DuckDB's own writers take
// about four times as long. The texts are those DuckDB gives, so that a value reads the same
// however it got into a file. One thread.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "operations/byte_sink.h"
#include "operations/cells.h"

namespace polysome {

struct TextLines {
  char delimiter = ',';  // of fields; '\0': a JSON object a line
  bool array = false;    // JSON: the objects are the elements of one array
};

// Doubles as DuckDB writes them in text (1e+22, 3.0, inf, nan), and as JSON (1e22; the strings
// "NaN", "Infinity", "-Infinity").
void append_double(std::string* out, double value);
void append_json_double(std::string* out, double value);

// Quoted where RFC 4180 asks for it, or a reader might see a comment; an empty text is quoted, a
// missing one has no letter.
void append_csv_text(std::string* out, std::string_view text, char delimiter);
// In quotes, with what JSON wants escaped.
void append_json_text(std::string* out, std::string_view text);

// Names of columns as the first line of CSV or TSV.
std::string header_line(const std::vector<ResultColumn>& columns, char delimiter);

// Answers the rows. Errors: those of Session, kIo, kDiskFull.
Result<std::uint64_t> write_lines(Session& session, const std::vector<ResultColumn>& columns,
                                  const std::string& select, const TextLines& lines,
                                  ByteSink* sink);

}  // namespace polysome
