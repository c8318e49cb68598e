#include "cli/command_line.h"

#include <fmt/format.h>

#include <boost/program_options.hpp>

#include "cli/streams.h"
#include "error/error.h"

namespace tenure::cli {
namespace {

namespace po = boost::program_options;

std::vector<std::string> option_names(const Command& command) {
  std::vector<std::string> names = {"--help"};
  for (const Option& option : command.options) names.push_back("--" + option.name);
  return names;
}

[[noreturn]] void usage_error(const Command& command, const std::string& text, const std::string& help = {}) {
  throw Error(Diagnostic{.code = Code::usage,
                         .text = text,
                         .help = help.empty() ? fmt::format("tenure {} --help", command.name) : help});
}

po::options_description describe(const Command& command) {
  po::options_description options;
  options.add_options()("help,h", "");
  for (const Option& option : command.options) {
    const std::string name = option.letter != 0 ? fmt::format("{},{}", option.name, option.letter) : option.name;
    if (option.argument.empty()) {
      options.add_options()(name.c_str(), "");
    } else {
      options.add_options()(name.c_str(), po::value<std::vector<std::string>>()->composing(), "");
    }
  }
  options.add_options()("operand", po::value<std::vector<std::string>>());
  return options;
}

// The command that the first words name, and how many words that took.
const Command* find(const std::vector<std::string>& words, size_t& n_words) {
  for (size_t n = 2; n >= 1; --n) {
    if (words.size() < n) continue;
    const std::string name = n == 2 ? words[0] + " " + words[1] : words[0];
    for (const Command& command : commands()) {
      if (command.name != name) continue;
      n_words = n;
      return &command;
    }
  }
  return nullptr;
}

int unknown_command(const std::vector<std::string>& words) {
  std::vector<std::string> names;
  for (const Command& command : commands()) names.push_back(command.name);
  const bool group = std::any_of(names.begin(), names.end(), [&](const std::string& name) { return name.starts_with(words[0] + " "); });
  const std::string said = group && words.size() > 1 ? words[0] + " " + words[1] : words[0];
  const std::string_view near = nearest(said, names);
  std::string help = near.empty() ? "tenure --help lists the commands" : fmt::format("did you mean \"tenure {}\"?", near);
  if (group && near.empty()) {
    help = "there are:";
    for (const std::string& name : names) help += name.starts_with(words[0] + " ") ? " \"" + name + "\"" : "";
  }
  print_error(render(Diagnostic{.code = Code::usage, .text = fmt::format("unknown command \"{}\"", said), .help = help}));
  return exit_usage;
}

}  // namespace

std::optional<std::string> Arguments::get(const std::string& option) const {
  const auto it = values_.find(option);
  if (it == values_.end() || it->second.empty()) return std::nullopt;
  return it->second.back();
}

std::vector<std::string> Arguments::all(const std::string& option) const {
  const auto it = values_.find(option);
  return it == values_.end() ? std::vector<std::string>() : it->second;
}

Arguments parse(const Command& command, const std::vector<std::string>& words) {
  const po::options_description options = describe(command);
  po::positional_options_description operands;
  operands.add("operand", -1);
  Arguments arguments;
  try {
    // Guessing would make every added option a breaking change.
    const int style = po::command_line_style::default_style & ~po::command_line_style::allow_guessing;
    po::variables_map map;
    po::store(po::command_line_parser(words).options(options).positional(operands).style(style).run(), map);
    for (const auto& [name, value] : map) {
      const auto* texts = boost::any_cast<std::vector<std::string>>(&value.value());
      if (name == "operand") {
        arguments.positional_ = *texts;
      } else {
        arguments.values_[name] = texts != nullptr ? *texts : std::vector<std::string>();
      }
    }
  } catch (const po::unknown_option& error) {
    const std::string_view near = nearest(error.get_option_name(), option_names(command));
    usage_error(command, fmt::format("unknown option \"{}\" of \"tenure {}\"", error.get_option_name(), command.name),
                near.empty() ? std::string() : fmt::format("did you mean \"{}\"?", near));
  } catch (const po::error& error) {
    usage_error(command, error.what());
  }
  if (arguments.has("help")) return arguments;
  for (const Option& option : command.options) {
    if (!option.repeatable && arguments.all(option.name).size() > 1) {
      usage_error(command, fmt::format("option \"--{}\" was given more than once", option.name));
    }
  }
  const size_t n = arguments.positional_.size();
  if (n < command.min_operands) usage_error(command, fmt::format("\"tenure {}\" needs {}", command.name, command.operands));
  if (n > command.max_operands) {
    usage_error(command, fmt::format("\"tenure {}\" does not take \"{}\"", command.name, arguments.positional_[command.max_operands]));
  }
  return arguments;
}

std::string help_text() {
  std::string text =
      "tenure runs LLM batch pipelines with a bounded KV cache.\n\n"
      "  tenure demo                                     see it work, offline\n"
      "  tenure run pipelines/first.toml                 run a pipeline; run again = resume\n"
      "  tenure generate -m MODEL -p \"Why is the sky blue?\"\n\ncommands:\n";
  for (const Command& command : commands()) {
    text += fmt::format("  {:<28} {}\n", command.operands.empty() ? command.name : command.name + " " + command.operands, command.summary);
  }
  return text + "\n\"tenure COMMAND --help\" shows a command's options, \"tenure --version\" the version.\n";
}

std::string help_text(const Command& command) {
  std::string text = fmt::format("tenure {}{}{} - {}\n", command.name, command.operands.empty() ? "" : " ", command.operands, command.summary);
  if (!command.help.empty()) text += "\n" + command.help + "\n";
  text += "\noptions:\n";
  for (const Option& option : command.options) {
    std::string spelling = option.letter != 0 ? fmt::format("-{}, --{}", option.letter, option.name) : fmt::format("    --{}", option.name);
    if (!option.argument.empty()) spelling += " " + option.argument;
    text += fmt::format("  {:<26} {}{}\n", spelling, option.help, option.repeatable ? " (repeatable)" : "");
  }
  return text + fmt::format("  {:<26} {}\n", "-h, --help", "this text");
}

int main(const std::vector<std::string>& words) {
  try {
    if (words.empty() || words[0] == "--help" || words[0] == "-h" || words[0] == "help") {
      print(help_text());
      return words.empty() ? exit_usage : exit_ok;
    }
    if (words[0] == "--version") {
      print(fmt::format("tenure {}\n", TENURE_VERSION));
      return exit_ok;
    }
    size_t n_words = 0;
    const Command* command = find(words, n_words);
    if (command == nullptr) return unknown_command(words);
    const Arguments arguments = parse(*command, {words.begin() + static_cast<ptrdiff_t>(n_words), words.end()});
    if (arguments.has("help")) {
      print(help_text(*command));
      return exit_ok;
    }
    return command->run(arguments);
  } catch (const Error& error) {
    print_error(error.what());
    return error.exit_code();
  } catch (const std::exception& error) {
    print_error(render(Diagnostic{.code = Code::internal, .text = error.what()}));
    return exit_internal;
  }
}

}  // namespace tenure::cli
