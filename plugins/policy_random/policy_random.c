/* Random: every KV head keeps its own random set of slots. Not a method but the control that a method has to
 * beat at the same budget and the same protections.
 *
 * Score of a slot: uniform(seed of the sequence; KV head, position). It is the same at every decision, so a
 * slot that survived once is not thrown again, and the kept set is a uniform sample of all tokens, old and
 * new.
 */
#include <string.h>
#include <tenure/entry.h>
#include <tenure/scorer.h>

struct tenure_policy {
  const tenure_host* host;
  const tenure_mem_service* mem;
  const tenure_rng_service* rng;
  uint32_t
      first_head[]; /* (n_layers) KV heads in the layers before; a scope of all layers numbers them alike */
};

static tenure_status create(const tenure_host* host, const tenure_model_info* model,
                            const tenure_config* config, tenure_policy** out, tenure_error* error) {
  (void)config, (void)error;
  const tenure_mem_service* mem = host->query(host, (tenure_str)TENURE_TEXT("tenure.mem/1"), 1);
  tenure_policy* self =
      mem->alloc(host, sizeof *self + model->n_layers * sizeof self->first_head[0], _Alignof(tenure_policy));
  if (self == NULL) return TENURE_OOM_HOST;
  uint32_t n_heads = 0;
  for (uint32_t l = 0; l < model->n_layers; ++l) {
    const tenure_layer_info* layer = tenure_layer_at(model, l);
    self->first_head[l] = n_heads;
    if (layer->window == 0) n_heads += layer->n_kv_heads; /* policies do not see layers with a window */
  }
  self->host = host;
  self->mem = mem;
  self->rng = host->query(host, (tenure_str)TENURE_TEXT("tenure.rng/1"), 1);
  *out = self;
  return TENURE_OK;
}

static void destroy(tenure_policy* self) {
  self->mem->free(self->host, self);
}

/* The sequence's state is its seed. A fork goes on with its parent's: the slots they share were drawn with
 * it. */
static tenure_status begin(tenure_policy* self, const tenure_call* call, const tenure_sequence_info* info,
                           tenure_seq** out, tenure_error* error) {
  (void)self, (void)call, (void)error;
  if (!info->forked) memcpy(info->state, &info->seed, sizeof info->seed);
  *out = NULL;
  return TENURE_OK;
}

static tenure_status select_random(tenure_policy* self, const tenure_call* call, uint32_t layer, uint32_t n,
                                   const tenure_view* const* views, tenure_keepset* const* keepsets,
                                   tenure_status* statuses, tenure_error* error) {
  (void)call;
  const uint64_t first_head = layer == TENURE_ALL_LAYERS ? 0 : self->first_head[layer];
  for (uint32_t s = 0; s < n; ++s) {
    uint64_t seed;
    memcpy(&seed, views[s]->state, sizeof seed);
    for (uint32_t h = 0; h < views[s]->n_heads; ++h) {
      const tenure_head_view* head = tenure_head_at(views[s], h);
      const uint64_t stream = (first_head + h) << 32;
      for (uint32_t i = 0; i < head->n_slots; ++i)
        head->state[i] = self->rng->uniform(seed, stream | (uint32_t)head->pos[i]);
    }
    statuses[s] = keepsets[s]->score(keepsets[s], layer, NULL, NULL, error);
  }
  return TENURE_OK;
}

static const tenure_policy_api api = {.head = {.struct_size = sizeof api, .rev = 1},
                                      .create = create,
                                      .destroy = destroy,
                                      .begin = begin,
                                      .select = select_random};

TENURE_SINGLE_PLUGIN("random", "policy", "1.0.0", TENURE_POLICY_INTERFACE, api);
