#include "emulated_kernels.h"

namespace tenure::cpu {

bool can_emulate_tiles() {
  __builtin_cpu_init();
  return choose_kernels("avx512") != nullptr && __builtin_cpu_supports("avx512bf16");
}

}  // namespace tenure::cpu
