// What may stand between the host and one policy's hooks: `tenure plugin check` judges a policy through it. A
// run never has one.
#pragma once

#include <tenure/policy.h>

#include <cstdint>
#include <span>

#include "plugin/status.h"

namespace tenure {

// Engine's thread. The evidence, keepsets and views it gives back are what the plugin is handed; they stay
// valid until leave().
class PolicyWatch {
 public:
  virtual ~PolicyWatch() = default;

  virtual tenure_keepset* prepare(const tenure_view&, tenure_keepset&) = 0;
  virtual std::span<const tenure_evidence* const> observe(uint32_t layer,
                                                          std::span<const tenure_evidence* const>) = 0;
  virtual std::span<tenure_keepset* const> select(uint32_t layer, std::span<const tenure_view* const>,
                                                  std::span<tenure_keepset* const>) = 0;
  // Around begin, prepare, observe, select and end. statuses: a sequence's each, of observe and select.
  virtual void enter(const char* hook) = 0;
  virtual void leave(const Status&, std::span<const tenure_status> statuses) = 0;
};

}  // namespace tenure
