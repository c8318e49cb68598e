#include <algorithm>

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

// One task's rows and groups; the worker's tile takes the up projection. Many rows go panel by
// panel, so that the tile stays in L2; few rows go through in one long read.
void multiply_gated(const Device& device, const Gated& gated, const ReadyRows& rows, Cut::Part part,
                    uint32_t worker) {
  float* tile = device.workspace.workers[worker].tile;
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
    multiply(device, gate, rows, worker);
    multiply(device, up, rows, worker);
    for (uint32_t r = 0; r < n_rows; ++r) {
      gated.activate(gate.out + r * gate.out_stride, tile + uint64_t{r} * width, width);
    }
  }
}

Activate activation(const Device& device, const Weights& weights) {
  return weights.activation() == TENURE_ACTIVATION_SILU ? device.kernels->silu_mul : device.kernels->gelu_mul;
}

void mlp_of(Device& device, const Weights& weights, uint32_t layer, const RowSpan& span, float* x) {
  const LayerWeights& w = weights.layer(layer);
  const uint32_t n_embd = weights.n_embd();
  const uint32_t n_ff = weights.n_ff();
  float* h = device.workspace.feed_forward;
  const uint32_t n_workers = device.exec.n_workers();
  const Gated gated{w, activation(device, weights), h};

  const Cut cut(span.n_rows, w.gate.n_groups(), n_workers);
  const RowForms forms = forms_for(span, {&w.gate, &w.up});
  const auto norm = [&](uint32_t r, const ReadyRows& row) {
    device.kernels->rms_norm(x + uint64_t{r} * n_embd, w.ffn_norm, n_embd, weights.norm_epsilon(), row.plain);
    write_forms(device, forms, row.plain, n_embd, row);
  };
  with_ready_rows(device, span, n_embd, cut.n_tasks(), norm,
                  [&](uint32_t task, uint32_t worker, const ReadyRows& rows) {
                    multiply_gated(device, gated, rows, cut.part(task), worker);
                  });

  const Product down = block_product(device, w.down, w.ffn_post_norm, x);
  const Cut down_cut(span.n_rows, w.down.n_groups(), n_workers);
  const RowForms down_forms = forms_for(span, {&w.down});
  const auto ready = [&](uint32_t r, const ReadyRows& row) {
    write_forms(device, down_forms, h + uint64_t{r} * n_ff, n_ff, row);
  };
  with_ready_rows(device, span, n_ff, down_cut.n_tasks(), ready,
                  [&](uint32_t task, uint32_t worker, const ReadyRows& rows) {
                    multiply(device, linear_task(down, rows, down_cut.part(task)), rows, worker);
                  });
  if (w.ffn_post_norm) add_normed(device, weights, w.ffn_post_norm, span.n_rows, x);
}

}  // namespace

void mlp(Device& device, const Weights& weights, const tenure_forward& forward, uint32_t layer, float* x) {
  for_spans(device, forward, [&](const RowSpan& span) {
    mlp_of(device, weights, layer, span, x + uint64_t{span.first} * weights.n_embd());
  });
}

}  // namespace tenure::cpu
