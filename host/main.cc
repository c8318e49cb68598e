#include <csignal>

#include <string>
#include <vector>

#include "cli/command_line.h"

int main(int argc, char** argv) {
  // A reader that went away and a file at its quota are errors of write(2), which a run survives.
  std::signal(SIGPIPE, SIG_IGN);
  std::signal(SIGXFSZ, SIG_IGN);
  return tenure::cli::main(std::vector<std::string>(argv + 1, argv + argc));
}
