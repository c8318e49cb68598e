/* What policies that score write again and again: inline helpers over policy.h. No part of the ABI: a plugin may leave it
 * out. All but tenure_select_by_state are [pure].
 */
#ifndef TENURE_SCORER_H
#define TENURE_SCORER_H

#include <stddef.h>
#include <tenure/policy.h>
#include <tenure/wide.h>

#ifdef __cplusplus
extern "C" {
#endif

static inline const tenure_head_view* tenure_head_at(const tenure_view* view, uint32_t head) {
  return (const tenure_head_view*)((const char*)view->heads + (uint64_t)head * view->head_stride);
}

/* n_slots of the longest head: what scratch for any of them takes. */
static inline uint32_t tenure_longest_head(const tenure_view* view) {
  uint32_t longest = 0;
  for (uint32_t h = 0; h < view->n_heads; ++h)
    if (tenure_head_at(view, h)->n_slots > longest) longest = tenure_head_at(view, h)->n_slots;
  return longest;
}

static inline const tenure_layer_info* tenure_layer_at(const tenure_model_info* model, uint32_t layer) {
  return (const tenure_layer_info*)((const char*)model->layers + (uint64_t)layer * model->layer_stride);
}

/* Row i of a head in an evidence view (n_rows, n_heads, width); (n_rows, width) is one head. */
static inline const float* tenure_row_at(const tenure_f32_view* rows, uint32_t i, uint32_t head) {
  return rows->data + i * rows->stride[0] + (rows->n_dims == 3 ? head * rows->stride[1] : 0);
}

/* Sum of a[i] * b[i]. Sixteen sums side by side: compilers make vectors of them without changing the order of additions, so
 * every machine gets the same bits unless it is told to contract. */
static inline float tenure_dot(const float* a, const float* b, uint32_t n) {
  float sums[16] = {0};
  uint32_t i = 0;
  for (; i + 16 <= n; i += 16)
    for (uint32_t lane = 0; lane < 16; ++lane) sums[lane] += a[i + lane] * b[i + lane];
  for (; i < n; ++i) sums[i % 16] += a[i] * b[i];
  for (uint32_t half = 8; half > 0; half /= 2)
    for (uint32_t lane = 0; lane < half; ++lane) sums[lane] += sums[lane + half];
  return sums[0];
}

/* out[i] = the average or the largest of in[i - reach] to in[i + reach]. Beyond the ends an average counts zeros, as a padded
 * pooling layer does. out must not be in. */
static inline void tenure_pool_1d(const float* in, uint32_t n, uint32_t reach, int is_max, float* out) {
  for (uint32_t i = 0; i < n; ++i) {
    const uint32_t first = i > reach ? i - reach : 0;
    const uint32_t last = i + reach < n ? i + reach : n - 1;
    float pooled = is_max ? in[i] : 0.0f;
    for (uint32_t j = first; j <= last; ++j) pooled = !is_max ? pooled + in[j] : in[j] > pooled ? in[j] : pooled;
    out[i] = is_max ? pooled : pooled / (float)(2 * reach + 1);
  }
}

/* Grey-scale closing by a segment of `length` positions (Serra, "Image Analysis and Mathematical Morphology", 1982): what lies
 * between two higher values at most `length` positions apart is lifted to the lower of them. A position that is missing counts
 * as lowest; nobody looks past a slot whose position (pos (n)) does not ascend. out must not be in. */
static inline void tenure_close_1d(const float* in, const int32_t* pos, uint32_t n, int32_t length, float* out) {
  for (uint32_t i = 0; i < n; ++i) {
    float lifted = in[i];
    for (uint32_t left = i; left-- > 0 && pos[left] < pos[left + 1] && pos[i] - pos[left] < length;)
      for (uint32_t right = i + 1; right < n && in[left] > lifted; ++right) {
        if (pos[right] <= pos[right - 1] || pos[right] - pos[left] > length) break;
        const float lower = in[left] < in[right] ? in[left] : in[right];
        if (lower > lifted) lifted = lower;
      }
    out[i] = lifted;
  }
}

/* A tenure_policy_api.select for a policy whose slots have their scores as state, one float each. */
static inline tenure_status tenure_select_by_state(tenure_policy* self, const tenure_call* call, uint32_t layer, uint32_t n,
                                                   const tenure_view* const* views, tenure_keepset* const* keepsets,
                                                   tenure_status* statuses, tenure_error* error) {
  (void)self, (void)call, (void)views;
  for (uint32_t s = 0; s < n; ++s) statuses[s] = keepsets[s]->score(keepsets[s], layer, NULL, NULL, error);
  return TENURE_OK;
}

/* out[i] += factor * x[i] */
static inline void tenure_add_scaled(float* out, float factor, const float* x, uint32_t n) {
  for (uint32_t i = 0; i < n; ++i) out[i] += factor * x[i];
}

#ifdef __cplusplus
}
#endif

#endif
