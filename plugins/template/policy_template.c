/* Keeps the slots that lately got the most attention: a running sum of attention mass that fades by `decay`
 * from one decision to the next. A complete policy in one file: change accumulate() and the manifest beside
 * it.
 */
#include <stddef.h>
#include <tenure/entry.h>
#include <tenure/scorer.h>

struct tenure_policy {
  const tenure_host* host;
  const tenure_mem_service* mem;
  float decay;
};

/* config->values follow the manifest's [[param]] list: 0 is decay. They are checked already. */
static tenure_status create(const tenure_host* host, const tenure_model_info* model,
                            const tenure_config* config, tenure_policy** out, tenure_error* error) {
  (void)model, (void)error;
  const tenure_mem_service* mem = host->query(host, (tenure_str)TENURE_TEXT("tenure.mem/1"), 1);
  tenure_policy* self = mem->alloc(host, sizeof *self, _Alignof(tenure_policy));
  if (self == NULL) return TENURE_OOM_HOST;
  *self = (tenure_policy){.host = host, .mem = mem, .decay = (float)config->values[0].f};
  *out = self;
  return TENURE_OK;
}

static void destroy(tenure_policy* self) {
  self->mem->free(self->host, self);
}

/* After every chunk and step, once a layer for all sequences in the batch. A head's mass and state are arrays
 * of one float a slot; the host does protections, budget and top-k with the state as the score (NULL). */
static tenure_status accumulate(tenure_policy* self, const tenure_call* call, uint32_t layer, uint32_t n,
                                const tenure_evidence* const* evidence, tenure_status* statuses,
                                tenure_error* error) {
  (void)call;
  for (uint32_t s = 0; s < n; ++s) {
    const tenure_view* view = evidence[s]->view;
    for (uint32_t h = 0; h < view->n_heads; ++h) {
      const tenure_head_view* head = tenure_head_at(view, h);
      for (uint32_t i = 0; i < head->n_slots; ++i)
        head->state[i] = self->decay * head->state[i] + head->mass[i];
    }
    statuses[s] = evidence[s]->keepset->score(evidence[s]->keepset, layer, NULL, NULL, error);
  }
  return TENURE_OK;
}

static const tenure_policy_api api = {.head = {.struct_size = sizeof api, .rev = 1},
                                      .create = create,
                                      .destroy = destroy,
                                      .observe = accumulate};

TENURE_SINGLE_PLUGIN("template", "policy", "0.1.0", TENURE_POLICY_INTERFACE, api);
