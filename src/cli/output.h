// What a command prints: the format asked for with -o, or the one that fits where stdout goes (a
// table for a person, CSV or plain lines for a pipe); errors on stderr. Main thread.
#pragma once

#include <functional>
#include <string>
#include <string_view>
#include <vector>

#include "base/result.h"
#include "cli/table.h"
#include "cli/terminal.h"
#include "model/json.h"

namespace polysome::cli {

enum class Format { kAuto, kTable, kJson, kNdjson, kCsv, kId };

const std::vector<std::string>& format_names();
Result<Format> format_from_name(const std::string& name);

// One column of a list: what people see, and what programs get.
struct ListColumn {
  std::string title;
  std::string key;  // CSV header, and member of the item
  Align align = Align::kLeft;
  std::function<std::string(const Json& item)> text =
      {};                               // for people; absent: the member as it is
  std::vector<std::string> parts = {};  // of an object: programs get a column KEY_PART for each
};

class Output {
 public:
  Output(Terminal terminal, Format format) : terminal_(terminal), format_(format) {}

  Format format() const { return format_; }
  const Terminal& terminal() const { return terminal_; }
  // Whether a person looks: -o table, or no -o and a terminal.
  bool for_people() const {
    return format_ == Format::kTable || (format_ == Format::kAuto && terminal_.out);
  }
  bool colour() const { return terminal_.colour_out; }
  TableLayout layout(int indent = 0) const;

  // A list: `body` is the API's own object, `items` its list, `id_key` the member -o id prints.
  void list(const Json& body, const Json& items, const std::vector<ListColumn>& columns,
            const std::string& id_key) const;
  // A record: people and pipes get `fields` as lines.
  void record(const Json& body, const std::vector<std::pair<std::string, std::string>>& fields,
              const std::string& id_key) const;
  void line(std::string_view text) const;
  void lines(const std::vector<std::string>& texts) const;

 private:
  Terminal terminal_;
  Format format_;
};

// Writes all of a text to stdout. Errors: kIo (a full disk, a closed pipe).
Status write_out(std::string_view text);
// The same for small texts: flush_out tells whether one of them failed.
void put(std::string_view text);
Status flush_out();
// One line on stderr, for people: progress, hints, what was written where.
void note(std::string_view text);
// What, where, why and the next step, on stderr.
void print_error(const Error& error, bool colour);
std::vector<std::string> error_lines(const Error& error, bool colour, int width = 0);
// Text of several lines for stdout, fitted to the terminal where it is one.
void put_fitted(const Terminal& terminal, std::string_view text);

}  // namespace polysome::cli
