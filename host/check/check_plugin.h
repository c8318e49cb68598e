// The whole list for one plugin, each check in a child process, and what comes of it.
#pragma once

#include <chrono>
#include <cstdint>
#include <string>
#include <vector>

#include "check/verdict.h"
#include "plugin/find.h"

namespace tenure {

struct CheckResult {
  Rule rule = Rule::load;
  Verdict verdict;
  double seconds = 0;
};

struct CheckReport {
  PluginFile plugin;
  uint64_t seed = 0;
  std::vector<CheckResult> results;

  size_t count(Outcome outcome) const;
  bool is_refused() const;  // it could not be loaded or used here: nothing else was judged
  int exit_code() const;    // 0 all kept, 100 a rule is broken, 69 refused
};

struct CheckWish {
  PluginFile plugin;
  uint64_t seed = 0;
  std::chrono::seconds time_limit{60};  // of one check
  std::vector<std::string> command;     // of a child, but for the rule's id at its end
};

// Throws Error when no process can be started.
CheckReport check_plugin(const CheckWish& wish);

// For people, one line a check and a summary; for programs; for CI systems.
std::string text_of(const CheckReport& report);
std::string json_of(const CheckReport& report);
std::string junit_of(const CheckReport& report);

}  // namespace tenure
