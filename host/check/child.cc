#include "check/child.h"

#include <fcntl.h>
#include <fmt/format.h>
#include <spawn.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <csignal>
#include <cstring>
#include <thread>

#include "check/notes.h"
#include "error/error.h"

namespace tenure {
namespace {

using Clock = std::chrono::steady_clock;

// A file that lives as long as its descriptor: where the child's own prints go.
class Output {
 public:
  int descriptor() const { return notes_.descriptor(); }
  // The last line that is not blank.
  std::string last_line() const {
    constexpr off_t most = 4096;
    const off_t end = ::lseek(descriptor(), 0, SEEK_END);
    const off_t begin = std::max<off_t>(0, end - most);
    std::string text(static_cast<size_t>(std::max<off_t>(0, end - begin)), '\0');
    const ssize_t n = ::pread(descriptor(), text.data(), text.size(), begin);
    text.resize(static_cast<size_t>(std::max<ssize_t>(0, n)));
    text.erase(text.find_last_not_of(" \n\t") + 1);
    return text.substr(text.find_last_of('\n') + 1);
  }

 private:
  Notes notes_;
};

pid_t spawn(const std::vector<std::string>& words, const Notes& notes, const Output& output) {
  std::vector<char*> argv;
  for (const std::string& word : words) argv.push_back(const_cast<char*>(word.c_str()));
  argv.push_back(nullptr);
  std::string variable = fmt::format("{}={}", notes_variable, notes.descriptor());
  // Chunks that a thread keeps for itself would look like memory of whoever freed them.
  std::string tunables = "GLIBC_TUNABLES=glibc.malloc.tcache_count=0";
  std::vector<char*> environment = {tunables.data()};
  for (char** entry = environ; *entry != nullptr; ++entry) environment.push_back(*entry);
  environment.push_back(variable.data());
  environment.push_back(nullptr);
  posix_spawn_file_actions_t actions;
  posix_spawn_file_actions_init(&actions);
  posix_spawn_file_actions_addopen(&actions, STDIN_FILENO, "/dev/null", O_RDONLY, 0);
  posix_spawn_file_actions_adddup2(&actions, output.descriptor(), STDOUT_FILENO);
  posix_spawn_file_actions_adddup2(&actions, output.descriptor(), STDERR_FILENO);
  posix_spawnattr_t attributes;
  posix_spawnattr_init(&attributes);
  posix_spawnattr_setflags(&attributes, POSIX_SPAWN_SETPGROUP);  // so that what it starts is ended with it
  pid_t child = -1;
  const int failure =
      posix_spawn(&child, words.front().c_str(), &actions, &attributes, argv.data(), environment.data());
  posix_spawn_file_actions_destroy(&actions);
  posix_spawnattr_destroy(&attributes);
  if (failure != 0)
    throw Error(Code::internal, fmt::format("cannot start {}: {}", words.front(), std::strerror(failure)));
  return child;
}

// Nothing: it was still there at the deadline, and was killed.
std::optional<int> wait_until(pid_t child, Clock::time_point deadline) {
  int status = 0;
  while (::waitpid(child, &status, WNOHANG) != child) {
    if (Clock::now() > deadline) {
      ::kill(-child, SIGKILL);
      ::waitpid(child, &status, 0);
      return std::nullopt;
    }
    std::this_thread::sleep_for(std::chrono::milliseconds(2));
  }
  return status;
}

std::string death_of(std::optional<int> status, std::chrono::seconds time_limit) {
  if (!status) return fmt::format("did not end within {} s", time_limit.count());
  if (WIFSIGNALED(*status)) return fmt::format("killed by SIG{}", sigabbrev_np(WTERMSIG(*status)));
  return fmt::format("ended the process with status {}", WEXITSTATUS(*status));
}

}  // namespace

ChildEnd run_child(const std::vector<std::string>& words, std::chrono::seconds time_limit) {
  const Notes notes;
  const Output output;
  const Clock::time_point began = Clock::now();
  const pid_t child = spawn(words, notes, output);
  const std::optional<int> status = wait_until(child, began + time_limit);
  ChildEnd end{.verdict = notes.verdict(), .last_words = output.last_line()};
  end.seconds = std::chrono::duration<double>(Clock::now() - began).count();
  // A verdict counts only from a process that came to its own end: destructors of the plugin ran after it.
  if (end.verdict && status && WIFEXITED(*status)) return end;
  end.verdict.reset();
  const std::string hook = notes.hook();
  end.death = death_of(status, time_limit) + (hook.empty() ? "" : " in " + hook);
  return end;
}

void become_child() {
  ::prctl(PR_SET_PDEATHSIG, SIGKILL);
  const rlimit none{};
  ::setrlimit(RLIMIT_CORE, &none);
}

}  // namespace tenure
