// What `tenure doctor` knows of a machine: facts, what they mean for a run, and what would mend them.
#pragma once

#include <string>
#include <vector>

#include "plugin/find.h"

namespace tenure::cli {

enum class FactVerdict { ok, note, bad };  // bad: a run would fail

struct Fact {
  std::string name;
  std::string fact;
  FactVerdict verdict = FactVerdict::ok;
  std::string fix;  // what to do; empty when ok
};

std::vector<Fact> processor_facts();    // CPU, threads
std::vector<Fact> memory_facts();       // memory, its limits, huge pages
std::vector<Fact> environment_facts();  // variables, locale, limits of the shell, the scheduler
// Writes and removes one small file in `folder`, where runs would go.
std::vector<Fact> disk_facts(const std::string& folder);
// Loads the backend (empty: the default one) and asks for its device and code path.
std::vector<Fact> plugin_facts(const PluginSearch& search, const std::string& backend);

}  // namespace tenure::cli
