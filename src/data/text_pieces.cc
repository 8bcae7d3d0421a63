#include "data/text_pieces.h"

#include <fmt/format.h>

#include "data/file_look.h"
#include "data/text_source.h"

namespace polysome {
namespace {

// What each start of a text before `from` comes to at `to`.
EndStates through(const EndStates& before, const EndStates& here) {
  const auto next = [&](bool inside) {
    return inside ? here.inside_if_inside : here.inside_if_outside;
  };
  return {next(before.inside_if_outside), next(before.inside_if_inside)};
}

// The last piece's own part is found out when it is asked for, after the scan: without any quote
// met it costs nothing.
void settle_borders(TextScan& scan) {
  EndStates states = scan.states_before_last;
  if (!scan.pieces.empty() && !scan.ndjson) {
    const ScanPiece& last = scan.pieces.back();
    const auto text = last.file->text();
    const std::size_t to = last.without_quotes ? last.begin : last.limit;
    states = through(states, end_states(text, last.offset, std::min(to, last.limit), scan.shape));
  }
  scan.report->ends_inside_if_outside = states.inside_if_outside;
  scan.report->ends_inside_if_inside = states.inside_if_inside;
}

}  // namespace

Result<std::shared_ptr<TextScan>> make_text_scan(const TableSource& source,
                                                 const std::vector<Partition>& partitions,
                                                 const ScanOptions& options) {
  auto scan = std::make_shared<TextScan>();
  scan->ndjson = source.format == "ndjson";
  scan->shape = scan->ndjson ? TextShape{'\n', '\0', '\0'} : shape_of(source.dialect);
  scan->numbers = number_style_of(source.dialect);
  scan->repair = source.dialect.value("ragged", std::string()) == "repair";
  scan->expected_fields = source.dialect.value("fields", source.columns.size());
  const Json null_values =
      source.dialect.contains("null_values") ? source.dialect["null_values"] : Json();
  scan->columns.reserve(source.columns.size());
  for (const auto& c : source.columns)
    scan->columns.push_back({c.name, value_type_from_name(c.type).value_or(ValueType::kString),
                             MissingTexts(null_values, c.name)});
  scan->bad_is_missing = source.on_bad_value == "null";
  scan->options = options;
  if (!scan->ndjson) scan->tests = row_tests(options.row_tests, scan->columns);
  scan->report = std::make_shared<ScanReport>();
  scan->pieces.reserve(partitions.size());
  std::shared_ptr<const FileMap> mapped;   // ranges of one file follow one another
  constexpr EndStates given{false, true};  // nothing read yet: as started
  EndStates states = given;
  std::uint32_t file_before = 0;
  std::uint64_t end_before = 0;  // pieces of one file that adjoin hand their state on
  for (const auto& p : partitions) {
    if (p.file >= source.files.size())
      return fail(Code::kInternal, "a partition of a file that is not there");
    const SourceFile& file = source.files[p.file];
    if (mapped == nullptr || p.file != file_before) {
      POLYSOME_ASSIGN(mapped, FileMap::open(file.path));
      POLYSOME_TRY(check_unchanged(file, *mapped));
    }
    const auto text = mapped->text();
    if (!scan->pieces.empty() && p.offset > file.data_offset && p.file == file_before &&
        p.offset == end_before && !scan->ndjson)
      states = through(states, end_states(text, scan->pieces.back().offset, p.offset, scan->shape));
    else
      states = given;
    if (p.offset <= file.data_offset) states = {false, false};  // a file's begin is known
    file_before = p.file;
    end_before = p.offset + p.length;
    ScanPiece piece;
    piece.file = mapped;
    piece.offset = piece.begin = p.offset;
    piece.limit = p.offset + p.length;
    piece.fields = file.fields;
    piece.label = shown_name(file);
    piece.first_line = file.first_line;
    if (p.offset > file.data_offset)
      piece.begin = row_start_at_or_after(
          text, p.offset,
          options.start_inside_quotes ? states.inside_if_inside : states.inside_if_outside,
          scan->shape);
    scan->pieces.push_back(std::move(piece));
  }
  scan->states_before_last = states;
  scan->report->settle = [weak = std::weak_ptr(scan)] {
    if (const auto held = weak.lock()) settle_borders(*held);
  };
  return scan;
}

std::string file_label(const std::string& path) { return path.substr(path.rfind('/') + 1); }

std::string shown_name(const SourceFile& file) {
  return file.shown_as.empty() ? file_label(file.path) : file.shown_as;
}

std::string with_thousands(std::uint64_t n) {
  std::string digits = std::to_string(n);
  for (std::size_t i = digits.size(); i > 3;) {
    i -= 3;
    digits.insert(i, ",");
  }
  return digits;
}

}  // namespace polysome
