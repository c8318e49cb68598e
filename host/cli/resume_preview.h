// What a run into an existing RUN would find there: which rows it would skip, or why it would refuse.
#pragma once

#include <string>

#include "plan/plan.h"

namespace tenure::cli {

// Text for people; reads RUN and the inputs, writes nothing. Throws Error for inputs that cannot be read.
std::string resume_preview(const Plan& plan, const std::string& run);

}  // namespace tenure::cli
