/* KVzap. "KVzap: Fast, Adaptive, and Faithful KV Cache Pruning", 2026, arXiv 2601.07891: a surrogate says from the attention's
 * input h, once for each token and KV head, the log of the importance that KVzip finds by reading the context a second time.
 * Linear: W1 h + b1. MLP: W2 gelu(W1 h + b1) + b2. Which of the two a weights file holds, its tensors say.
 *
 * Deviations: a budget in place of the paper's threshold on the score (budget_scope = "global" shares it among all heads as a
 * threshold would); what the surrogates learn is in training.c. The last n_recent = 128 tokens stay, as in the paper.
 */
#include <tenure/entry.h>
#include <tenure/learned_scorer.h>

#include "training.h"

/* Whether the file's surrogates have a second matrix. */
static int is_linear(const tenure_learned_scorer* scorer, uint32_t layer) {
  tenure_tensor second = {.head = {.struct_size = sizeof second}};
  const tenure_tensor_request request = {
      .head = {.struct_size = sizeof request}, .layer = layer, .n_dims = 2, .name = TENURE_TEXT("w2")};
  return scorer->weights->tensor(scorer->host, &request, &second, NULL) != TENURE_OK;
}

static tenure_status make_surrogate(tenure_learned_scorer* scorer, const tenure_model_info* model, uint32_t layer, tenure_error* error) {
  const uint64_t n_kv_heads = tenure_layer_at(model, layer)->n_kv_heads;
  const uint32_t n_matrices = is_linear(scorer, layer) ? 1 : 2;
  tenure_matrix w[2];
  const uint64_t first[2] = {n_matrices == 1 ? n_kv_heads : 0, model->n_embd};
  tenure_status status = tenure_learned_matrix(scorer, layer, "w1", first, &w[0], error);
  if (status == TENURE_OK) status = tenure_learned_bias(scorer, layer, "b1", &w[0], error);
  if (status == TENURE_OK && n_matrices == 2) {
    status = tenure_learned_matrix(scorer, layer, "w2", (uint64_t[]){n_kv_heads, w[0].n_out}, &w[1], error);
    if (status == TENURE_OK) status = tenure_learned_bias(scorer, layer, "b2", &w[1], error);
  }
  return status == TENURE_OK ? tenure_learned_net(scorer, layer, TENURE_ACTIVATION_GELU_TANH, n_matrices, w, error) : status;
}

static tenure_status create(const tenure_host* host, const tenure_model_info* model, const tenure_config* config,
                            tenure_policy** out, tenure_error* error) {
  (void)config;
  return tenure_learned_create(host, model, make_surrogate, out, error);
}

static tenure_status observe(tenure_policy* self, const tenure_call* call, uint32_t layer, uint32_t n,
                             const tenure_evidence* const* evidence, tenure_status* statuses, tenure_error* error) {
  (void)call;
  for (uint32_t s = 0; s < n; ++s)
    statuses[s] = tenure_learned_score(tenure_learned_of(self), layer, evidence[s], 1, &evidence[s]->hidden, error);
  return TENURE_OK;
}

static const tenure_policy_api api = {.head = {.struct_size = sizeof api, .rev = 1},
                                      .create = create,
                                      .destroy = tenure_learned_destroy,
                                      .observe = observe,
                                      .select = tenure_learned_select};

static const void* query(const tenure_plugin* self, tenure_str wanted, uint32_t min_rev) {
  (void)self;
  if (min_rev > 1) return NULL;
  if (tenure_is_interface(wanted, TENURE_POLICY_INTERFACE)) return &api;
  return tenure_is_interface(wanted, TENURE_TRAINABLE_INTERFACE) ? &kvzap_trainable : NULL;
}

TENURE_SINGLE_PLUGIN_QUERY("kvzap", "policy", "1.0.0", query);
