// polysome token new, list, revoke: the token file of a service on this machine.
#include <fmt/format.h>

#include <algorithm>
#include <filesystem>

#include "base/files.h"
#include "base/nearest.h"
#include "base/sha256.h"
#include "cli/command.h"
#include "cli/phrases.h"
#include "daemon/service.h"
#include "model/access_tokens.h"

namespace polysome::cli {
namespace {

struct Options {
  std::string name, file, state_dir;
  bool admin = false, submit_for = false;
};

Result<std::string> file_of(const Options& o, const CommonFlags& flags) {
  std::map<std::string, std::vector<std::string>> given;
  if (!o.file.empty()) given["token_file"] = {o.file};
  if (!o.state_dir.empty()) given["state_dir"] = {o.state_dir};
  POLYSOME_ASSIGN(const Settings settings, settings_of(flags, std::move(given)));
  const std::string named = settings.text("token_file");
  return named.empty() ? default_token_file(settings.text("state_dir")) : named;
}

Result<std::vector<AccessToken>> read_tokens(const std::string& file) {
  std::error_code ec;
  if (!std::filesystem::exists(file, ec)) return std::vector<AccessToken>();
  POLYSOME_ASSIGN(const std::string text, read_private_file(file));
  return parse_tokens(text, file);
}

Error no_such_token(const std::vector<AccessToken>& tokens, const std::string& name,
                    const std::string& file) {
  std::vector<std::string> names;
  for (const auto& t : tokens) names.push_back(t.name);
  return {Code::kNotFound,
          fmt::format("there is no token \"{}\" in {}{}", name, file, did_you_mean(name, names)),
          "polysome token list shows them"};
}

Result<int> make(const Context& context, const Options& o, const CommonFlags& flags) {
  POLYSOME_ASSIGN(const Output output, output_of(context, flags));
  POLYSOME_TRY(check_token_name(o.name));
  POLYSOME_ASSIGN(const std::string file, file_of(o, flags));
  if (const auto folder = std::filesystem::path(file).parent_path(); !folder.empty())
    POLYSOME_TRY(make_folders(folder));
  POLYSOME_ASSIGN(const std::string token, make_token());
  const AccessToken entry{o.name, sha256_hex(token), o.admin, o.submit_for};
  POLYSOME_TRY(
      append_private_file(file, entry.line() + "\n", [&](const std::string& before) -> Status {
        POLYSOME_ASSIGN(const auto tokens, parse_tokens(before, file));
        if (std::ranges::find(tokens, o.name, &AccessToken::name) == tokens.end()) return {};
        return fail(Code::kConflict, fmt::format("\"{}\" has a token in {} already", o.name, file),
                    context.command(fmt::format("token revoke {}, then make a new one", o.name)));
      }));
  if (output.format() == Format::kJson || output.format() == Format::kNdjson)
    output.record(Json{{"name", o.name},
                       {"token", token},
                       {"admin", o.admin},
                       {"submit_for", o.submit_for},
                       {"file", file}},
                  {}, "token");
  else
    output.line(token);
  note(fmt::format("the token of {} is shown this once; {} keeps its hash", o.name, file));
  note("use it as POLYSOME_TOKEN, as Authorization: Bearer, or as password of Basic");
  return 0;
}

Result<int> list(const Context& context, const Options& o, const CommonFlags& flags) {
  POLYSOME_ASSIGN(const Output output, output_of(context, flags));
  POLYSOME_ASSIGN(const std::string file, file_of(o, flags));
  POLYSOME_ASSIGN(const auto tokens, read_tokens(file));
  Json rows = Json::array();
  for (const auto& t : tokens) {
    std::string scopes = t.admin ? "admin" : "";
    if (t.submit_for) scopes += scopes.empty() ? "submit_for" : ", submit_for";
    rows.push_back({{"name", t.name}, {"scopes", scopes}});
  }
  output.list(Json{{"file", file}, {"tokens", rows}}, rows,
              {{"name", "name"}, {"scopes", "scopes"}}, "name");
  if (tokens.empty()) note(fmt::format("no token in {}", file));
  return 0;
}

Result<int> revoke(const Context& context, const Options& o, const CommonFlags& flags) {
  POLYSOME_ASSIGN(const Output output, output_of(context, flags));
  POLYSOME_ASSIGN(const std::string file, file_of(o, flags));
  POLYSOME_ASSIGN(const auto tokens, read_tokens(file));
  if (std::ranges::find(tokens, o.name, &AccessToken::name) == tokens.end())
    return fail(no_such_token(tokens, o.name, file));
  POLYSOME_TRY(rewrite_private_file(file, [&](const std::string& before) {
    std::string kept;
    for (std::size_t at = 0; at < before.size();) {
      const auto end = std::min(before.find('\n', at), before.size() - 1);
      const std::string line = before.substr(at, end - at + 1);
      if (!line.starts_with(o.name + ":")) kept += line;
      at = end + 1;
    }
    return kept;
  }));
  output.line(
      fmt::format("the token of {} is taken back; a running service knows at once", o.name));
  return 0;
}

void add_file_flags(CLI::App* command, const std::shared_ptr<Options>& o,
                    const CommonFlagsPtr& flags) {
  command
      ->add_option("--token-file", o->file,
                   "the file, as polysome serve has it (default: tokens in the state folder)")
      ->type_name("FILE");
  command->add_option("--state-dir", o->state_dir, "the service's state folder")->type_name("DIR");
  command->add_option("--config", flags->config, "configuration file in place of the usual ones")
      ->type_name("FILE");
  add_output_flags(command, flags);
}

}  // namespace

void add_token_command(CLI::App& app, Context& context) {
  auto* token = app.add_subcommand("token", "who may call the service from elsewhere");
  token->require_subcommand(1);
  const auto add = [&](const char* name, const char* text, bool named,
                       Result<int> (*work)(const Context&, const Options&, const CommonFlags&)) {
    auto* command = token->add_subcommand(name, text);
    auto o = std::make_shared<Options>();
    auto flags = std::make_shared<CommonFlags>();
    if (named) command->add_option("name", o->name, "the user whose token it is")->required();
    add_file_flags(command, o, flags);
    context.on(command, [&context, o, flags, work] { return work(context, *o, *flags); });
    return std::pair(command, o);
  };
  const auto [command, o] = add("new", "make one and print it, this once", true, make);
  command->add_flag("--admin", o->admin, "may do everything to everybody's jobs");
  command->add_flag("--submit-for", o->submit_for, "may hand in jobs for other users");
  add("list", "names and scopes", false, list);
  add("revoke", "take one back", true, revoke);
}

}  // namespace polysome::cli
