#include "engine/threads.h"

#include <sched.h>

#include <algorithm>
#include <charconv>
#include <cstdlib>
#include <cstring>
#include <fstream>
#include <string>

namespace tenure {
namespace {

// cgroup v2's "max 100000" or "150000 100000".
uint32_t cgroup_cpus() {
  std::ifstream file("/sys/fs/cgroup/cpu.max");
  std::string quota;
  double period = 0;
  if (!(file >> quota >> period) || quota == "max" || period <= 0) return UINT32_MAX;
  const double cpus = std::strtod(quota.c_str(), nullptr) / period;
  return static_cast<uint32_t>(std::clamp(cpus + 0.999, 1.0, 65536.0));
}

uint32_t slurm_cpus() {
  const char* text = std::getenv("SLURM_CPUS_PER_TASK");
  uint32_t cpus = 0;
  if (text == nullptr) return UINT32_MAX;
  const auto parsed = std::from_chars(text, text + std::strlen(text), cpus);
  return parsed.ec == std::errc() && cpus > 0 ? cpus : UINT32_MAX;
}

}  // namespace

uint32_t usable_threads() {
  cpu_set_t set;
  CPU_ZERO(&set);
  const uint32_t affinity = sched_getaffinity(0, sizeof set, &set) == 0 ? static_cast<uint32_t>(CPU_COUNT(&set)) : 1;
  return std::max(1u, std::min({affinity, cgroup_cpus(), slurm_cpus()}));
}

}  // namespace tenure
