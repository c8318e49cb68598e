// One request put through an engine by a thread that has nothing else to do.
#pragma once

#include <memory>

#include "engine/engine.h"

namespace tenure {

// Waits for the engine's thread, so never on it.
SessionResult run_to_end(Engine& engine, std::shared_ptr<const SessionScript> script);

}  // namespace tenure
