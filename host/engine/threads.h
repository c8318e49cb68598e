// How many threads the process may use.
#pragma once

#include <cstdint>

namespace tenure {

// The least of: CPUs in the affinity mask, the cgroup's CPU quota (rounded up), SLURM_CPUS_PER_TASK. At least 1.
uint32_t usable_threads();

}  // namespace tenure
