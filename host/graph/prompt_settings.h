// A stage of the plan as the session room takes it.
#pragma once

#include <chrono>

#include "graph/runtime.h"
#include "plan/plan.h"
#include "session/prompt.h"

namespace tenure {

// `stage` generates or scores, and belongs to the cell that the runtime has loaded.
PromptSettings prompt_settings(const StagePlan& stage, const Runtime& runtime, std::chrono::nanoseconds time_limit);

}  // namespace tenure
