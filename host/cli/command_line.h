// Commands, options and help out of one table each; Boost.Program_options does the parsing.
#pragma once

#include <map>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

namespace tenure::cli {

struct Option {
  std::string name;      // "out"
  char letter = 0;       // 'o', 0 = none
  std::string argument;  // "RUN"; empty = a flag
  std::string help;
  bool repeatable = false;
};

class Arguments {
 public:
  bool has(const std::string& option) const { return values_.contains(option); }
  std::optional<std::string> get(const std::string& option) const;  // the last one given
  std::vector<std::string> all(const std::string& option) const;
  const std::vector<std::string>& positional() const { return positional_; }

 private:
  friend Arguments parse(const struct Command& command, const std::vector<std::string>& words);
  std::map<std::string, std::vector<std::string>> values_;
  std::vector<std::string> positional_;
};

struct Command {
  std::string name;       // "run", "plugin list"
  std::string operands;   // "PIPELINE", "RUN…"; empty = none
  size_t min_operands = 0;
  size_t max_operands = 0;
  std::string summary;    // one line for the list
  std::string help;       // more, after the options: examples first
  std::vector<Option> options;
  int (*run)(const Arguments&) = nullptr;  // returns an exit code; may throw Error
};

// Every command, in the order of --help.
const std::vector<Command>& commands();

// Throws Error(usage) naming the option and the nearest one.
Arguments parse(const Command& command, const std::vector<std::string>& words);

std::string help_text();                  // of the program
std::string help_text(const Command&);    // of one command

// The whole program; returns its exit code.
int main(const std::vector<std::string>& words);

}  // namespace tenure::cli
