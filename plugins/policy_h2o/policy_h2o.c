/* H2O, the heavy-hitter oracle. Zhang, Sheng, Zhou, Chen et al., "H2O: Heavy-Hitter Oracle for Efficient
 * Generative Inference of Large Language Models", NeurIPS 2023, arXiv 2306.14048, section 4.2, algorithm 1.
 *
 * Score of a slot: the sum of the softmax weights that all queries so far gave it (section 4.1, "accumulated
 * attention scores"), per head. Half of the budget goes to the highest sums, half to the last tokens
 * (n_recent = "1/2"); the sum of a survivor goes on.
 *
 * Deviations: with grouped queries a KV head's sum is over the mean of its query heads. While a prompt is
 * read we decide at chunk ends, after a chunk's rows have all been counted, instead of after every token; in
 * decode at every step, as the paper does. Sums are not divided by the number of queries that saw the slot.
 */
#include <stddef.h>
#include <tenure/entry.h>
#include <tenure/scorer.h>

TENURE_WIDE static void add_mass(const tenure_head_view* head) {
  tenure_add_scaled(head->state, 1.0f, head->mass, head->n_slots);
}

/* mass is what the chunk's or step's queries added; state, one float a slot, is the sum since the slot was
 * made. */
static tenure_status accumulate(tenure_policy* self, const tenure_call* call, uint32_t layer, uint32_t n,
                                const tenure_evidence* const* evidence, tenure_status* statuses,
                                tenure_error* error) {
  (void)self, (void)call;
  for (uint32_t s = 0; s < n; ++s) {
    const tenure_view* view = evidence[s]->view;
    for (uint32_t h = 0; h < view->n_heads; ++h) add_mass(tenure_head_at(view, h));
    statuses[s] = evidence[s]->keepset->score(evidence[s]->keepset, layer, NULL, NULL, error);
  }
  return TENURE_OK;
}

static const tenure_policy_api api = {.head = {.struct_size = sizeof api, .rev = 1}, .observe = accumulate};

TENURE_SINGLE_PLUGIN("h2o", "policy", "1.0.0", TENURE_POLICY_INTERFACE, api);
