/* LOCRET. Huang, Yuan, Han, Xiao, Liu, "Locret: Enhancing Eviction in Long-Context LLM Inference with Trained Retaining
 * Heads", TMLR 2025, arXiv 2410.01805, section 3.1 and algorithm 1.
 *
 * A retaining head of each layer says of every token what its key and value will be worth to each KV head:
 * s = W2 a(W1 [q; k; v]), no biases, a the model's own activation, q, k, v before RoPE (with q- and k-norms: behind them, as the
 * evidence is). It is said once, when the token is fed, and never again: the causal importance score. At the end of a chunk
 * the best of each KV head stay, beside the last n_stabilizers tokens, which keep the context whole until the next one; the
 * prompt's last n_local tokens stay at its end.
 *
 * Deviations: a token between two that score higher is lifted to the lower of them where these are at most `closing` positions
 * apart, so that a number that stays loses no digit: 0 is the paper's. The sinks stay; the budget is one for all KV heads of the
 * model (budget_scope = "global"), which scores that are log-probabilities allow: "head" is the paper's. Generated tokens are
 * scored and released, too: when = ["chunk"] is the paper's, which stops at the prompt. Keys turn as they were fed while
 * everything fits the model's context (positions = "auto"): "rank" is the paper's. Layers with a window have no head: their slots
 * are not a policy's.
 */
#include <tenure/entry.h>
#include <tenure/learned_scorer.h>

#include "training.h"

enum { CLOSING = 1 }; /* of the manifest's parameters */

static tenure_status make_head(tenure_learned_scorer* scorer, const tenure_model_info* model, uint32_t layer, tenure_error* error) {
  const tenure_layer_info* info = tenure_layer_at(model, layer);
  const uint64_t n_in = (uint64_t)(model->n_heads + 2 * info->n_kv_heads) * info->head_dim;
  tenure_matrix w[2];
  tenure_status status = tenure_learned_matrix(scorer, layer, "w1", (uint64_t[]){0, n_in}, &w[0], error);
  if (status != TENURE_OK) return status;
  status = tenure_learned_matrix(scorer, layer, "w2", (uint64_t[]){info->n_kv_heads, w[0].n_out}, &w[1], error);
  return status == TENURE_OK ? tenure_learned_net(scorer, layer, model->activation, 2, w, error) : status;
}

static tenure_status create(const tenure_host* host, const tenure_model_info* model, const tenure_config* config,
                            tenure_policy** out, tenure_error* error) {
  const tenure_status status = tenure_learned_create(host, model, make_head, out, error);
  if (status == TENURE_OK) tenure_learned_of(*out)->closing = (int32_t)config->values[CLOSING].i;
  return status;
}

static tenure_status observe(tenure_policy* self, const tenure_call* call, uint32_t layer, uint32_t n,
                             const tenure_evidence* const* evidence, tenure_status* statuses, tenure_error* error) {
  (void)call;
  for (uint32_t s = 0; s < n; ++s) {
    const tenure_f32_view row[3] = {evidence[s]->q_pre, evidence[s]->k_pre, evidence[s]->v};
    statuses[s] = tenure_learned_score(tenure_learned_of(self), layer, evidence[s], 3, row, error);
  }
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
  return tenure_is_interface(wanted, TENURE_TRAINABLE_INTERFACE) ? &locret_trainable : NULL;
}

TENURE_SINGLE_PLUGIN_QUERY("locret", "policy", "1.0.0", query);
