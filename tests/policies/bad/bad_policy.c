/* One library, built once for each rule of `tenure plugin check` that it is to break (CMakeLists.txt): BREAKS
 * says which. Unbroken it keeps what is protected and the newest other slots, and counts attention it does
 * not use.
 */
#include <math.h>
#include <sched.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>
#include <tenure/entry.h>
#include <tenure/policy.h>

enum {
  NOTHING,
  NEEDS,
  CREATE,
  RUNS_CRASHES,
  RUNS_EXITS,
  RUNS_HANGS,
  RUNS_FAILS,
  PHASES,
  PHASES_FAILS,
  VERBS,
  VERBS_LATE,
  FINITE_SCORES,
  KEPT_IN_RANGE,
  KEPT_ASCENDING,
  PROTECTED,
  BUDGET,
  BUDGET_SAYS_NOTHING,
  REBUILD,
  EDGE_PROMPTS,
  EDGE_PROMPTS_FAILS,
  DETERMINISTIC,
  CHUNK_INVARIANT,
  INTERLEAVED,
  FORKED,
  LAYERS,
  BAD_EVIDENCE,
  BAD_EVIDENCE_CRASHES,
  WINDOWS,
  PARAMETERS,
  LEAKS_SEQUENCES,
  LEAKS_POLICIES,
  HEAP
};

enum { MOST_HEADS = 64, MOST_SLOTS = 65536 };

/* What grew with the tokens, in a list of its own. */
struct block {
  struct block* next;
  char bytes[248];
};

struct tenure_seq {
  uint32_t n_selects;
  struct block* blocks;
};

struct tenure_policy {
  const tenure_host* host;
  const tenure_mem_service* mem;
  int64_t level;
  uint32_t n_selects;
  int saw_layer_0;
  tenure_keepset* last;
  uint32_t offsets[MOST_HEADS + 1];
  uint32_t slots[MOST_SLOTS];
};

static const tenure_head_view* head_of(const tenure_view* view, uint32_t h) {
  return (const tenure_head_view*)((const char*)view->heads + (uint64_t)h * view->head_stride);
}

static tenure_status needs(const tenure_model_info* model, const tenure_config* config, tenure_needs* out,
                           tenure_error* error) {
  (void)model, (void)config, (void)error;
  if (BREAKS == NEEDS) out->evidence |= TENURE_EVIDENCE_HIDDEN;
  return TENURE_OK;
}

static tenure_status create(const tenure_host* host, const tenure_model_info* model,
                            const tenure_config* config, tenure_policy** out, tenure_error* error) {
  (void)model, (void)error;
  if (BREAKS == CREATE) return TENURE_INTERNAL;
  const tenure_mem_service* mem = host->query(host, (tenure_str)TENURE_TEXT("tenure.mem/1"), 1);
  tenure_policy* self = mem->alloc(host, sizeof *self, _Alignof(tenure_policy));
  if (self == NULL) return TENURE_OOM_HOST;
  memset(self, 0, sizeof *self);
  self->host = host;
  self->mem = mem;
  self->level = config->values[0].i;
  *out = self;
  return TENURE_OK;
}

static void destroy(tenure_policy* self) {
  if (BREAKS != LEAKS_POLICIES) self->mem->free(self->host, self);
}

static tenure_status begin(tenure_policy* self, const tenure_call* call, const tenure_sequence_info* info,
                           tenure_seq** out, tenure_error* error) {
  (void)call, (void)error;
  if (!info->forked) self->n_selects = 0;
  if (BREAKS == VERBS_LATE && self->last != NULL) self->last->rebuild(self->last, 0, 1, error);
  tenure_seq* seq = self->mem->alloc(self->host, sizeof *seq, _Alignof(tenure_seq));
  if (seq == NULL) return TENURE_OOM_HOST;
  memset(seq, 0, sizeof *seq);
  *out = seq;
  return TENURE_OK;
}

static void end(tenure_policy* self, tenure_seq* seq) {
  while (seq->blocks != NULL) {
    struct block* next = seq->blocks->next;
    free(seq->blocks);
    seq->blocks = next;
  }
  if (BREAKS != LEAKS_SEQUENCES) self->mem->free(self->host, seq);
}

