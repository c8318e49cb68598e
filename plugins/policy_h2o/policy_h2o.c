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
#include <tenure/policy.h>

struct tenure_policy {
  const tenure_host* host;
  const tenure_mem_service* mem;
  const float* scores[]; /* (n_kv_heads of the widest layer): one float a slot each */
};

static tenure_status create(const tenure_host* host, const tenure_model_info* model,
                            const tenure_config* config, tenure_policy** out, tenure_error* error) {
  (void)config, (void)error;
  uint32_t n_heads = 0;
  for (uint32_t l = 0; l < model->n_layers; ++l) {
    const char* entry = (const char*)model->layers + (uint64_t)l * model->layer_stride;
    const uint32_t n = ((const tenure_layer_info*)entry)->n_kv_heads;
    if (n > n_heads) n_heads = n;
  }
  const tenure_mem_service* mem = host->query(host, (tenure_str)TENURE_TEXT("tenure.mem/1"), 1);
  tenure_policy* self =
      mem->alloc(host, sizeof *self + n_heads * sizeof self->scores[0], _Alignof(tenure_policy));
  if (self == NULL) return TENURE_OOM_HOST;
  self->host = host;
  self->mem = mem;
  *out = self;
  return TENURE_OK;
}

static void destroy(tenure_policy* self) {
  self->mem->free(self->host, self);
}

/* mass is what the chunk's or step's queries added; state, one float a slot, is the sum since the slot was
 * made. */
static tenure_status accumulate(tenure_policy* self, const tenure_call* call, uint32_t layer, uint32_t n,
                                const tenure_evidence* const* evidence, tenure_status* statuses,
                                tenure_error* error) {
  (void)call;
  for (uint32_t s = 0; s < n; ++s) {
    const tenure_view* view = evidence[s]->view;
    for (uint32_t h = 0; h < view->n_heads; ++h) {
      const char* entry = (const char*)view->heads + (uint64_t)h * view->head_stride;
      const tenure_head_view* head = (const tenure_head_view*)entry;
      for (uint32_t i = 0; i < head->n_slots; ++i) head->state[i] += head->mass[i];
      self->scores[h] = head->state;
    }
    tenure_keepset* keepset = evidence[s]->keepset;
    statuses[s] = keepset->score(keepset, layer, self->scores, NULL, error);
  }
  return TENURE_OK;
}

static const tenure_policy_api api = {.head = {.struct_size = sizeof api, .rev = 1},
                                      .create = create,
                                      .destroy = destroy,
                                      .observe = accumulate};

TENURE_SINGLE_PLUGIN("h2o", "policy", "1.0.0", TENURE_POLICY_INTERFACE, api);
