#include "cli/completion.h"

#include <fmt/format.h>

#include <algorithm>
#include <map>
#include <set>

namespace tenure::cli {
namespace {

// What a value is, as far as a shell can help.
enum class Kind { none, files, folders, policies, backends, plugins, codes, choices };

struct Value {
  Kind kind = Kind::none;
  std::string choices;  // separated by blanks
};

std::string with_blanks(std::string text, char separator) {
  std::replace(text.begin(), text.end(), separator, ' ');
  return text;
}

// The table names arguments alike: RUN, MODEL, dot|mermaid|json.
Value value_of(std::string_view argument, std::string_view option) {
  if (argument == "DIR" || argument == "RUN") return {.kind = Kind::folders};
  if (argument == "PIPELINE" || argument == "FILE" || argument == "MODEL" || argument == "A B") return {.kind = Kind::files};
  if (argument == "CODE") return {.kind = Kind::codes};
  if (argument == "ID|FILE") return {.kind = Kind::plugins};
  if (argument == "ID" && option == "policy") return {.kind = Kind::policies};
  if (argument == "ID" && option == "backend") return {.kind = Kind::backends};
  if (argument.find('|') != std::string_view::npos) {
    return {.kind = Kind::choices, .choices = with_blanks(std::string(argument), '|')};
  }
  // "policy NAME": a word to type, then one of one's own.
  const std::string_view first = argument.substr(0, argument.find(' '));
  const bool is_word =
      !first.empty() && std::all_of(first.begin(), first.end(), [](char c) { return c >= 'a' && c <= 'z'; });
  return is_word ? Value{.kind = Kind::choices, .choices = std::string(first)} : Value{};
}

std::vector<Option> options_of(const Command& command) {
  std::vector<Option> options = command.options;
  options.push_back({.name = "help", .letter = 'h', .help = "what this command does"});
  return options;
}

// Commands of one word, and the second words of those of two by the first.
struct Words {
  std::vector<std::pair<std::string, std::string>> first;  // word, summary
  std::map<std::string, std::vector<std::pair<std::string, std::string>>> second;
};

Words words_of(const std::vector<Command>& commands) {
  Words words;
  for (const Command& command : commands) {
    const size_t blank = command.name.find(' ');
    if (blank == std::string::npos) {
      words.first.emplace_back(command.name, command.summary);
      continue;
    }
    const std::string group = command.name.substr(0, blank);
    auto& seconds = words.second[group];
    if (seconds.empty()) words.first.emplace_back(group, "commands about a " + group);
    seconds.emplace_back(command.name.substr(blank + 1), command.summary);
  }
  return words;
}

std::string joined_words(const std::vector<std::pair<std::string, std::string>>& words) {
  std::string text;
  for (const auto& [word, summary] : words) text += (text.empty() ? "" : " ") + word;
  return text;
}

// Inside single quotes of a shell; `escape` is how that shell writes one.
std::string single_quoted(std::string_view text, std::string_view escape) {
  std::string out = "'";
  for (const char c : text) {
    if (c == '\'') {
      out += escape;
    } else {
      out += c;
    }
  }
  return out + "'";
}

constexpr std::string_view ids_of_kind = "tenure plugin list 2>/dev/null | awk '$2 == \"{}\" {{print $1}}'";
constexpr std::string_view all_ids = "tenure plugin list 2>/dev/null | awk '{print $1}'";
constexpr std::string_view all_codes = "tenure explain 2>/dev/null | awk '{print $1}'";

std::string lookup(Kind kind) {
  if (kind == Kind::policies) return fmt::format(ids_of_kind, "policy");
  if (kind == Kind::backends) return fmt::format(ids_of_kind, "backend");
  return std::string(kind == Kind::plugins ? all_ids : all_codes);
}

// ---- bash ----

std::string bash_reply(const Value& value) {
  switch (value.kind) {
    case Kind::none:
      return "return";
    case Kind::files:
      return "_tenure_reply -f; return";
    case Kind::folders:
      return "_tenure_reply -d; return";
    case Kind::choices:
      return fmt::format("_tenure_reply -W '{}'; return", value.choices);
    case Kind::plugins:
      return fmt::format("_tenure_reply -f -W \"$({})\"; return", lookup(value.kind));
    case Kind::policies:
    case Kind::backends:
    case Kind::codes:
      break;
  }
  return fmt::format("_tenure_reply -W \"$({})\"; return", lookup(value.kind));
}

std::string bash_value_cases(const Command& command) {
  std::string out;
  for (const Option& option : command.options) {
    if (option.argument.empty()) continue;
    std::string pattern = fmt::format("'{} --{}'", command.name, option.name);
    if (option.letter != 0) pattern += fmt::format("|'{} -{}'", command.name, option.letter);
    out += fmt::format("    {}) {};;\n", pattern, bash_reply(value_of(option.argument, option.name)));
  }
  return out;
}

std::string bash_command_case(const Command& command) {
  std::string names;
  for (const Option& option : options_of(command)) names += (names.empty() ? "--" : " --") + option.name;
  return fmt::format(
      "    '{}')\n      [[ $current == -* ]] && {{ _tenure_reply -W '{}'; return; }}\n      {};;\n",
      command.name, names, bash_reply(value_of(command.operands, "")));
}

// ---- zsh ----

std::string zsh_action(const Value& value) {
  switch (value.kind) {
    case Kind::none:
      return " ";
    case Kind::files:
      return "_files";
    case Kind::folders:
      return "_files -/";
    case Kind::choices:
      return "(" + value.choices + ")";
    case Kind::policies:
      return "_tenure_policies";
    case Kind::backends:
      return "_tenure_backends";
    case Kind::plugins:
      return "_tenure_plugins";
    case Kind::codes:
      break;
  }
  return "_tenure_codes";
}

// "[", "]" and ":" end parts of a specification.
std::string zsh_escaped(std::string_view text) {
  std::string out;
  for (const char c : text) {
    if (c == '[' || c == ']' || c == ':') out += '\\';
    out += c;
  }
  return out;
}

std::string zsh_quoted(std::string_view text) {
  return single_quoted(text, "'\\''");
}

std::string zsh_option(const Option& option) {
  const std::string value = option.argument.empty()
                                ? ""
                                : fmt::format(":{}:{}", zsh_escaped(option.argument),
                                              zsh_action(value_of(option.argument, option.name)));
  const std::string tail = zsh_quoted(fmt::format("[{}]{}", zsh_escaped(option.help), value));
  const std::string star = option.repeatable ? "'*'" : "";
  if (option.letter == 0) return fmt::format("{}--{}{}", star, option.name, tail);
  return fmt::format("{}{{-{},--{}}}{}", star, option.letter, option.name, tail);
}

std::string zsh_command_case(const Command& command) {
  std::string out = fmt::format("    '{}') _arguments -s", command.name);
  for (const Option& option : options_of(command)) out += " \\\n      " + zsh_option(option);
  if (!command.operands.empty()) {
    out += " \\\n      " + zsh_quoted(fmt::format("*:{}:{}", zsh_escaped(command.operands),
                                                  zsh_action(value_of(command.operands, ""))));
  }
  return out + ";;\n";
}

std::string zsh_words(const std::vector<std::pair<std::string, std::string>>& words) {
  std::string out;
  for (const auto& [word, summary] : words) out += " " + zsh_quoted(word + ":" + zsh_escaped(summary));
  return out;
}

// ---- fish ----

std::string fish_quoted(std::string_view text) {
  return single_quoted(text, "\\'");
}

std::string fish_value(const Value& value) {
  switch (value.kind) {
    case Kind::none:
      return "-x";
    case Kind::files:
      return "-r -F";
    case Kind::folders:
      return "-x -a '(__fish_complete_directories)'";
    case Kind::choices:
      return fmt::format("-x -a '{}'", value.choices);
    case Kind::plugins:
      return fmt::format("-r -F -a {}", fish_quoted("(" + lookup(value.kind) + ")"));
    case Kind::policies:
    case Kind::backends:
    case Kind::codes:
      break;
  }
  return fmt::format("-x -a {}", fish_quoted("(" + lookup(value.kind) + ")"));
}

std::string fish_command(const Command& command) {
  const std::string start = fmt::format("complete -c tenure -n '__tenure_command {}'", command.name);
  std::string out;
  for (const Option& option : options_of(command)) {
    out +=
        fmt::format("{} -l {}{}{} -d {}\n", start, option.name,
                    option.letter != 0 ? fmt::format(" -s {}", option.letter) : "",
                    option.argument.empty() ? "" : " " + fish_value(value_of(option.argument, option.name)),
                    fish_quoted(option.help));
  }
  if (const Value value = value_of(command.operands, ""); value.kind != Kind::none)
    out += fmt::format("{} {}\n", start, fish_value(value));
  return out;
}

}  // namespace

std::string bash_completion(const std::vector<Command>& commands) {
  const Words words = words_of(commands);
  std::string out =
      "# bash completion of tenure, made by `tenure completion bash`.\n"
      "_tenure_reply() { mapfile -t COMPREPLY < <(compgen \"$@\" -- \"$current\"); }\n"
      "_tenure() {\n"
      "  local current=\"${COMP_WORDS[COMP_CWORD]}\" previous=\"${COMP_WORDS[COMP_CWORD-1]}\" "
      "name=\"${COMP_WORDS[1]}\"\n"
      "  COMPREPLY=()\n";
  out += fmt::format("  ((COMP_CWORD == 1)) && {{ _tenure_reply -W '{} --help --version'; return; }}\n",
                     joined_words(words.first));
  for (const auto& [group, seconds] : words.second) {
    out += fmt::format(
        "  if [[ $name == {} ]]; then\n    ((COMP_CWORD == 2)) && {{ _tenure_reply -W '{}'; return; }}\n    "
        "name+=\" ${{COMP_WORDS[2]}}\"\n  fi\n",
        group, joined_words(seconds));
  }
  out += "  case \"$name $previous\" in\n";
  for (const Command& command : commands) out += bash_value_cases(command);
  out += "  esac\n  case \"$name\" in\n";
  for (const Command& command : commands) out += bash_command_case(command);
  return out + "  esac\n}\ncomplete -o filenames -F _tenure tenure\n";
}

std::string zsh_completion(const std::vector<Command>& commands) {
  const Words words = words_of(commands);
  std::string out = "#compdef tenure\n# zsh completion of tenure, made by `tenure completion zsh`.\n";
  const std::pair<std::string_view, Kind> lists[] = {
      {"policies", Kind::policies}, {"backends", Kind::backends}, {"codes", Kind::codes}};
  for (const auto& [name, kind] : lists) {
    out += fmt::format("_tenure_{}() {{ local -a found; found=(${{(f)\"$({})\"}}); compadd -a found }}\n",
                       name, lookup(kind));
  }
  out += fmt::format(
      "_tenure_plugins() {{ local -a found; found=(${{(f)\"$({})\"}}); compadd -a found; _files }}\n",
      lookup(Kind::plugins));
  out += fmt::format(
      "_tenure() {{\n  local -a names\n  if (( CURRENT == 2 )); then\n    names=({} )\n    _describe -t "
      "commands command names\n    return\n  fi\n",
      zsh_words(words.first));
  out += "  local name=$words[2]\n  shift words; (( CURRENT-- ))\n";
  for (const auto& [group, seconds] : words.second) {
    out += fmt::format(
        "  if [[ $name == {} ]]; then\n    if (( CURRENT == 2 )); then\n      names=({} )\n      _describe "
        "-t commands command names\n      return\n    fi\n"
        "    name+=\" $words[2]\"\n    shift words; (( CURRENT-- ))\n  fi\n",
        group, zsh_words(seconds));
  }
  out += "  case $name in\n";
  for (const Command& command : commands) out += zsh_command_case(command);
  return out +
         "  esac\n}\nif [[ $funcstack[1] == _tenure ]]; then _tenure \"$@\"; else compdef _tenure tenure; "
         "fi\n";
}

std::string fish_completion(const std::vector<Command>& commands) {
  const Words words = words_of(commands);
  std::string groups;
  for (const auto& [group, seconds] : words.second) groups += " " + group;
  std::string out =
      "# fish completion of tenure, made by `tenure completion fish`.\n"
      "function __tenure_command\n"
      "  set -l words (commandline -opc)\n"
      "  set -e words[1]\n"
      "  set -l name $words[1]\n";
  out += fmt::format("  if contains -- \"$name\"{}\n    set name \"$name $words[2]\"\n  end\n", groups);
  out += "  test (string trim -- \"$name\") = \"$argv\"\nend\ncomplete -c tenure -f\n";
  for (const auto& [word, summary] : words.first) {
    out += fmt::format("complete -c tenure -n '__tenure_command' -a {} -d {}\n", word, fish_quoted(summary));
  }
  out += "complete -c tenure -n '__tenure_command' -l help -s h -d 'all commands'\n";
  out += "complete -c tenure -n '__tenure_command' -l version -d 'the version'\n";
  for (const auto& [group, seconds] : words.second) {
    for (const auto& [word, summary] : seconds) {
      out += fmt::format("complete -c tenure -n '__tenure_command {}' -a {} -d {}\n", group, word,
                         fish_quoted(summary));
    }
  }
  for (const Command& command : commands) out += fish_command(command);
  return out;
}

}  // namespace tenure::cli
