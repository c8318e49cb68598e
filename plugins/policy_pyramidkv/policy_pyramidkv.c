/* PyramidKV. Cai, Zhang, Gao, Liu et al., "PyramidKV: Dynamic KV Cache Compression based on Pyramidal
 * Information Funneling", 2024, arXiv 2406.02069, section 4: attention is wide in lower layers and narrow in
 * upper ones, so layers get budgets that fall in a line, equation 3.
 *
 * Scores are SnapKV's: the softmax weight of the last `window` queries, pooled over `kernel` neighbours.
 * Beside the window, layer l of L keeps most - l (most - least) / (L - 1) slots a head: for a mean of C,
 * least = C / beta and most = 2 C - least; where that is more than was fed, most = what was fed and least = 2
 * C - most.
 *
 * Deviations: as SnapKV's here: it decides at each chunk's end, pools by average, keeps four sinks. A layer's
 * budget is a matter of all layers, so budget_scope is "global".
 */
#include <stddef.h>
#include <tenure/entry.h>
#include <tenure/scorer.h>

enum { WINDOW = 0, KERNEL = 1, POOLING = 2, BETA = 3 }; /* of the manifest's parameters */

struct tenure_policy {
  const tenure_host* host;
  const tenure_mem_service* mem;
  uint32_t reach; /* neighbours on either side */
  uint32_t is_max;
  uint32_t window;
  float beta;
  uint32_t n_layers;  /* without those that have a window, which policies do not see */
  uint32_t n_heads;   /* of them all */
  uint32_t* layer_of; /* (n_heads) counting such layers */
  uint32_t* n_keep;   /* (n_heads) */
};

static tenure_status needs(const tenure_model_info* model, const tenure_config* config, tenure_needs* out,
                           tenure_error* error) {
  (void)model, (void)error;
  out->mass_rows = (uint32_t)config->values[WINDOW].i;
  return TENURE_OK;
}

static tenure_status create(const tenure_host* host, const tenure_model_info* model,
                            const tenure_config* config, tenure_policy** out, tenure_error* error) {
  (void)error;
  uint32_t n_heads = 0;
  for (uint32_t l = 0; l < model->n_layers; ++l) n_heads += tenure_layer_at(model, l)->n_kv_heads;
  const tenure_mem_service* mem = host->query(host, (tenure_str)TENURE_TEXT("tenure.mem/1"), 1);
  tenure_policy* self =
      mem->alloc(host, sizeof *self + 2 * n_heads * sizeof(uint32_t), _Alignof(tenure_policy));
  if (self == NULL) return TENURE_OOM_HOST;
  *self = (tenure_policy){.host = host,
                          .mem = mem,
                          .reach = (uint32_t)config->values[KERNEL].i / 2,
                          .is_max = config->values[POOLING].s.ptr[0] == 'm',
                          .window = (uint32_t)config->values[WINDOW].i,
                          .beta = (float)config->values[BETA].f,
                          .layer_of = (uint32_t*)(self + 1),
                          .n_keep = (uint32_t*)(self + 1) + n_heads};
  for (uint32_t l = 0; l < model->n_layers; ++l) {
    const tenure_layer_info* layer = tenure_layer_at(model, l);
    if (layer->window != 0) continue;
    for (uint32_t h = 0; h < layer->n_kv_heads; ++h) self->layer_of[self->n_heads++] = self->n_layers;
    ++self->n_layers;
  }
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

/* n_keep of every head. */
static void share_budget(const tenure_policy* self, const tenure_view* view) {
  const float budget = (float)tenure_head_at(view, 0)->budget;
  const float window = (float)self->window < budget ? (float)self->window : budget;
  const float mean = budget - window;
  const float fed = (float)view->n_tokens;
  float least = mean / self->beta;
  float most = 2 * mean - least;
  if (most > fed - window) {
    most = fed - window;
    least = 2 * mean - most;
  }
  const float step = self->n_layers > 1 ? (most - least) / (float)(self->n_layers - 1) : 0.0f;
  for (uint32_t h = 0; h < view->n_heads; ++h) {
    const float more = self->n_layers > 1 ? most - (float)self->layer_of[h] * step : mean;
    self->n_keep[h] = (uint32_t)(window + more);
  }
}

static tenure_status select_pyramid(tenure_policy* self, const tenure_call* call, uint32_t layer, uint32_t n,
                                    const tenure_view* const* views, tenure_keepset* const* keepsets,
                                    tenure_status* statuses, tenure_error* error) {
  (void)call;
  for (uint32_t s = 0; s < n; ++s) {
    share_budget(self, views[s]);
    statuses[s] = keepsets[s]->score(keepsets[s], layer, NULL, self->n_keep, error);
  }
  return TENURE_OK;
}

static const tenure_policy_api api = {.head = {.struct_size = sizeof api, .rev = 1},
                                      .needs = needs,
                                      .create = create,
                                      .destroy = destroy,
                                      .observe = pool_mass,
                                      .select = select_pyramid};

TENURE_SINGLE_PLUGIN("pyramidkv", "policy", "1.0.0", TENURE_POLICY_INTERFACE, api);
