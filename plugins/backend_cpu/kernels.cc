#include "kernels.h"

#include "amx.h"
#include "code_path.h"
#include "net_products.h"

namespace tenure::cpu {
namespace {

struct Candidate {
  const Kernels* kernels;
  const PrefillProducts* prefill;
  const char* family;
  bool usable;
};

Candidate choose(const char* forced) {
  __builtin_cpu_init();
  const bool avx2 =
      __builtin_cpu_supports("avx2") && __builtin_cpu_supports("fma") && __builtin_cpu_supports("f16c");
  const bool avx512 = avx2 && __builtin_cpu_supports("avx512f") && __builtin_cpu_supports("avx512bw") &&
                      __builtin_cpu_supports("avx512vl") && __builtin_cpu_supports("avx512dq") &&
                      __builtin_cpu_supports("avx512vnni");
  // Asked for only where it would be used: the permission is the whole process's, and enlarges its signal frames.
  const bool amx = is_wanted(forced, "amx") && avx512 && __builtin_cpu_supports("avx512bf16") && amx_permitted();
  const Candidate best_first[] = {{&kAvx512Kernels, &kAmxProducts, "amx", amx},
                                  {&kAvx512Kernels, nullptr, "avx512", avx512},
                                  {&kAvx2Kernels, nullptr, "avx2", avx2},
                                  {&kScalarKernels, nullptr, "scalar", true}};
  for (const Candidate& candidate : best_first) {
    if (candidate.usable && is_wanted(forced, candidate.family)) return candidate;
  }
  return {};
}

}  // namespace

const Kernels* choose_kernels(const char* forced) {
  return choose(forced).kernels;
}

const PrefillProducts* choose_prefill_products(const char* forced) {
  return choose(forced).prefill;
}

const PairProducts* choose_pair_products(const char* forced) {
  const Candidate chosen = choose(forced);
  const bool has_pairs = chosen.kernels == &kAvx512Kernels && __builtin_cpu_supports("avx512bf16");
  return has_pairs ? &kAvx512PairProducts : nullptr;
}

}  // namespace tenure::cpu
