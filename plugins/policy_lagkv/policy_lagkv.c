/* LagKV. Liang, Zhang, Xu, Li, "LagKV: Lag-Relative Information of the KV Cache Tells Which Tokens Are
 * Important", 2025, arXiv 2504.04704, section 3, equations 3 to 9.
 *
 * After the sinks the tokens form blocks of `lag`. A block is scored once the next one is complete: its keys
 * are scaled per channel by the next block's range, (k - min) / (max - min); the deviation over the channels,
 * put through a softmax over the block, is the score; likewise for values; and the mean of both, as a rank
 * inside the block (0 the least, below 1 the most), is the slot's score from then on. The last complete block
 * and what follows stay.
 *
 * Deviations: the paper keeps the same share of every block; ranks of all blocks compete for one budget here,
 * which comes to the same while blocks are whole. Where the budget is below four blocks, blocks shrink to a
 * quarter of it: two of them stay unscored.
 */
#include <math.h>
#include <stddef.h>
#include <tenure/entry.h>
#include <tenure/scorer.h>

static const float UNSCORED = 2.0f; /* above every rank */

struct tenure_policy {
  const tenure_host* host;
  const tenure_mem_service* mem;
  uint32_t lag;
  uint32_t* members;     /* (lag) slots of the block being scored, and of the next */
  uint32_t* next;        /* (lag) */
  float* information[2]; /* (lag) each: of keys and of values */
  float* least;          /* (the widest head_dim) of the next block, by channel */
  float* most;           /* (the widest head_dim) */
};

/* The sequence's state. */
struct blocks {
  uint32_t lag;
};

static tenure_status create(const tenure_host* host, const tenure_model_info* model,
                            const tenure_config* config, tenure_policy** out, tenure_error* error) {
  (void)error;
  uint32_t head_dim = 0;
  for (uint32_t l = 0; l < model->n_layers; ++l)
    if (tenure_layer_at(model, l)->head_dim > head_dim) head_dim = tenure_layer_at(model, l)->head_dim;
  const uint64_t lag = (uint64_t)config->values[0].i;
  const tenure_mem_service* mem = host->query(host, (tenure_str)TENURE_TEXT("tenure.mem/1"), 1);
  tenure_policy* self =
      mem->alloc(host, sizeof *self + 4 * (4 * lag + 2 * (uint64_t)head_dim), _Alignof(tenure_policy));
  if (self == NULL) return TENURE_OOM_HOST;
  self->host = host;
  self->mem = mem;
  self->lag = (uint32_t)lag;
  self->members = (uint32_t*)(self + 1);
  self->next = self->members + lag;
  self->information[0] = (float*)(self->next + lag);
  self->information[1] = self->information[0] + lag;
  self->least = self->information[1] + lag;
  self->most = self->least + head_dim;
  *out = self;
  return TENURE_OK;
}

static void destroy(tenure_policy* self) {
  self->mem->free(self->host, self);
}

static tenure_status begin(tenure_policy* self, const tenure_call* call, const tenure_sequence_info* info,
                           tenure_seq** out, tenure_error* error) {
  (void)call, (void)error;
  struct blocks* blocks = info->state;
  const uint64_t quarter = info->budget / 4;
  blocks->lag = quarter >= self->lag ? self->lag : quarter < 2 ? 2 : (uint32_t)quarter;
  *out = NULL;
  return TENURE_OK;
}

/* Slots of positions [first, first + n). */
static uint32_t find_block(const tenure_head_view* head, int64_t first, uint32_t n, uint32_t* slots) {
  uint32_t n_found = 0;
  for (uint32_t i = 0; i < head->n_slots; ++i)
    if (head->pos[i] >= first && head->pos[i] < first + n) slots[n_found++] = i;
  return n_found;
}

static void find_range(const tenure_policy* self, const float* rows, uint32_t n, uint32_t head_dim) {
  for (uint32_t d = 0; d < head_dim; ++d) self->least[d] = INFINITY, self->most[d] = -INFINITY;
  for (uint32_t i = 0; i < n; ++i) {
    const float* row = rows + (uint64_t)self->next[i] * head_dim;
    for (uint32_t d = 0; d < head_dim; ++d) {
      self->least[d] = row[d] < self->least[d] ? row[d] : self->least[d];
      self->most[d] = row[d] > self->most[d] ? row[d] : self->most[d];
    }
  }
}

