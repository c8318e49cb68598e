/* Keeps the newest slots (score = position) and, before a chunk or step, asks for the released positions of
 * [first, first + n) back: the least that exercises every rule of rebuild.
 */
#include <string.h>
#include <tenure/entry.h>
#include <tenure/policy.h>

#define TEXT(literal) \
  { literal, sizeof literal - 1 }
enum { MOST_HEADS = 4096 };

struct tenure_policy {
  const tenure_host* host;
  const tenure_mem_service* mem;
  uint32_t first, n;
  int32_t trigger;
  const float* scores[MOST_HEADS];
};

static tenure_status create(const tenure_host* host, const tenure_model_info* model,
                            const tenure_config* config, tenure_policy** out, tenure_error* error) {
  (void)model, (void)error;
  const tenure_mem_service* mem = host->query(host, (tenure_str)TEXT("tenure.mem/1"), 1);
  tenure_policy* self = mem->alloc(host, sizeof *self, _Alignof(tenure_policy));
  if (self == NULL) return TENURE_OOM_HOST;
  self->host = host;
  self->mem = mem;
  self->first = (uint32_t)config->values[0].i;
  self->n = (uint32_t)config->values[1].i;
  self->trigger = (int32_t)config->values[2].i;
  *out = self;
  return TENURE_OK;
}

static void destroy(tenure_policy* self) {
  self->mem->free(self->host, self);
}

static int is_triggered(const tenure_policy* self, const int32_t* ids, uint32_t n) {
  if (self->trigger < 0) return 1;
  for (uint32_t i = 0; i < n; ++i) {
    if (ids[i] == self->trigger) return 1;
  }
  return 0;
}

static tenure_status prepare(tenure_policy* self, const tenure_call* call, const tenure_view* view,
                             const int32_t* ids, uint32_t n, int32_t first_pos, tenure_keepset* keepset,
                             tenure_error* error) {
  (void)call, (void)first_pos;
  if (!is_triggered(self, ids, n)) return TENURE_OK;
  const uint64_t past = (uint64_t)self->first + self->n;
  const uint32_t end = past < view->n_tokens ? (uint32_t)past : view->n_tokens;
  for (uint32_t pos = self->first; pos < end;) {
    uint32_t run = 0;
    while (pos + run < end && view->released[pos + run]) ++run;
    if (run > 0) {
      const tenure_status status = keepset->rebuild(keepset, (int32_t)pos, run, error);
      if (status != TENURE_OK) return status;
    }
    pos += run + 1;
  }
  return TENURE_OK;
}

static tenure_status select_newest(tenure_policy* self, const tenure_call* call, uint32_t layer, uint32_t n,
                                   const tenure_view* const* views, tenure_keepset* const* keepsets,
                                   tenure_status* statuses, tenure_error* error) {
  (void)call;
  for (uint32_t s = 0; s < n; ++s) {
    if (views[s]->n_heads > MOST_HEADS) return TENURE_UNSUPPORTED;
    for (uint32_t h = 0; h < views[s]->n_heads; ++h) {
      const char* entry = (const char*)views[s]->heads + (uint64_t)h * views[s]->head_stride;
      const tenure_head_view* head = (const tenure_head_view*)entry;
      for (uint32_t i = 0; i < head->n_slots; ++i) head->state[i] = (float)head->pos[i];
      self->scores[h] = head->state;
    }
    statuses[s] = keepsets[s]->score(keepsets[s], layer, self->scores, NULL, error);
  }
  return TENURE_OK;
}

static const tenure_policy_api api = {.head = {.struct_size = sizeof api, .rev = 1},
                                      .create = create,
                                      .destroy = destroy,
                                      .prepare = prepare,
                                      .select = select_newest};

static const void* query(const tenure_plugin* self, tenure_str interface_id, uint32_t min_rev) {
  static const tenure_str ours = TEXT(TENURE_POLICY_INTERFACE);
  (void)self;
  if (interface_id.len != ours.len || memcmp(interface_id.ptr, ours.ptr, ours.len) != 0) return NULL;
  return min_rev <= api.head.rev ? &api : NULL;
}

static const tenure_plugin plugin = {.head = {.struct_size = sizeof plugin},
                                     .id = TEXT("rebuild_test"),
                                     .kind = TEXT("policy"),
                                     .query = query};
static const tenure_plugin* const plugins[] = {&plugin};
static const tenure_library library = {.head = {.struct_size = sizeof library},
                                       .abi_major = TENURE_ABI_MAJOR,
                                       .abi_minor_built = TENURE_ABI_MINOR,
                                       .abi_minor_min = 1,
                                       .n_plugins = 1,
                                       .id = TEXT("rebuild_test"),
                                       .version = TEXT("1.0.0"),
                                       .plugins = plugins};

TENURE_EXPORT const tenure_library* tenure_library_v1(void) {
  return &library;
}
