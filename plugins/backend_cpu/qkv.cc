#include <cmath>
#include <cstring>

#include "device.h"

namespace tenure::cpu {

namespace {

// Every head of q and k, normed where it lies: its sum of squares is over outputs of more than one task.
void norm_heads(const Device& device, const Weights& weights, uint32_t n_rows, const QkvCall& call) {
  const LayerWeights& w = weights.layer(call.layer);
  const uint32_t head_dim = weights.layer_info(call.layer).head_dim;
  const uint32_t n_kv_heads = weights.layer_info(call.layer).n_kv_heads;
  const auto norm = [&](float* row, uint32_t n_heads, const float* gain) {
    for (float* head = row; head != row + uint64_t{n_heads} * head_dim; head += head_dim)
      device.kernels->rms_norm(head, gain, head_dim, weights.norm_epsilon(), head);
  };
  for_rows(device, n_rows, [&](uint32_t row) {
    norm(call.q + uint64_t{row} * weights.n_heads() * head_dim, weights.n_heads(), w.q_norm);
    norm(call.k + uint64_t{row} * n_kv_heads * head_dim, n_kv_heads, w.k_norm);
  });
}

void qkv_of(Device& device, const Weights& weights, const tenure_forward& forward, const QkvCall& call,
            const RowSpan& span) {
  const LayerWeights& w = weights.layer(call.layer);
  const uint32_t n_embd = weights.n_embd();
  const uint64_t first = span.first;
  const Product products[] = {{&w.q, call.q + first * w.q.n_out, w.q_bias, false},
                              {&w.k, call.k + first * w.k.n_out, w.k_bias, false},
                              {&w.v, call.v + first * w.v.n_out, w.v_bias, false}};
  // One task size for all three: the small matrices do not become small tasks.
  const Cut all(span.n_rows, w.q.n_groups() + w.k.n_groups() + w.v.n_groups(), device.exec.n_workers());
  const Cut cuts[] = {all.over(w.q.n_groups()), all.over(w.k.n_groups()), all.over(w.v.n_groups())};

  const RowForms forms = forms_for(span, {&w.q, &w.k, &w.v});
  const auto ready = [&](uint32_t r, const ReadyRows& row) {
    const float* x = call.x + (first + r) * n_embd;
    const float sum = device.kernels->rms_norm(x, w.attn_norm, n_embd, weights.norm_epsilon(), row.plain);
    write_forms(device, forms, row.plain, n_embd, row);
    if (!std::isfinite(sum)) note_bad_row(forward, span.first + r, call.layer);
  };
  const auto run = [&](uint32_t task, uint32_t worker, const ReadyRows& rows) {
    if (call.hidden && task == 0)
      std::memcpy(call.hidden + first * n_embd, rows.plain, uint64_t{span.n_rows} * n_embd * sizeof(float));
    uint32_t i = 0;
    for (; task >= cuts[i].n_tasks(); ++i) task -= cuts[i].n_tasks();
    multiply(device, linear_task(products[i], rows, cuts[i].part(task)), rows, worker);
  };
  with_ready_rows(device, span, n_embd, cuts[0].n_tasks() + cuts[1].n_tasks() + cuts[2].n_tasks(), ready,
                  run);
}

}  // namespace

void qkv(Device& device, const Weights& weights, const tenure_forward& forward, const QkvCall& call) {
  for_spans(device, forward, [&](const RowSpan& span) { qkv_of(device, weights, forward, call, span); });
  if (weights.layer(call.layer).q_norm) norm_heads(device, weights, forward.n_rows, call);
}

}  // namespace tenure::cpu
