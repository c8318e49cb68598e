#include "cli/streams.h"

#include <cerrno>
#include <cstdlib>
#include <fcntl.h>
#include <unistd.h>

#include <string>

#include "record/file_io.h"

namespace tenure::cli {
namespace {

int stdout_fd = STDOUT_FILENO;

}  // namespace

void keep_stdout() {
  if (stdout_fd != STDOUT_FILENO) return;
  const int kept = ::fcntl(STDOUT_FILENO, F_DUPFD_CLOEXEC, 3);
  if (kept < 0) return;  // closed from the start: print() will say so
  stdout_fd = kept;
  ::dup2(STDERR_FILENO, STDOUT_FILENO);
}

void print(std::string_view text) {
  if (write_all(stdout_fd, text)) return;
  // Whoever read us has what it wanted (`| head`), or never listened.
  std::_Exit(0);
}

void talk(std::string_view text) {
  if (!write_all(STDERR_FILENO, text)) return;
}

void print_error(std::string_view text) { talk(std::string(text) + "\n"); }

bool stdout_is_terminal() { return ::isatty(stdout_fd) == 1; }
bool stderr_is_terminal() { return ::isatty(STDERR_FILENO) == 1; }

}  // namespace tenure::cli
