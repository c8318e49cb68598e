// Completion scripts of shells. Words, options and the kinds of their values come from the command table; ids
// of plugins and error codes are asked of the program when a word is completed.
#pragma once

#include <string>
#include <vector>

#include "cli/command_line.h"

namespace tenure::cli {

std::string bash_completion(const std::vector<Command>& commands);
std::string zsh_completion(const std::vector<Command>& commands);
std::string fish_completion(const std::vector<Command>& commands);

}  // namespace tenure::cli
