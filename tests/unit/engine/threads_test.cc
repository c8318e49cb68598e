#include "engine/threads.h"

#include <doctest/doctest.h>
#include <sched.h>
#include <stdlib.h>

#include <initializer_list>

namespace tenure {

TEST_CASE("usable_threads - SLURM's word lowers it, nonsense does not") {
  unsetenv("SLURM_CPUS_PER_TASK");
  const uint32_t all = usable_threads();
  CHECK(all >= 1);
  setenv("SLURM_CPUS_PER_TASK", "1", 1);
  CHECK(usable_threads() == 1);
  for (const char* text : {"", "0", "two", "1000000"}) {
    setenv("SLURM_CPUS_PER_TASK", text, 1);
    CHECK(usable_threads() == all);
  }
  unsetenv("SLURM_CPUS_PER_TASK");
}

TEST_CASE("usable_threads - an affinity mask of one CPU means one thread") {
  cpu_set_t before, one;
  REQUIRE(sched_getaffinity(0, sizeof before, &before) == 0);
  CPU_ZERO(&one);
  for (int cpu = 0; cpu < CPU_SETSIZE; ++cpu) {
    if (!CPU_ISSET(cpu, &before)) continue;
    CPU_SET(cpu, &one);
    break;
  }
  REQUIRE(sched_setaffinity(0, sizeof one, &one) == 0);
  CHECK(usable_threads() == 1);
  sched_setaffinity(0, sizeof before, &before);
}

}  // namespace tenure
