/* KeyDiff. Park, Jones, Morse, Goel, Lee, Lott, "KeyDiff: Key Similarity-Based KV Cache Eviction for
 * Long-Context LLM Inference in Resource-Constrained Environments", 2025, arXiv 2504.15364, section 3.2,
 * algorithm 1.
 *
 * Score of a slot: -cos(k_i, anchor), the anchor being the mean of all cached keys, each of length one: what
 * is unlike the rest stays. Made anew at every decision, over everything that is cached.
 *
 * The paper decides block by block (B = 128): in prefill that is `chunk`, in decode `period` = 128.
 * Deviations: four sinks stay (n_sink); keys are read in the precision of the cache.
 */
#include <math.h>
#include <stddef.h>
#include <tenure/entry.h>
#include <tenure/scorer.h>

enum { MAX_HEAD_DIM = 512 };

static tenure_status check_model(const tenure_host* host, const tenure_model_info* model,
                                 const tenure_config* config, tenure_policy** out, tenure_error* error) {
  (void)host, (void)config, (void)error;
  for (uint32_t l = 0; l < model->n_layers; ++l)
    if (tenure_layer_at(model, l)->head_dim > MAX_HEAD_DIM) return TENURE_UNSUPPORTED;
  *out = NULL;
  return TENURE_OK;
}

static void destroy(tenure_policy* self) {
  (void)self;
}

/* 1 / ||key||, 0 for a key of zeros. */
static float inverse_norm(const float* key, uint32_t head_dim) {
  const float square = tenure_dot(key, key, head_dim);
  return square > 0 ? 1.0f / sqrtf(square) : 0.0f;
}

TENURE_WIDE static void score_head(const tenure_head_view* head, uint32_t head_dim) {
  float anchor[MAX_HEAD_DIM] = {0};
  for (uint32_t i = 0; i < head->n_slots; ++i) {
    const float* key = head->k + (uint64_t)i * head_dim;
    head->state[i] = inverse_norm(key, head_dim);
    tenure_add_scaled(anchor, head->state[i], key, head_dim);
  }
  const float of_anchor = inverse_norm(anchor, head_dim); /* a sum points where the mean does */
  for (uint32_t i = 0; i < head->n_slots; ++i) {
    const float* key = head->k + (uint64_t)i * head_dim;
    head->state[i] *= -of_anchor * tenure_dot(key, anchor, head_dim);
  }
}

static tenure_status score_keys(tenure_policy* self, const tenure_call* call, uint32_t layer, uint32_t n,
                                const tenure_evidence* const* evidence, tenure_status* statuses,
                                tenure_error* error) {
  (void)self, (void)call;
  for (uint32_t s = 0; s < n; ++s) {
    const tenure_view* view = evidence[s]->view;
    for (uint32_t h = 0; h < view->n_heads; ++h) score_head(tenure_head_at(view, h), view->head_dim);
    statuses[s] = evidence[s]->keepset->score(evidence[s]->keepset, layer, NULL, NULL, error);
  }
  return TENURE_OK;
}

static const tenure_policy_api api = {.head = {.struct_size = sizeof api, .rev = 1},
                                      .create = check_model,
                                      .destroy = destroy,
                                      .observe = score_keys};

TENURE_SINGLE_PLUGIN("keydiff", "policy", "1.0.0", TENURE_POLICY_INTERFACE, api);
