#include <algorithm>
#include <cstring>

#include "device.h"

namespace tenure::cpu {
namespace {

// gate = activation(gate) * up, n floats
using Activate = void (*)(float* gate, const float* up, uint32_t n);

// h = activation(gate x) * (up x).
struct Gated {
  const LayerWeights& w;
  Activate activate;
  float* h;  // (n_rows, n_ff)
};

// One task's rows and groups; `tile` takes the up projection. Many rows go panel by panel, so that the tile
// stays in L2; few rows go through in one long read.
void multiply_gated(const Device& device, const Gated& gated, const ReadyRows& rows, Cut::Part part,
                    float* tile) {
  const uint32_t end = part.group_end;
  const uint32_t n_rows = part.row_end - part.row_begin;
  const uint32_t step = n_rows > kFewRows ? kPanelGroups : end - part.group_begin;
  for (; part.group_begin < end; part.group_begin = part.group_end) {
    part.group_end = std::min(part.group_begin + step, end);
    const LinearTask gate = linear_task({&gated.w.gate, gated.h, nullptr, false}, rows, part);
    LinearTask up = linear_task({&gated.w.up, gated.h, nullptr, false}, rows, part);
    const uint32_t width = (part.group_end - part.group_begin) * kGroupRows;
    up.out = tile;
    up.out_stride = width;
    device.kernels->linear(gate);
    device.kernels->linear(up);
    for (uint32_t r = 0; r < n_rows; ++r) {
      gated.activate(gate.out + r * gate.out_stride, tile + uint64_t{r} * width, width);
    }
  }
}

Activate activation(const Device& device, const Weights& weights) {
  return weights.activation() == TENURE_ACTIVATION_SILU ? device.kernels->silu_mul : device.kernels->gelu_mul;
}

}  // namespace

void mlp(Device& device, const Weights& weights, uint32_t layer, uint32_t n_rows, float* x) {
  const LayerWeights& w = weights.layer(layer);
  const uint32_t n_embd = weights.n_embd();
  const uint32_t n_ff = weights.n_ff();
  float* h = device.workspace.feed_forward;
  const uint32_t n_workers = device.exec.n_workers();
  const Gated gated{w, activation(device, weights), h};

  const Cut cut(n_rows, w.gate.n_groups(), n_workers);
  const auto norm = [&](uint32_t row, float* plain, ActivationBlock* blocks) {
    device.kernels->rms_norm(x + uint64_t{row} * n_embd, w.ffn_norm, n_embd, weights.norm_epsilon(), plain);
    device.kernels->quantise(plain, n_embd, blocks);
  };
  with_ready_rows(device, n_rows, n_embd, cut.n_tasks(), norm,
                  [&](uint32_t task, uint32_t worker, const ReadyRows& rows) {
                    multiply_gated(device, gated, rows, cut.part(task),
                                   device.workspace.workers[worker].tile);
                  });

  const Product down = block_product(device, w.down, w.ffn_post_norm, x);
  const Cut down_cut(n_rows, w.down.n_groups(), n_workers);
  const auto ready = [&](uint32_t row, float* plain, ActivationBlock* blocks) {
    const float* from = h + uint64_t{row} * n_ff;
    if (is_quantised(w.down.dtype)) {
      device.kernels->quantise(from, n_ff, blocks);
    } else {
      std::memcpy(plain, from, n_ff * sizeof(float));
    }
  };
  with_ready_rows(device, n_rows, n_ff, down_cut.n_tasks(), ready,
                  [&](uint32_t task, uint32_t, const ReadyRows& rows) {
                    device.kernels->linear(linear_task(down, rows, down_cut.part(task)));
                  });
  if (w.ffn_post_norm) add_normed(device, weights, w.ffn_post_norm, n_rows, x);
}

}  // namespace tenure::cpu
