// Operations described as data: name, text, parameters with type, range, choices and default. The
// worker declares them (`polysome-worker --describe`), the service, command line and page read the
// embedded JSON; submit is validated by it alone.
#pragma once

#include <optional>
#include <string>
#include <vector>

#include "model/json.h"

namespace polysome {

enum class ParamType : std::uint8_t {
  kText,  // a text
  kInteger,
  kNumber,
  kBoolean,
  kChoice,      // one of `choices`
  kColumn,      // a column's name
  kColumns,     // a name, a list of names, "*", or "/regex/"
  kTexts,       // a text or a list of texts
  kChoices,     // one of `choices` or a list of them
  kNumbers,     // a number or a list of numbers
  kExpression,  // SQL expression
  kQuery,       // one SELECT
  kObject,      // any object
};
std::string_view name(ParamType t);

struct Parameter {
  std::string name;
  ParamType type = ParamType::kText;
  std::string text;  // one line for people
  bool required = false;
  Json default_value;  // null: none
  std::vector<std::string> choices;
  std::optional<double> least, most;
  std::vector<std::pair<std::string, std::string>> foreign;  // foreign name → where it comes from
  std::vector<std::pair<std::string, std::string>> foreign_values;  // "average" → "mean"

  Json to_json() const;
  static Result<Parameter> from_json(const Json& j);
};

struct OperationDescription {
  std::string name;
  int version = 1;
  std::string type;  // table, omics, model, pipeline, diagnostic
  std::string text;  // one line for people
  int min_datasets = 1, max_datasets = 1;
  std::vector<Parameter> parameters;
  std::vector<std::string> tables;  // names of the tables it gives
  Json example;                     // a body for jobs/submit

  Json to_json() const;
  static Result<OperationDescription> from_json(const Json& j);
  // Checks `parameters` (an object) against the description: unknown names (with the nearest and
  // the foreign ones), types, ranges, choices; fills in defaults; turns one text into a list where
  // lists are taken. Pointers start at "/parameters".
  Result<Json> validate(const Json& parameters) const;
};

class OperationCatalog {
 public:
  static Result<OperationCatalog> from_json(std::string_view text);
  const OperationDescription* find(std::string_view name) const;
  std::vector<std::string> names() const;
  const std::vector<OperationDescription>& all() const { return operations_; }
  Json to_json() const;
  void add(OperationDescription d) { operations_.push_back(std::move(d)); }

 private:
  std::vector<OperationDescription> operations_;
};

}  // namespace polysome
