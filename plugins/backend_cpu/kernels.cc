#include "kernels.h"

#include <cstring>

namespace tenure::cpu {
namespace {

struct Candidate {
  const Kernels* kernels;
  bool usable;
};

}  // namespace

const Kernels* choose_kernels(const char* forced) {
  __builtin_cpu_init();
  const bool avx2 =
      __builtin_cpu_supports("avx2") && __builtin_cpu_supports("fma") && __builtin_cpu_supports("f16c");
  const bool avx512 = avx2 && __builtin_cpu_supports("avx512f") && __builtin_cpu_supports("avx512bw") &&
                      __builtin_cpu_supports("avx512vl") && __builtin_cpu_supports("avx512dq") &&
                      __builtin_cpu_supports("avx512vnni");
  const Candidate best_first[] = {{&kAvx512Kernels, avx512}, {&kAvx2Kernels, avx2}, {&kScalarKernels, true}};
  for (const Candidate& candidate : best_first) {
    const bool wanted =
        forced == nullptr || *forced == '\0' || std::strcmp(forced, candidate.kernels->name) == 0;
    if (candidate.usable && wanted) return candidate.kernels;
  }
  return nullptr;
}

}  // namespace tenure::cpu