static tenure_status prepare(tenure_policy* self, const tenure_call* call, const tenure_view* view,
                             const int32_t* ids, uint32_t n, int32_t first_pos, tenure_keepset* keepset,
                             tenure_error* error) {
  (void)self, (void)call, (void)ids, (void)n;
  if (BREAKS == REBUILD && view->n_tokens > 30) return keepset->rebuild(keepset, first_pos - 1, 1, error);
  return TENURE_OK;
}

static tenure_status count_attention(tenure_policy* self, const tenure_call* call, uint32_t layer, uint32_t n,
                                     const tenure_evidence* const* evidence, tenure_status* statuses,
                                     tenure_error* error) {
  (void)call;
  for (uint32_t s = 0; s < n; ++s) {
    const tenure_view* view = evidence[s]->view;
    if (BREAKS == EDGE_PROMPTS && view->n_tokens == 1) abort();
    if (BREAKS == EDGE_PROMPTS_FAILS && view->n_tokens == 1) statuses[s] = TENURE_INTERNAL;
    if (BREAKS == VERBS) {
      memset(self->offsets, 0, sizeof self->offsets);
      statuses[s] =
          evidence[s]->keepset->keep(evidence[s]->keepset, layer, self->offsets, self->slots, error);
    }
    for (uint32_t h = 0; h < view->n_heads; ++h) {
      const tenure_head_view* head = head_of(view, h);
      for (uint32_t i = 0; i < head->n_slots; ++i) {
        if (BREAKS == BAD_EVIDENCE_CRASHES && !isfinite(head->mass[i])) abort();
        if (BREAKS != BAD_EVIDENCE && !isfinite(head->mass[i])) {
          statuses[s] = TENURE_NUMERIC;
          break;
        }
        head->state[i] += head->mass[i];
      }
    }
  }
  return TENURE_OK;
}

/* The protected slots and `n_more` others, the last ones (or, for the wrong reason, every other one first).
 */
static uint32_t choose(const tenure_head_view* head, uint32_t n_more, int alternates, uint32_t* slots) {
  uint32_t n = 0, n_even = 0;
  for (uint32_t i = 0; i < head->n_slots; ++i) n_even += head->flags[i] == 0 && i % 2 == 0;
  uint32_t n_free = 0;
  for (uint32_t i = 0; i < head->n_slots; ++i) n_free += head->flags[i] == 0;
  uint32_t to_skip = n_free > n_more ? n_free - n_more : 0;
  for (uint32_t i = 0; i < head->n_slots; ++i) {
    const int is_free = head->flags[i] == 0;
    const int goes_first = is_free && to_skip > 0 && (!alternates || i % 2 == 1 || n_even > n_more);
    if (goes_first) --to_skip;
    if (!goes_first && !(BREAKS == PROTECTED && head->pos[i] == 0)) slots[n++] = i;
  }
  return n;
}

static void keep_newest(tenure_policy* self, const tenure_view* view, int alternates) {
  uint32_t n = 0;
  self->offsets[0] = 0;
  for (uint32_t h = 0; h < view->n_heads; ++h) {
    const tenure_head_view* head = head_of(view, h);
    uint32_t n_protected = 0;
    for (uint32_t i = 0; i < head->n_slots; ++i) n_protected += head->flags[i] != 0;
    const uint32_t allowed = head->budget + (BREAKS == BUDGET);
    const uint32_t n_kept =
        choose(head, allowed > n_protected ? allowed - n_protected : 0, alternates, self->slots + n);
    uint32_t* const kept = self->slots + n;
    if (BREAKS == KEPT_IN_RANGE && n_kept > 0) kept[n_kept - 1] = head->n_slots;
    if (BREAKS == KEPT_ASCENDING && n_kept > 1) {
      const uint32_t first = kept[0];
      kept[0] = kept[1];
      kept[1] = first;
    }
    n += n_kept;
    self->offsets[h + 1] = n;
  }
}

