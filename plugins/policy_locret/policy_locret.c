/* LOCRET. Huang, Yuan, Han, Xiao, Liu, "Locret: Enhancing Eviction in Long-Context LLM Inference with Trained Retaining
 * Heads", TMLR 2025, arXiv 2410.01805, section 3.1 and algorithm 1.
 *
 * A retaining head of each layer says of every token what its key and value will be worth to each KV head:
 * s = W2 a(W1 [q; k; v]), no biases, a the model's own activation, q, k, v before RoPE (with q- and k-norms: behind them, as the
 * evidence is). It is said once, when the token is fed, and never again: the causal importance score. At the end of a chunk
 * the best of each KV head stay, beside the last n_stabilizers tokens, which keep the context whole until the next one; the
 * prompt's last n_local tokens stay at its end.
 *
 * Deviations: the sinks stay; the budget is one for all KV heads of the model (budget_scope = "global"), which scores that are
 * log-probabilities allow: "head" is the paper's. Generated tokens are scored and released, too: when = ["chunk"] is the
 * paper's, which stops at the prompt. Keys turn as they were fed while everything fits the model's context (positions = "auto"):
 * "rank" is the paper's. Layers with a window have no head: their slots are not a policy's.
 */
#include <tenure/entry.h>
#include <tenure/learned_scorer.h>

#include "training.h"

struct tenure_policy {
  const tenure_mem_service* mem;
  tenure_learned_scorer scorer;
};

static tenure_status make_head(tenure_policy* self, const tenure_model_info* model, uint32_t layer, tenure_error* error) {
  const tenure_layer_info* info = tenure_layer_at(model, layer);
  const uint64_t n_in = (uint64_t)(model->n_heads + 2 * info->n_kv_heads) * info->head_dim;
  tenure_matrix w[2];
  tenure_status status = tenure_learned_matrix(&self->scorer, layer, "w1", (uint64_t[]){0, n_in}, &w[0], error);
  if (status != TENURE_OK) return status;
  status = tenure_learned_matrix(&self->scorer, layer, "w2", (uint64_t[]){info->n_kv_heads, w[0].n_out}, &w[1], error);
  return status == TENURE_OK ? tenure_learned_net(&self->scorer, layer, model->activation, 2, w, error) : status;
}

static void destroy(tenure_policy* self) {
  tenure_learned_close(&self->scorer);
  self->mem->free(self->scorer.host, self);
}

static tenure_status create(const tenure_host* host, const tenure_model_info* model, const tenure_config* config,
                            tenure_policy** out, tenure_error* error) {
  (void)config;
  const tenure_mem_service* mem = host->query(host, (tenure_str)TENURE_TEXT("tenure.mem/1"), 1);
  tenure_policy* self = mem->alloc(host, sizeof *self, _Alignof(tenure_policy));
  if (self == NULL) return TENURE_OOM_HOST;
  self->mem = mem;
  tenure_status status = tenure_learned_open(&self->scorer, host, model->n_layers);
  for (uint32_t l = 0; l < model->n_layers && status == TENURE_OK; ++l)
    if (tenure_layer_at(model, l)->window == 0) status = make_head(self, model, l, error);
  if (status == TENURE_OK) *out = self;
  if (status != TENURE_OK) destroy(self);
  return status;
}

static tenure_status observe(tenure_policy* self, const tenure_call* call, uint32_t layer, uint32_t n,
                             const tenure_evidence* const* evidence, tenure_status* statuses, tenure_error* error) {
  (void)call;
  for (uint32_t s = 0; s < n; ++s) {
    const tenure_f32_view row[3] = {evidence[s]->q_pre, evidence[s]->k_pre, evidence[s]->v};
    statuses[s] = tenure_learned_score(&self->scorer, layer, evidence[s], 3, row, error);
  }
  return TENURE_OK;
}

static tenure_status select_best(tenure_policy* self, const tenure_call* call, uint32_t layer, uint32_t n,
                                 const tenure_view* const* views, tenure_keepset* const* keepsets, tenure_status* statuses,
                                 tenure_error* error) {
  (void)self, (void)call, (void)views;
  for (uint32_t s = 0; s < n; ++s) statuses[s] = keepsets[s]->score(keepsets[s], layer, NULL, NULL, error);
  return TENURE_OK;
}

static const tenure_policy_api api = {.head = {.struct_size = sizeof api, .rev = 1},
                                      .create = create,
                                      .destroy = destroy,
                                      .observe = observe,
                                      .select = select_best};

static const void* query(const tenure_plugin* self, tenure_str wanted, uint32_t min_rev) {
  (void)self;
  if (min_rev > 1) return NULL;
  if (tenure_is_interface(wanted, TENURE_POLICY_INTERFACE)) return &api;
  return tenure_is_interface(wanted, TENURE_TRAINABLE_INTERFACE) ? &locret_trainable : NULL;
}

TENURE_SINGLE_PLUGIN_QUERY("locret", "policy", "1.0.0", query);
