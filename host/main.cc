#include <csignal>

#include <string>
#include <vector>

#include "cli/command_line.h"

int main(int argc, char** argv) {
  // A reader that goes away is an error of write(2), not the end of a run.
  std::signal(SIGPIPE, SIG_IGN);
  return tenure::cli::main(std::vector<std::string>(argv + 1, argv + argc));
}
