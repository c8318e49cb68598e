// What one session shows a policy in a call, and where it hears what the policy says. The plugin holds its address meanwhile.
#pragma once

#include "session/keep_set_builder.h"
#include "session/views.h"

namespace tenure {

struct PolicySeat {
  PolicyView view;
  KeepSetBuilder keepset;
  tenure_evidence evidence{};
};

}  // namespace tenure
