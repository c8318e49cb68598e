/* Ada-KV. Feng, Lv, Cao, Xie, Zhou, "Ada-KV: Optimizing KV Cache Eviction by Adaptive Budget Allocation for
 * Efficient LLM Inference", NeurIPS 2025, arXiv 2407.11550, algorithms 1 and 2.
 *
 * Wraps any policy that scores: its scores rank the slots of all heads of a layer together. Every head first
 * secures the best alpha * budget of its own; what is left of the layer's budget goes to the best of all
 * heads. So heads whose attention is wide hold more slots than narrow ones, at the same bytes.
 *
 * Deviations: protected slots (sinks, recent, ...) count first in what a head secures.
 */
#include <stddef.h>
#include <stdlib.h>
#include <tenure/entry.h>
#include <tenure/scorer.h>

struct candidate {
  float score;
  int32_t pos;
  uint32_t head;
};

struct tenure_policy {
  const tenure_host* host;
  const tenure_mem_service* mem;
  float alpha;
  struct candidate* candidates; /* (capacity) of a layer */
  uint64_t capacity;
  const float** scores; /* (n_kv_heads of the widest layer) */
  uint32_t n_keep[];    /* (n_kv_heads of the widest layer) */
};

static tenure_status create(const tenure_host* host, const tenure_model_info* model,
                            const tenure_config* config, tenure_policy** out, tenure_error* error) {
  (void)error;
  uint32_t n_heads = 0;
  for (uint32_t l = 0; l < model->n_layers; ++l)
    if (tenure_layer_at(model, l)->n_kv_heads > n_heads) n_heads = tenure_layer_at(model, l)->n_kv_heads;
  const tenure_mem_service* mem = host->query(host, (tenure_str)TENURE_TEXT("tenure.mem/1"), 1);
  tenure_policy* self = mem->alloc(host, sizeof *self + n_heads * sizeof(uint32_t), _Alignof(tenure_policy));
  if (self == NULL) return TENURE_OOM_HOST;
  *self = (tenure_policy){.host = host, .mem = mem, .alpha = (float)config->values[0].f};
  self->scores = mem->alloc(host, n_heads * sizeof *self->scores, _Alignof(const float*));
  if (self->scores == NULL) {
    mem->free(host, self);
    return TENURE_OOM_HOST;
  }
  *out = self;
  return TENURE_OK;
}

static void destroy(tenure_policy* self) {
  self->mem->free(self->host, self->candidates);
  self->mem->free(self->host, self->scores);
  self->mem->free(self->host, self);
}

/* Room for every slot of a layer. Its size is bounded by budget and chunk, not by the tokens fed. */
static int reserve(tenure_policy* self, uint64_t n) {
  if (n <= self->capacity) return 1;
  self->mem->free(self->host, self->candidates);
  self->candidates = self->mem->alloc(self->host, n * sizeof *self->candidates, _Alignof(struct candidate));
  self->capacity = self->candidates != NULL ? n : 0;
  return self->candidates != NULL;
}

/* The best first; ties to the lower position, then to the lower head. */
static int by_score(const void* left, const void* right) {
  const struct candidate *a = left, *b = right;
  if (a->score != b->score) return a->score > b->score ? -1 : 1;
  if (a->pos != b->pos) return a->pos < b->pos ? -1 : 1;
  return a->head < b->head ? -1 : a->head > b->head;
}

/* Appends a head's free slots behind n, the best first; returns how many. */
static uint32_t gather(tenure_policy* self, uint32_t h, const tenure_head_view* head, uint64_t n) {
  uint32_t n_free = 0;
  for (uint32_t i = 0; i < head->n_slots; ++i) {
    if (head->flags[i] != 0) continue;
    self->candidates[n + n_free++] =
        (struct candidate){.score = head->score[i], .pos = head->pos[i], .head = h};
  }
  qsort(self->candidates + n, n_free, sizeof *self->candidates, by_score);
  return n_free;
}

static tenure_status share_layer(tenure_policy* self, const tenure_view* view, uint32_t layer,
                                 tenure_keepset* keepset, tenure_error* error) {
  uint64_t n_slots = 0;
  for (uint32_t h = 0; h < view->n_heads; ++h) n_slots += tenure_head_at(view, h)->n_slots;
  if (!reserve(self, n_slots)) return TENURE_OOM_HOST;
  uint64_t n_kept = 0, n_pooled = 0;
  for (uint32_t h = 0; h < view->n_heads; ++h) {
    const tenure_head_view* head = tenure_head_at(view, h);
    uint32_t n_protected = 0;
    for (uint32_t i = 0; i < head->n_slots; ++i)
      n_protected += head->flags[i] != 0 && (head->flags[i] & TENURE_SLOT_REBUILT) == 0;
    const uint32_t n_free = gather(self, h, head, n_pooled);
    const uint32_t floor = (uint32_t)(self->alpha * (float)head->budget);
    uint32_t n_secured = floor > n_protected ? floor - n_protected : 0;
    if (n_secured > n_free) n_secured = n_free;
    /* What is not secured moves down over what is. */
    for (uint32_t i = n_secured; i < n_free; ++i)
      self->candidates[n_pooled + i - n_secured] = self->candidates[n_pooled + i];
    n_pooled += n_free - n_secured;
    self->n_keep[h] = n_protected + n_secured;
    self->scores[h] = head->score;
    n_kept += self->n_keep[h];
  }
  const uint64_t budget = (uint64_t)tenure_head_at(view, 0)->budget * view->n_heads;
  qsort(self->candidates, n_pooled, sizeof *self->candidates, by_score);
  for (uint64_t i = 0; i < n_pooled && n_kept < budget; ++i, ++n_kept)
    ++self->n_keep[self->candidates[i].head];
  return keepset->score(keepset, layer, self->scores, self->n_keep, error);
}

static tenure_status share_budgets(tenure_policy* self, const tenure_call* call, uint32_t layer, uint32_t n,
                                   const tenure_view* const* views, tenure_keepset* const* keepsets,
                                   tenure_status* statuses, tenure_error* error) {
  (void)call;
  for (uint32_t s = 0; s < n; ++s) statuses[s] = share_layer(self, views[s], layer, keepsets[s], error);
  return TENURE_OK;
}

static const tenure_policy_api api = {.head = {.struct_size = sizeof api, .rev = 1},
                                      .create = create,
                                      .destroy = destroy,
                                      .select = share_budgets};

TENURE_SINGLE_PLUGIN("adakv", "policy", "1.0.0", TENURE_POLICY_INTERFACE, api);
