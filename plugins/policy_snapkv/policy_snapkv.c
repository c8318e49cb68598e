/* SnapKV. Li, Huang, Yang, Venkitesh et al., "SnapKV: LLM Knows What You are Looking for Before Generation",
 * NeurIPS 2024, arXiv 2404.14469, section 4.1, listing 1.
 *
 * Score of a slot: the softmax weight that the last `window` queries gave it, per KV head the mean of its
 * query heads, pooled over `kernel` neighbouring slots. The window's own tokens stay (n_recent).
 *
 * Deviations: it decides at each chunk's end, by that chunk's last queries, so that a prompt never outgrows
 * the budget; when = ["prefill_end"] decides once, with the whole prompt cached, as the paper does.
 * Neighbours are those in the cache. Pooling is the average; the paper's max is an option. Four sinks stay
 * (n_sink).
 */
#include <stddef.h>
#include <tenure/entry.h>
#include <tenure/scorer.h>

enum { WINDOW = 0, KERNEL = 1, POOLING = 2 }; /* of the manifest's parameters */

struct tenure_policy {
  const tenure_host* host;
  const tenure_mem_service* mem;
  uint32_t reach; /* neighbours on either side */
  uint32_t is_max;
};

static tenure_status needs(const tenure_model_info* model, const tenure_config* config, tenure_needs* out,
                           tenure_error* error) {
  (void)model, (void)error;
  out->mass_rows = (uint32_t)config->values[WINDOW].i;
  return TENURE_OK;
}

static tenure_status create(const tenure_host* host, const tenure_model_info* model,
                            const tenure_config* config, tenure_policy** out, tenure_error* error) {
  (void)model, (void)error;
  const tenure_mem_service* mem = host->query(host, (tenure_str)TENURE_TEXT("tenure.mem/1"), 1);
  tenure_policy* self = mem->alloc(host, sizeof *self, _Alignof(tenure_policy));
  if (self == NULL) return TENURE_OOM_HOST;
  self->host = host;
  self->mem = mem;
  self->reach = (uint32_t)config->values[KERNEL].i / 2;
  self->is_max = config->values[POOLING].s.ptr[0] == 'm';
  *out = self;
  return TENURE_OK;
}

static void destroy(tenure_policy* self) {
  self->mem->free(self->host, self);
}

static tenure_status pool_mass(tenure_policy* self, const tenure_call* call, uint32_t layer, uint32_t n,
                               const tenure_evidence* const* evidence, tenure_status* statuses,
                               tenure_error* error) {
  if (call->phase == TENURE_PHASE_DECODE) return TENURE_OK; /* a prompt's queries decide */
  for (uint32_t s = 0; s < n; ++s) {
    const tenure_view* view = evidence[s]->view;
    for (uint32_t h = 0; h < view->n_heads; ++h) {
      const tenure_head_view* head = tenure_head_at(view, h);
      tenure_pool_1d(head->mass, head->n_slots, self->reach, self->is_max, head->state);
    }
    statuses[s] = evidence[s]->keepset->score(evidence[s]->keepset, layer, NULL, NULL, error);
  }
  return TENURE_OK;
}

static const tenure_policy_api api = {.head = {.struct_size = sizeof api, .rev = 1},
                                      .needs = needs,
                                      .create = create,
                                      .destroy = destroy,
                                      .observe = pool_mass};

TENURE_SINGLE_PLUGIN("snapkv", "policy", "1.0.0", TENURE_POLICY_INTERFACE, api);
