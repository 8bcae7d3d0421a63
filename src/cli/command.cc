#include "cli/command.h"

#include <fmt/format.h>

#include "base/files.h"

namespace polysome::cli {
namespace {

constexpr std::uint64_t kMostTokenBytes = 4096;

// POLYSOME_TOKEN, else what POLYSOME_TOKEN_FILE holds.
Result<std::string> token_of_environment() {
  std::string token = environment_value("POLYSOME_TOKEN");
  const std::string file = environment_value("POLYSOME_TOKEN_FILE");
  if (token.empty() && !file.empty()) {
    POLYSOME_ASSIGN(token, read_file(file, kMostTokenBytes));
  }
  while (!token.empty() && (token.back() == '\n' || token.back() == '\r')) token.pop_back();
  if (token.find_first_of("\r\n") != std::string::npos)
    return fail(Code::kInvalid, "the token has more than one line",
                "POLYSOME_TOKEN, or the file POLYSOME_TOKEN_FILE names, holds one token");
  return token;
}

}  // namespace

void add_output_flags(CLI::App* command, const CommonFlagsPtr& flags) {
  command->add_option("-o", flags->format, "how to print: table, json, ndjson, csv or id")
      ->type_name("FORMAT");
  command->add_flag("-q,--quiet", flags->quiet, "print ids only");
}

void add_service_flags(CLI::App* command, const CommonFlagsPtr& flags) {
  add_output_flags(command, flags);
  command
      ->add_option("--url", flags->url, "the service (POLYSOME_URL; default http://localhost:8001)")
      ->type_name("URL");
  command->add_option("--config", flags->config, "configuration file in place of the usual ones")
      ->type_name("FILE");
}

Result<Output> output_of(const Context& context, const CommonFlags& flags) {
  Format format = Format::kAuto;
  if (!flags.format.empty()) {
    POLYSOME_ASSIGN(format, format_from_name(flags.format));
  } else if (flags.quiet) {
    format = Format::kId;
  }
  return Output(context.terminal, format);
}

Result<Settings> settings_of(const CommonFlags& flags,
                             std::map<std::string, std::vector<std::string>> given) {
  SettingSources sources;
  sources.flags = std::move(given);
  if (!flags.url.empty()) sources.flags["url"] = {flags.url};
  sources.environment = environment_value;
  sources.environment_names = names_of_environment();
  choose_files(flags.config, &sources);
  return Settings::load(sources);
}

Result<ServiceClient> connect(const CommonFlags& flags) {
  POLYSOME_ASSIGN(const Settings settings, settings_of(flags));
  std::string url = settings.text("url");
  if (url.empty()) url = fmt::format("http://localhost:{}", settings.text("port"));
  POLYSOME_ASSIGN(const std::string token, token_of_environment());
  return ServiceClient::open(url, token);
}

}  // namespace polysome::cli
