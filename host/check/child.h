// One check in a process of its own: a crash, an exit or a hang of the plugin is that check's failure and
// nobody else's.
#pragma once

#include <chrono>
#include <optional>
#include <string>
#include <vector>

#include "check/verdict.h"

namespace tenure {

// In the child's environment: the descriptor of its Notes.
constexpr const char* notes_variable = "TENURE_CHECK_NOTES";

struct ChildEnd {
  std::optional<Verdict> verdict;  // absent: the process ended, or was ended, before there was one
  std::string death;               // then: "killed by SIGSEGV in observe"
  std::string last_words;          // the last line it wrote; empty = none
  double seconds = 0;
};

// words: the program and its arguments. Throws Error when no process can be started.
ChildEnd run_child(const std::vector<std::string>& words, std::chrono::seconds time_limit);

// To be called first by a process that run_child started: it dies with its parent and leaves no core file.
void become_child();

}  // namespace tenure
