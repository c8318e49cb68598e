#include <algorithm>

#include "device.h"

namespace tenure::cpu {

void embed(Device& device, const Weights& weights, const tenure_forward& forward, float* x) {
  constexpr uint32_t kRowsPerTask = 8;
  device.exec.for_each((forward.n_rows + kRowsPerTask - 1) / kRowsPerTask, [&](uint32_t task, uint32_t) {
    const uint32_t begin = task * kRowsPerTask;
    for (uint32_t row = begin; row < std::min(begin + kRowsPerTask, forward.n_rows); ++row) {
      unpack_row(weights.token_embd(), static_cast<uint32_t>(forward.ids[row]),
                 x + uint64_t{row} * weights.n_embd());
    }
  });
}

}  // namespace tenure::cpu
