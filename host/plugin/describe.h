// Plugins as text for people: `tenure plugin list`, `show` and `doctor`.
#pragma once

#include <string>

#include "plugin/find.h"

namespace tenure {

// One line a plugin that would be taken: id, kind, version, summary.
std::string list_text(const PluginSearch&);

// What the manifest says: ABI, needs, defaults of host keys, parameters with their ranges.
std::string show_text(const PluginFile&);

struct PluginHealth {
  std::string text;        // the search trace, then a verdict and a fix for every library found
  bool is_healthy = true;  // false: something was skipped or would be refused
};
// Reads and hashes, runs no plugin code.
PluginHealth doctor(const PluginSearch&);

}  // namespace tenure
