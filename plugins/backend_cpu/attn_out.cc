#include "device.h"

namespace tenure::cpu {

void attn_out(Device& device, const Weights& weights, const tenure_forward& forward, uint32_t layer,
              const float* in, float* x) {
  const PackedMatrix& w = weights.layer(layer).attn_out;
  for_spans(device, forward, [&](const RowSpan& span) {
    const uint64_t first = span.first;
    const Product product{&w, x + first * w.n_out, nullptr, true};
    const Cut cut(span.n_rows, w.n_groups(), device.exec.n_workers());
    const RowForms forms = forms_for(span, {&w});
    const auto ready = [&](uint32_t r, const ReadyRows& row) {
      write_forms(device, forms, in + (first + r) * w.n_in, w.n_in, row);
    };
    with_ready_rows(device, span, w.n_in, cut.n_tasks(), ready,
                    [&](uint32_t task, uint32_t worker, const ReadyRows& rows) {
                      multiply(device, linear_task(product, rows, cut.part(task)), rows, worker);
                    });
  });
}

}  // namespace tenure::cpu
