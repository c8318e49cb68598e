#include <cstring>

#include "device.h"

namespace tenure::cpu {

void attn_out(Device& device, const Weights& weights, uint32_t layer, uint32_t n_rows, const float* in,
              float* x) {
  const PackedMatrix& w = weights.layer(layer).attn_out;
  const float* post_norm = weights.layer(layer).attn_post_norm;
  const Product product = block_product(device, w, post_norm, x);
  const Cut cut(n_rows, w.n_groups(), device.exec.n_workers());
  const auto ready = [&](uint32_t row, float* plain, ActivationBlock* blocks) {
    const float* from = in + uint64_t{row} * w.n_in;
    if (is_quantised(w.dtype)) {
      device.kernels->quantise(from, w.n_in, blocks);
    } else {
      std::memcpy(plain, from, w.n_in * sizeof(float));
    }
  };
  with_ready_rows(device, n_rows, w.n_in, cut.n_tasks(), ready,
                  [&](uint32_t task, uint32_t, const ReadyRows& rows) {
                    device.kernels->linear(linear_task(product, rows, cut.part(task)));
                  });
  if (post_norm) add_normed(device, weights, post_norm, n_rows, x);
}

}  // namespace tenure::cpu
