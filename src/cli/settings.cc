#include "cli/settings.h"

#include <fmt/format.h>
#include <toml++/toml.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cctype>
#include <charconv>
#include <cstdlib>

#include "base/bytes.h"
#include "base/files.h"
#include "base/nearest.h"
#include "cli/phrases.h"

namespace polysome::cli {
namespace {

struct Known {
  std::string_view name;
  std::string_view initial;  // empty: none
  bool list = false;
  std::string_view dask = {};      // Dask's own variable, after POLYSOME_'s
  char separator = ':';            // of a list in the environment
  std::string_view variable = {};  // where POLYSOME_NAME means something else
};
constexpr std::array kKnown{
    Known{"url", ""},
    Known{"host", "localhost"},
    Known{"port", "8001"},
    Known{"dashboard_port", "8787"},
    Known{"data_dir", "", true},
    Known{"state_dir", ""},
    Known{"work_dir", ""},
    Known{"scratch", ""},
    Known{"output_dir", "", true},
    Known{"backend", "local"},
    Known{"n_workers", "4", false, "DASK_N_WORKERS"},
    Known{"threads_per_worker", "2", false, "DASK_THREADS_PER_WORKER"},
    Known{"memory_limit", "2GB", false, "DASK_MEMORY_LIMIT"},
    Known{"autostart", "false"},
    Known{"connections", ""},
    Known{"max_upload", "10GB"},
    Known{"keep_results", "30d"},
    Known{"keep_jobs", "1000000"},
    Known{"max_attempts", "3"},
    Known{"retry_delay", "5s"},
    Known{"partition_size", "100MB"},
    Known{"log_format", "text"},
    // POLYSOME_TOKEN_FILE is a client's: the file that holds its token.
    Known{"token_file", "", false, {}, ':', "POLYSOME_SERVE_TOKEN_FILE"},
    Known{"allow_origin", "", true, {}, ','},
    Known{"allow_host", "", true, {}, ','},
    Known{"trust_proxy", "", true, {}, ','},
    Known{"allow_group", "", true, {}, ','},
    Known{"allow_all_local", "false"},
    Known{"worker_program", ""},
};

std::vector<std::string> known_names() {
  std::vector<std::string> out;
  for (const auto& k : kKnown) out.emplace_back(k.name);
  return out;
}

std::string variable_of(std::string_view name) {
  for (const auto& k : kKnown)
    if (k.name == name && !k.variable.empty()) return std::string(k.variable);
  std::string out = "POLYSOME_";
  for (const char c : name) out += static_cast<char>(std::toupper(static_cast<unsigned char>(c)));
  return out;
}

std::vector<std::string> split(const std::string& text, char at) {
  std::vector<std::string> out;
  for (std::size_t i = 0; i <= text.size();) {
    const auto end = std::min(text.find(at, i), text.size());
    if (end > i) out.push_back(text.substr(i, end - i));
    i = end + 1;
  }
  return out;
}

Result<std::string> scalar(const toml::node& node, const std::string& where) {
  if (const auto* s = node.as_string()) return s->get();
  if (const auto* n = node.as_integer()) return std::to_string(n->get());
  if (const auto* b = node.as_boolean()) return std::string(b->get() ? "true" : "false");
  if (const auto* d = node.as_floating_point()) return fmt::format("{}", d->get());
  return fail(Code::kInvalid, fmt::format("{}: a text, a number or true/false is wanted", where));
}

using FileValues = std::map<std::string, std::vector<std::string>>;

Result<FileValues> read_toml(const std::filesystem::path& path) {
  POLYSOME_ASSIGN(const std::string text, read_file(path, 1'000'000));
  FileValues out;
  try {
    const toml::table table = toml::parse(text, path.string());
    const auto names = known_names();
    for (const auto& [key, node] : table) {
      const std::string name(key.str());
      const auto known = std::ranges::find(kKnown, name, &Known::name);
      const std::string where = fmt::format("{}:{}", path.string(), node.source().begin.line);
      if (known == kKnown.end())
        return fail(Code::kInvalid,
                    fmt::format("{}: unknown key \"{}\"{}", where, name, did_you_mean(name, names)),
                    "the keys are the flags of polysome serve, with _ for -");
      if (const auto* array = node.as_array(); array != nullptr && known->list) {
        out[name];
        for (const auto& item : *array) {
          POLYSOME_ASSIGN(std::string one, scalar(item, where));
          out[name].push_back(std::move(one));
        }
      } else {
        POLYSOME_ASSIGN(std::string one, scalar(node, where));
        out[name] = {std::move(one)};
      }
    }
  } catch (const toml::parse_error& e) {
    return fail(Code::kInvalid,
                fmt::format("{}:{}: {}", path.string(), e.source().begin.line, e.description()),
                "the file is TOML: key = value lines");
  }
  return out;
}

// A POLYSOME_ name that is nearly one of ours would be silently without effect.
Status check_environment(const std::vector<std::string>& given) {
  std::vector<std::string> known{"POLYSOME_CONFIG", "POLYSOME_TOKEN", "POLYSOME_TOKEN_FILE",
                                 "POLYSOME_PROGRAM"};
  for (const auto& k : kKnown) known.push_back(variable_of(k.name));
  for (const auto& name : given) {
    if (!name.starts_with("POLYSOME_") || std::ranges::find(known, name) != known.end()) continue;
    std::string lower = name.substr(9);
    std::ranges::transform(lower, lower.begin(), [](unsigned char c) { return std::tolower(c); });
    if (const auto near = nearest(lower, known_names()))
      return fail(Code::kInvalid,
                  fmt::format("the environment has {}, which means nothing; did you mean {}?", name,
                              variable_of(*near)),
                  fmt::format("unset {}", name));
  }
  return {};
}

}  // namespace

Result<Settings> Settings::load(const SettingSources& sources) {
  POLYSOME_TRY(check_environment(sources.environment_names));
  Settings out;
  for (const auto& k : kKnown) {
    Value value;
    if (!k.initial.empty()) value.texts = {std::string(k.initial)};
    out.values_[std::string(k.name)] = std::move(value);
  }
  for (const auto& file : sources.files) {
    std::error_code ec;
    if (!sources.required && !std::filesystem::exists(file, ec)) continue;
    POLYSOME_ASSIGN(FileValues values, read_toml(file));
    for (auto& [name, texts] : values) out.values_[name] = {std::move(texts), file.string()};
  }
  for (const auto& k : kKnown) {
    std::string variable = variable_of(k.name);
    std::string value = sources.environment(variable);
    if (value.empty() && !k.dask.empty()) {
      variable = k.dask;
      value = sources.environment(variable);
    }
    if (!value.empty())
      out.values_[std::string(k.name)] = {k.list ? split(value, k.separator) : std::vector{value},
                                          variable};
    if (const auto flag = sources.flags.find(std::string(k.name)); flag != sources.flags.end()) {
      std::string dashed(k.name);
      std::ranges::replace(dashed, '_', '-');
      out.values_[std::string(k.name)] = {flag->second, "flag --" + dashed};
    }
  }
  return out;
}

std::string Settings::text(const std::string& name) const {
  const auto& texts = values_.at(name).texts;
  return texts.empty() ? std::string() : texts.front();
}

std::vector<std::string> Settings::list(const std::string& name) const {
  return values_.at(name).texts;
}

Error Settings::wrong(const std::string& name, std::string_view wanted) const {
  return {Code::kInvalid,
          fmt::format("{} \"{}\" ({}) is not {}", name, text(name), origin(name), wanted)};
}

Result<std::int64_t> Settings::integer(const std::string& name, std::int64_t least,
                                       std::int64_t most) const {
  const std::string value = text(name);
  std::int64_t n = 0;
  const auto [end, ec] = std::from_chars(value.data(), value.data() + value.size(), n);
  if (ec != std::errc() || end != value.data() + value.size() || n < least || n > most)
    return fail(wrong(name, fmt::format("a whole number from {} to {}", least, most)));
  return n;
}

Result<std::uint64_t> Settings::size(const std::string& name) const {
  const auto bytes = parse_bytes(text(name));
  if (!bytes || *bytes == 0) return fail(wrong(name, "a size such as 2GB or 512MiB"));
  return bytes;
}

Result<std::int64_t> Settings::duration_ms(const std::string& name) const {
  const auto ms = parse_duration(text(name));
  if (!ms) return fail(wrong(name, "a duration such as 5s, 100ms or 2m"));
  return ms;
}

Result<bool> Settings::boolean(const std::string& name) const {
  const std::string value = text(name);
  if (value == "true" || value == "1" || value == "yes") return true;
  if (value == "false" || value == "0" || value == "no") return false;
  return fail(wrong(name, "true or false"));
}

std::string Settings::origin(const std::string& name) const { return values_.at(name).origin; }

bool Settings::from_flag(const std::string& name) const {
  return origin(name).starts_with("flag ");
}

std::map<std::string, std::string> Settings::origins() const {
  std::map<std::string, std::string> out;
  for (const auto& [name, value] : values_) out[name] = value.origin;
  return out;
}

void choose_files(const std::string& explicit_file, SettingSources* sources) {
  const auto& environment = sources->environment;
  const std::string file = explicit_file.empty() ? environment("POLYSOME_CONFIG") : explicit_file;
  sources->required = !file.empty();
  if (sources->required) {
    sources->files = {file};
    return;
  }
  sources->files = {"/etc/polysome/config.toml"};
  std::string home = environment("XDG_CONFIG_HOME");
  if (home.empty() && !environment("HOME").empty()) home = environment("HOME") + "/.config";
  if (!home.empty()) sources->files.emplace_back(home + "/polysome/config.toml");
}

std::vector<std::string> names_of_environment() {
  std::vector<std::string> out;
  for (char** e = environ; *e != nullptr; ++e) {
    const std::string_view entry(*e);
    out.emplace_back(entry.substr(0, entry.find('=')));
  }
  return out;
}

std::string environment_value(const std::string& name) {
  const char* value = std::getenv(name.c_str());
  return value != nullptr ? value : "";
}

}  // namespace polysome::cli
