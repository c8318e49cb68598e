// tenure completion: a shell's completion script, made from the command table.
#include "cli/commands.h"
#include "cli/completion.h"
#include "cli/streams.h"
#include "error/error.h"

#include <fmt/format.h>

namespace tenure::cli {
namespace {

int completion(const Arguments& arguments) {
  const std::string& shell = arguments.positional().front();
  if (shell == "bash") {
    print(bash_completion(commands()));
  } else if (shell == "zsh") {
    print(zsh_completion(commands()));
  } else if (shell == "fish") {
    print(fish_completion(commands()));
  } else {
    throw Error(Code::usage,
                fmt::format("there is completion for bash, zsh and fish, not for \"{}\"", shell));
  }
  return exit_ok;
}

}  // namespace

Command completion_command() {
  return {.name = "completion",
          .operands = "bash|zsh|fish",
          .min_operands = 1,
          .max_operands = 1,
          .summary = "a completion script for a shell",
          .help =
              "  source <(tenure completion bash)\n  tenure completion fish > "
              "~/.config/fish/completions/tenure.fish",
          .run = completion};
}

}  // namespace tenure::cli
