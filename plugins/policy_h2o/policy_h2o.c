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
#include <string.h>
#include <tenure/entry.h>
#include <tenure/policy.h>

#define TEXT(literal) \
  { literal, sizeof literal - 1 }

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
  const tenure_mem_service* mem = host->query(host, (tenure_str)TEXT("tenure.mem/1"), 1);
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

static const void* query(const tenure_plugin* self, tenure_str interface_id, uint32_t min_rev) {
  static const tenure_str ours = TEXT(TENURE_POLICY_INTERFACE);
  (void)self;
  if (interface_id.len != ours.len || memcmp(interface_id.ptr, ours.ptr, ours.len) != 0) return NULL;
  return min_rev <= api.head.rev ? &api : NULL;
}

static const tenure_plugin plugin = {
    .head = {.struct_size = sizeof plugin}, .id = TEXT("h2o"), .kind = TEXT("policy"), .query = query};
static const tenure_plugin* const plugins[] = {&plugin};
static const tenure_library library = {.head = {.struct_size = sizeof library},
                                       .abi_major = TENURE_ABI_MAJOR,
                                       .abi_minor_built = TENURE_ABI_MINOR,
                                       .abi_minor_min = 1,
                                       .n_plugins = 1,
                                       .id = TEXT("h2o"),
                                       .version = TEXT("1.0.0"),
                                       .plugins = plugins};

TENURE_EXPORT const tenure_library* tenure_library_v1(void) {
  return &library;
}
