// polysome completion bash|zsh|fish, and the hidden word that these scripts ask for candidates:
// what may follow comes from the commands themselves and the operations' descriptions.
#include <fmt/format.h>

#include <algorithm>

#include "cli/command.h"
#include "cli/completion.h"

namespace polysome::cli {
namespace {

constexpr std::string_view kBash = R"(_polysome() {
  local IFS=$'\n'
  COMPREPLY=($(polysome __complete "${COMP_WORDS[@]:1:COMP_CWORD}" 2>/dev/null))
  if [ ${#COMPREPLY[@]} -eq 0 ]; then compopt -o default
  elif [ ${#COMPREPLY[@]} -eq 1 ] && [[ ${COMPREPLY[0]} == *= ]]; then compopt -o nospace; fi
}
COMP_WORDBREAKS=${COMP_WORDBREAKS//=}
complete -F _polysome polysome
)";
constexpr std::string_view kZsh = R"(#compdef polysome
_polysome() {
  local -a found
  found=("${(@f)$(polysome __complete "${(@)words[2,CURRENT]}" 2>/dev/null)}")
  if [ -n "${found[1]}" ]; then compadd -S '' -- "${(@)found:#*[^=]}" ; compadd -- "${(@)found:#*=}"
  else _files; fi
}
compdef _polysome polysome
)";
constexpr std::string_view kFish = R"(function __polysome_complete
  set -l words (commandline -opc) (commandline -ct)
  polysome __complete $words[2..-1] 2>/dev/null
end
complete -c polysome -a '(__polysome_complete)'
)";

const CLI::App* named(const CLI::App& app, const std::string& name) {
  for (const auto* sub : app.get_subcommands(nullptr))
    if (sub->get_name() == name) return sub;
  return nullptr;
}

bool takes_value(const CLI::App& command, const std::string& flag) {
  for (const auto* option : command.get_options())
    if (option->check_name(flag)) return option->get_items_expected_max() > 0;
  return false;
}

std::vector<std::string> flags_of(const CLI::App& command) {
  std::vector<std::string> out;
  for (const auto* option : command.get_options())
    for (const auto& name : option->get_lnames()) out.push_back("--" + name);
  return out;
}

std::vector<std::string> parameter_words(const OperationDescription& operation,
                                         const std::string& begun) {
  std::vector<std::string> out;
  const auto equals = begun.find('=');
  for (const auto& p : operation.parameters) {
    if (equals == std::string::npos)
      out.push_back(p.name + "=");
    else if (begun.substr(0, equals) == p.name)
      for (const auto& choice : p.choices) out.push_back(p.name + "=" + choice);
  }
  return out;
}

}  // namespace

std::vector<std::string> complete(const CLI::App& app, const OperationCatalog& operations,
                                  const std::vector<std::string>& words) {
  const std::string begun = words.empty() ? "" : words.back();
  const CLI::App* command = &app;
  std::vector<std::string> arguments;
  for (std::size_t i = 0; i + 1 < words.size(); ++i) {
    if (words[i].starts_with('-')) {
      if (words[i].find('=') == std::string::npos && takes_value(*command, words[i])) ++i;
      continue;
    }
    if (const auto* sub = arguments.empty() ? named(*command, words[i]) : nullptr)
      command = sub;
    else
      arguments.push_back(words[i]);
  }
  std::vector<std::string> out;
  const std::string name = command->get_name();
  if (words.size() >= 2 && words[words.size() - 2] == "-o") {
    out = format_names();
  } else if (begun.starts_with('-')) {
    out = flags_of(*command);
  } else if (!command->get_subcommands(nullptr).empty() && arguments.empty()) {
    for (const auto* sub : command->get_subcommands(nullptr))
      if (!sub->get_name().starts_with("__")) out.push_back(sub->get_name());
  } else if ((name == "run" || name == "submit" || name == "ops") && arguments.empty()) {
    out = operations.names();
  } else if ((name == "run" || name == "submit") && arguments.size() >= 2) {
    if (const auto* operation = operations.find(arguments.front()))
      out = parameter_words(*operation, begun);
  } else if (name == "completion" && arguments.empty()) {
    out = {"bash", "zsh", "fish"};
  }
  std::erase_if(out, [&](const std::string& word) { return !word.starts_with(begun); });
  std::ranges::sort(out);
  return out;
}

void add_completion_command(CLI::App& app, Context& context) {
  {
    auto* command =
        app.add_subcommand("completion", "what makes the shell complete polysome's words");
    auto shell = std::make_shared<std::string>();
    command->add_option("shell", *shell, "bash, zsh or fish")
        ->required()
        ->check(CLI::IsMember({"bash", "zsh", "fish"}));
    command->footer(
        "  source <(polysome completion bash)      # in ~/.bashrc\n"
        "  polysome completion fish | source       # in config.fish");
    context.on(command, [shell]() -> Result<int> {
      put(*shell == "bash" ? kBash : *shell == "zsh" ? kZsh : kFish);
      return 0;
    });
  }
}

}  // namespace polysome::cli