/* The deviation over the channels of a row scaled by the next block's range. */
static float deviation(const tenure_policy* self, const float* row, uint32_t head_dim) {
  double sum = 0, squares = 0;
  for (uint32_t d = 0; d < head_dim; ++d) {
    const float range = self->most[d] - self->least[d];
    const double x = range > 0 ? (row[d] - self->least[d]) / range : 0.0f;
    sum += x;
    squares += x * x;
  }
  const double variance = (squares - sum * sum / head_dim) / (head_dim > 1 ? head_dim - 1 : 1);
  return variance > 0 ? (float)sqrt(variance) : 0.0f;
}

/* information (n_members) = softmax over the block of its rows' deviations. */
static void inform(const tenure_policy* self, const float* rows, uint32_t n_members, uint32_t n_next,
                   uint32_t head_dim, float* information) {
  find_range(self, rows, n_next, head_dim);
  float largest = 0, sum = 0;
  for (uint32_t i = 0; i < n_members; ++i) {
    information[i] = deviation(self, rows + (uint64_t)self->members[i] * head_dim, head_dim);
    if (information[i] > largest) largest = information[i];
  }
  for (uint32_t i = 0; i < n_members; ++i) sum += information[i] = expf(information[i] - largest);
  for (uint32_t i = 0; i < n_members; ++i) information[i] /= sum;
}

static void score_block(const tenure_policy* self, const tenure_head_view* head, uint32_t n_members,
                        uint32_t n_next, uint32_t head_dim) {
  inform(self, head->k, n_members, n_next, head_dim, self->information[0]);
  inform(self, head->v, n_members, n_next, head_dim, self->information[1]);
  float* both = self->information[0];
  for (uint32_t i = 0; i < n_members; ++i) both[i] += self->information[1][i];
  for (uint32_t i = 0; i < n_members; ++i) {
    uint32_t rank = 1;
    for (uint32_t j = 0; j < n_members; ++j) rank += both[j] < both[i] || (both[j] == both[i] && j > i);
    head->state[self->members[i]] = (float)rank / (float)(n_members + 1);
  }
}

/* State: 0 for a new slot, UNSCORED while its block waits for the next one, then its rank, in (0, 1). */
static void score_head(const tenure_policy* self, const tenure_view* view, const tenure_head_view* head) {
  const uint32_t lag = ((const struct blocks*)view->state)->lag;
  int64_t n_sinks = 0, oldest = view->n_tokens;
  for (uint32_t i = 0; i < head->n_slots; ++i) {
    if (head->flags[i] & TENURE_SLOT_SINK) {
      if (head->pos[i] >= n_sinks) n_sinks = head->pos[i] + 1;
      continue;
    }
    if (head->state[i] == 0) head->state[i] = UNSCORED;
    if (head->state[i] == UNSCORED && head->pos[i] < oldest) oldest = head->pos[i];
  }
  for (int64_t block = (oldest - n_sinks) / lag; n_sinks + (block + 2) * lag <= view->n_tokens; ++block) {
    const uint32_t n_members = find_block(head, n_sinks + block * lag, lag, self->members);
    const uint32_t n_next = find_block(head, n_sinks + (block + 1) * lag, lag, self->next);
    if (n_members > 0) score_block(self, head, n_members, n_next, view->head_dim);
  }
}

static tenure_status score_blocks(tenure_policy* self, const tenure_call* call, uint32_t layer, uint32_t n,
                                  const tenure_evidence* const* evidence, tenure_status* statuses,
                                  tenure_error* error) {
  (void)call;
  for (uint32_t s = 0; s < n; ++s) {
    const tenure_view* view = evidence[s]->view;
    for (uint32_t h = 0; h < view->n_heads; ++h) score_head(self, view, tenure_head_at(view, h));
    statuses[s] = evidence[s]->keepset->score(evidence[s]->keepset, layer, NULL, NULL, error);
  }
  return TENURE_OK;
}

static const tenure_policy_api api = {.head = {.struct_size = sizeof api, .rev = 1},
                                      .create = create,
                                      .destroy = destroy,
                                      .begin = begin,
                                      .observe = score_blocks};

TENURE_SINGLE_PLUGIN("lagkv", "policy", "1.0.0", TENURE_POLICY_INTERFACE, api);
