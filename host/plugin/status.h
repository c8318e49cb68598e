// The outcome of a call into a plugin.
#pragma once

#include <tenure/abi.h>

#include <string>

namespace tenure {

// Inside the engine's loop failures are values. Nothing is allocated when all is well.
struct Status {
  tenure_status code = TENURE_OK;
  std::string where;  // "cpu.attend": the plugin and its function or op
  std::string text;   // one line for a person

  bool ok() const { return code == TENURE_OK; }
};

// "BAD_PLAN", or "status 17" for a number outside the list.
std::string status_name(tenure_status);
// "locret.select: BAD_PLAN: slot 7 named twice"
std::string to_text(const Status&);

}  // namespace tenure
