#include "device.h"

namespace tenure::cpu {

Product block_product(const Device& device, const PackedMatrix& weight, const float* post_norm, float* x) {
  if (!post_norm) return {&weight, x, nullptr, true};
  return {&weight, device.workspace.block_output, nullptr, false};
}

void add_normed(const Device& device, const Weights& weights, const float* post_norm, uint32_t n_rows,
                float* x) {
  const uint32_t n_embd = weights.n_embd();
  const float* added = device.workspace.block_output;
  for_rows(device, n_rows, [&](uint32_t row) {
    const uint64_t at = uint64_t{row} * n_embd;
    device.kernels->add_rms_norm(added + at, post_norm, n_embd, weights.norm_epsilon(), x + at);
  });
}

}  // namespace tenure::cpu
