#include "device.h"

namespace tenure::cpu {

void attn_out(Device& device, const Weights& weights, const tenure_forward& forward, uint32_t layer,
              const float* in, float* x) {
  const PackedMatrix& w = weights.layer(layer).attn_out;
  const float* post_norm = weights.layer(layer).attn_post_norm;
  for_spans(device, forward, [&](const RowSpan& span) {
    const uint64_t first = span.first;
    float* added_to = x + first * w.n_out;
    const Product product = block_product(device, w, post_norm, added_to);
    const Cut cut(span.n_rows, w.n_groups(), device.exec.n_workers());
    const RowForms forms = forms_for(span, {&w});
    const auto ready = [&](uint32_t r, const ReadyRows& row) {
      write_forms(device, forms, in + (first + r) * w.n_in, w.n_in, row);
    };
    with_ready_rows(device, span, w.n_in, cut.n_tasks(), ready,
                    [&](uint32_t task, uint32_t worker, const ReadyRows& rows) {
                      multiply(device, linear_task(product, rows, cut.part(task)), rows, worker);
                    });
    if (post_norm) add_normed(device, weights, post_norm, span.n_rows, added_to);
  });
}

}  // namespace tenure::cpu
