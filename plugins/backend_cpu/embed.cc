#include <algorithm>

#include "device.h"

namespace tenure::cpu {

void embed(Device& device, const Weights& weights, const tenure_forward& forward, float* x) {
  constexpr uint32_t kRowsPerTask = 8;
  const uint32_t n_embd = weights.n_embd();
  const float scale = weights.embedding_scale();
  device.exec.for_each((forward.n_rows + kRowsPerTask - 1) / kRowsPerTask, [&](uint32_t task, uint32_t) {
    const uint32_t begin = task * kRowsPerTask;
    for (uint32_t row = begin; row < std::min(begin + kRowsPerTask, forward.n_rows); ++row) {
      float* out = x + uint64_t{row} * n_embd;
      unpack_row(weights.token_embd(), static_cast<uint32_t>(forward.ids[row]), out);
      if (scale == 1.0f) continue;
      for (uint32_t i = 0; i < n_embd; ++i) out[i] *= scale;
    }
  });
}

}  // namespace tenure::cpu
