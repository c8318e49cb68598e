/* K-norm. Devoto, Zhao, Scardapane, Minervini, "A Simple and Effective L2 Norm-Based Strategy for KV Cache
 * Compression", EMNLP 2024, arXiv 2406.11430, section 3: keys with a low L2 norm draw the most attention.
 *
 * Score of a slot: -||k||_2, made when its token is fed and never again. RoPE turns a key and leaves its
 * length.
 *
 * Deviations: four sinks stay (n_sink; the paper has none, and leaves its first two layers whole, which a
 * budget over all layers does not).
 */
#include <math.h>
#include <stddef.h>
#include <tenure/entry.h>
#include <tenure/scorer.h>

static tenure_status note_norms(tenure_policy* self, const tenure_call* call, uint32_t layer, uint32_t n,
                                const tenure_evidence* const* evidence, tenure_status* statuses,
                                tenure_error* error) {
  (void)self, (void)call, (void)layer, (void)statuses, (void)error;
  for (uint32_t s = 0; s < n; ++s) {
    const tenure_f32_view* keys = &evidence[s]->k_post;
    const uint32_t head_dim = (uint32_t)keys->shape[2];
    for (uint32_t h = 0; h < evidence[s]->view->n_heads; ++h) {
      const tenure_head_view* head = tenure_head_at(evidence[s]->view, h);
      float* score = head->state + (head->n_slots - evidence[s]->n_rows);
      for (uint32_t i = 0; i < evidence[s]->n_rows; ++i) {
        const float* key = tenure_row_at(keys, i, h);
        score[i] = -sqrtf(tenure_dot(key, key, head_dim));
      }
    }
  }
  return TENURE_OK;
}

static const tenure_policy_api api = {
    .head = {.struct_size = sizeof api, .rev = 1}, .observe = note_norms, .select = tenure_select_by_state};

TENURE_SINGLE_PLUGIN("knorm", "policy", "1.0.0", TENURE_POLICY_INTERFACE, api);
