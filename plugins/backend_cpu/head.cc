#include <algorithm>
#include <cmath>
#include <cstring>
#include <limits>

#include "device.h"

namespace tenure::cpu {
namespace {

constexpr uint32_t kSliceWidth = kSliceGroups * kGroupRows;

// What one slice of a row's logits, starting at `first`, tells this want.
void hand_over(const tenure_want& want, const float* logits, uint32_t first, uint32_t n) {
  if (want.flags & TENURE_WANT_FULL) std::memcpy(want.full + first, logits, n * sizeof(float));
  if (want.flags & TENURE_WANT_LOGITS_AT) {
    for (uint32_t i = 0; i < want.n_ids; ++i) {
      const uint32_t id = static_cast<uint32_t>(want.ids[i]);
      if (id >= first && id - first < n) want.logits_at[i] = logits[id - first];
    }
  }
}

// Merges a row's slices in ascending order; every number has one order of additions, whatever the batch.
tenure_logits merge(const LogitSlice* slices, uint32_t n_slices) {
  tenure_logits row{.argmax = 0,
                    .max_logit = -std::numeric_limits<float>::infinity(),
                    .logsumexp = 0,
                    .status = TENURE_OK,
                    .reserved0 = 0};
  for (uint32_t s = 0; s < n_slices; ++s) {
    const LogitSlice& slice = slices[s * kHeadRows];
    if (!slice.finite) {
      constexpr float nan = std::numeric_limits<float>::quiet_NaN();
      return {.argmax = -1, .max_logit = nan, .logsumexp = nan, .status = TENURE_NUMERIC, .reserved0 = 0};
    }
    if (slice.max > row.max_logit) {
      row.max_logit = slice.max;
      row.argmax = static_cast<int32_t>(s * kSliceWidth + slice.argmax);
    }
  }
  double sum = 0;
  for (uint32_t s = 0; s < n_slices; ++s) {
    const LogitSlice& slice = slices[s * kHeadRows];
    sum += static_cast<double>(slice.sum_exp) * std::exp(static_cast<double>(slice.max) - row.max_logit);
  }
  row.logsumexp = row.max_logit + std::log(sum);
  return row;
}

// At most kHeadRows wants.
void some_logits(Device& device, const Weights& weights, const tenure_forward& forward, const float* x,
                 uint32_t n_wants, const tenure_want* wants) {
  const PackedMatrix& w = weights.head();
  const uint32_t n_embd = weights.n_embd();
  const uint32_t n_slices = (w.n_groups() + kSliceGroups - 1) / kSliceGroups;
  LogitSlice* slices = device.workspace.slices;
  // Of whatever kind the rows are: a few rows against a large matrix want the products of decode.
  const RowSpan span{.first = 0, .n_rows = n_wants, .prefill = nullptr};
  const RowForms forms = forms_for(span, {&w});
  const auto ready = [&](uint32_t i, const ReadyRows& row) {
    const float sum = device.kernels->rms_norm(x + uint64_t{wants[i].row} * n_embd, weights.output_norm(),
                                               n_embd, weights.norm_epsilon(), row.plain);
    write_forms(device, forms, row.plain, n_embd, row);
    if (!std::isfinite(sum)) note_bad_row(forward, wants[i].row, weights.n_layers());
  };
  const auto slice = [&](uint32_t s, uint32_t worker, const ReadyRows& rows) {
    float* logits = device.workspace.workers[worker].tile;
    const uint32_t first = s * kSliceWidth;
    const uint32_t n = std::min(kSliceWidth, w.n_out - first);
    LinearTask task =
        linear_task({&w, logits, nullptr, false}, rows,
                    {0, n_wants, s * kSliceGroups, std::min((s + 1) * kSliceGroups, w.n_groups())});
    task.out = logits;
    task.out_stride = kSliceWidth;
    multiply(device, task, rows, worker);
    for (uint32_t i = 0; i < n_wants; ++i) {
      const float* row = logits + uint64_t{i} * kSliceWidth;
      slices[s * kHeadRows + i] = device.kernels->reduce_logits(row, n);
      hand_over(wants[i], row, first, n);
    }
  };
  with_ready_rows(device, span, n_embd, n_slices, ready, slice);
  for (uint32_t i = 0; i < n_wants; ++i) *wants[i].result = merge(slices + i, n_slices);
}

}  // namespace

void head_logits(Device& device, const Weights& weights, const tenure_forward& forward, const float* x,
                 uint32_t n_wants, const tenure_want* wants) {
  for (uint32_t first = 0; first < n_wants; first += kHeadRows) {
    some_logits(device, weights, forward, x, std::min(kHeadRows, n_wants - first), wants + first);
  }
}

}  // namespace tenure::cpu