static tenure_status misbehave(tenure_policy* self, const tenure_call* call) {
  if (BREAKS == RUNS_CRASHES) *(volatile int*)NULL = 1;
  if (BREAKS == RUNS_EXITS) exit(0);
  while (BREAKS == RUNS_HANGS) self->n_selects = 0;
  if (BREAKS == PHASES && call->phase == TENURE_PHASE_DECODE && self->n_selects == 0) abort();
  if (BREAKS == PARAMETERS && self->level == 3) abort();
  return BREAKS == RUNS_FAILS ? TENURE_INTERNAL : TENURE_OK;
}

static tenure_status score_badly(tenure_keepset* keepset, uint32_t layer, const tenure_view* view,
                                 tenure_error* error) {
  const float* scores[MOST_HEADS];
  for (uint32_t h = 0; h < view->n_heads; ++h) {
    scores[h] = head_of(view, h)->state;
    head_of(view, h)->state[0] = NAN;
  }
  return keepset->score(keepset, layer, scores, NULL, error);
}

/* Whether another call runs meanwhile. It waits a little for one, so that threads are met however they are scheduled; after some
 * waits for nothing it waits no more. */
static int meets_another(void) {
  static atomic_int n_inside, n_waits;
  enum { MOST_WAITS = 40, TURNS = 2000 };
  int met = atomic_fetch_add(&n_inside, 1) > 0;
  for (int turn = 0; turn < TURNS && !met && atomic_load(&n_waits) < MOST_WAITS; ++turn) {
    sched_yield();
    met = atomic_load(&n_inside) > 1;
  }
  if (!met) atomic_fetch_add(&n_waits, 1);
  atomic_fetch_sub(&n_inside, 1);
  return met;
}

static tenure_status select_newest(tenure_policy* self, const tenure_call* call, uint32_t layer, uint32_t n,
                                   const tenure_view* const* views, tenure_keepset* const* keepsets,
                                   tenure_status* statuses, tenure_error* error) {
  static uint32_t n_ever; /* of the process: what a verdict must not depend on */
  if (BREAKS == PHASES_FAILS && layer == TENURE_ALL_LAYERS) return TENURE_INTERNAL;
  if (layer == 0) self->saw_layer_0 = 1;
  if (BREAKS == WINDOWS && layer != TENURE_ALL_LAYERS && !self->saw_layer_0) return TENURE_INTERNAL;
  const tenure_status status = misbehave(self, call);
  if (status != TENURE_OK) return status;
  for (uint32_t s = 0; s < n; ++s) {
    tenure_seq* seq = views[s]->seq;
    self->last = keepsets[s];
    if (BREAKS == BUDGET_SAYS_NOTHING) continue;
    if (BREAKS == FINITE_SCORES) {
      statuses[s] = score_badly(keepsets[s], layer, views[s], error);
      continue;
    }
    const uint32_t counter = BREAKS == DETERMINISTIC ? n_ever
                             : BREAKS == INTERLEAVED ? self->n_selects
                             : BREAKS == FORKED      ? seq->n_selects
                                                     : 0;
    const int odd = BREAKS == LAYERS && meets_another();
    keep_newest(self, views[s], BREAKS == CHUNK_INVARIANT || odd || counter % 5 == 3);
    statuses[s] = keepsets[s]->keep(keepsets[s], layer, self->offsets, self->slots, error);
    ++n_ever;
    ++self->n_selects;
    ++seq->n_selects;
    if (BREAKS != HEAP) continue;
    struct block* block = malloc(sizeof *block);
    if (block == NULL) return TENURE_OOM_HOST;
    block->next = seq->blocks;
    seq->blocks = block;
  }
  return TENURE_OK;
}

static const tenure_policy_api api = {.head = {.struct_size = sizeof api, .rev = 1},
                                      .needs = needs,
                                      .create = create,
                                      .destroy = destroy,
                                      .begin = begin,
                                      .end = end,
                                      .prepare = prepare,
                                      .observe = count_attention,
                                      .select = select_newest};

TENURE_SINGLE_PLUGIN(BAD_ID, "policy", "1.0.0", TENURE_POLICY_INTERFACE, api);
