// Every setting of the program, from flag, environment, user file, system file or default, in this
// order; each knows where its value came from. Unknown keys of a file are errors with the nearest
// known. Reads files when loaded, nothing afterwards.
#pragma once

#include <filesystem>
#include <map>
#include <optional>
#include <string>
#include <vector>

#include "base/result.h"
#include "cli/machine.h"

namespace polysome::cli {

struct SettingSources {
  std::map<std::string, std::vector<std::string>> flags;  // by setting's name
  Environment environment;
  std::vector<std::string> environment_names;  // to find mistyped POLYSOME_ names
  // Weakest first; a file that is not there is skipped unless `required`.
  std::vector<std::filesystem::path> files;
  bool required = false;
};

class Settings {
 public:
  static Result<Settings> load(const SettingSources& sources);

  // The names are those of the flags with _ for -: "n_workers". Defaults are filled in; an empty
  // text or list means that none was given and there is no default.
  std::string text(const std::string& name) const;
  std::vector<std::string> list(const std::string& name) const;
  Result<std::int64_t> integer(const std::string& name, std::int64_t least,
                               std::int64_t most) const;
  Result<std::uint64_t> size(const std::string& name) const;
  Result<std::int64_t> duration_ms(const std::string& name) const;
  Result<bool> boolean(const std::string& name) const;
  // "flag --port", "POLYSOME_PORT", a file's path, or "default".
  std::string origin(const std::string& name) const;
  bool from_flag(const std::string& name) const;
  std::map<std::string, std::string> origins() const;

 private:
  struct Value {
    std::vector<std::string> texts;
    std::string origin = "default";
  };
  Error wrong(const std::string& name, std::string_view wanted) const;
  std::map<std::string, Value> values_;
};

// Where configuration files are looked for: `explicit_file` alone when given (it must be there),
// else the system's and the user's.
void choose_files(const std::string& explicit_file, SettingSources* sources);
std::vector<std::string> names_of_environment();
std::string environment_value(const std::string& name);

}  // namespace polysome::cli
