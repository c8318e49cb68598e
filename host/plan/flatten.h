// A Plan as text: for comparing run directories and for people.
#pragma once

#include <map>
#include <string>
#include <string_view>

#include "plan/plan.h"

namespace tenure {

// Dotted key → canonical value text: "stage.evicted.policy.budget" → "1/8". What differs between cells has
// the cell's name behind the key: "stage.evicted.policy.budget @ policy.locret.budget=1/8". Two plans are the
// same exactly when their maps are, keys that may differ apart.
std::map<std::string, std::string> flatten(const Plan&);

// Keys that change neither which rows a run has nor what is in them (threads, syncing, limits on errors,
// gates, alerts, writers), so that a run may be resumed with other values.
bool may_differ(std::string_view key);

// What `tenure plan` prints: cells, stages and every resolved value.
std::string plan_text(const Plan&);

}  // namespace tenure
