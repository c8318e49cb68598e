// [[alert]]: what is told of a running request. Internal to this room.
#pragma once

#include <vector>

#include "plan/gates.h"

namespace tenure {

std::vector<AlertPlan> read_alerts(const TomlValue& root, const GateScope&, Findings&);

}  // namespace tenure
