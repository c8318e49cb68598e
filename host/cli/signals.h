// SIGINT, SIGTERM and SIGHUP: the first asks a run to drain, the second ends the process at once with 128 + its number.
#pragma once

#include <atomic>

namespace tenure::cli {

// Installs the handlers once; the flag becomes true with the first signal. Whole rows are on disk at any moment (one
// write(2) a row), so the second may end the process anywhere.
const std::atomic<bool>& stop_requested();

}  // namespace tenure::cli
