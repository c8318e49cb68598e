/* R-KV. Cai, Xiao, Sun, Luo et al., "R-KV: Redundancy-aware KV Cache Compression for Reasoning Models",
 * NeurIPS 2025, arXiv 2505.24133, section 3, equations 2 to 7. Made for long answers that repeat themselves.
 *
 * importance: logits of the last 8 queries, the largest of the KV head's query heads; softmax over the slots
 * before those queries' own, the mean over the queries, the largest of `kernel` neighbours. redundancy:
 * softmax of the mean cosine of a key to all keys, leaving out itself and, for each key, the newest other one
 * whose cosine is above `threshold`: of several that say the same, a recent one stays. score:      lambda *
 * importance - (1 - lambda) * redundancy. The last 8 tokens stay (n_recent).
 *
 * State of a sequence: the last 8 queries of every layer (8, n_heads, head_dim), rotated, by position
 * modulo 8.
 *
 * Deviations: prompts are bounded too, at chunk ends (when = ["decode"] is the paper's). lambda is the
 * authors' code's.
 */
#include <math.h>
#include <stddef.h>
#include <string.h>
#include <tenure/entry.h>
#include <tenure/scorer.h>

enum { LAMBDA = 0, KERNEL = 1, THRESHOLD = 2 }; /* of the manifest's parameters */
enum { WINDOW = 8 };

struct tenure_policy {
  const tenure_host* host;
  const tenure_mem_service* mem;
  const tenure_model_info* model;
  const tenure_exec_service* exec;
  float lambda, threshold;
  uint32_t reach;
  uint64_t first_floats[]; /* (n_layers) of a layer's state */
};

static uint64_t layer_floats(const tenure_model_info* model, uint32_t layer) {
  return (uint64_t)WINDOW * model->n_heads * tenure_layer_at(model, layer)->head_dim;
}

static tenure_status needs(const tenure_model_info* model, const tenure_config* config, tenure_needs* out,
                           tenure_error* error) {
  (void)config, (void)error;
  out->state_bytes_per_sequence = 0;
  for (uint32_t l = 0; l < model->n_layers; ++l)
    out->state_bytes_per_sequence += layer_floats(model, l) * sizeof(float);
  return TENURE_OK;
}

static tenure_status create(const tenure_host* host, const tenure_model_info* model,
                            const tenure_config* config, tenure_policy** out, tenure_error* error) {
  (void)error;
  const tenure_mem_service* mem = host->query(host, (tenure_str)TENURE_TEXT("tenure.mem/1"), 1);
  tenure_policy* self =
      mem->alloc(host, sizeof *self + model->n_layers * sizeof(uint64_t), _Alignof(tenure_policy));
  if (self == NULL) return TENURE_OOM_HOST;
  *self = (tenure_policy){.host = host,
                          .mem = mem,
                          .model = model,
                          .exec = host->query(host, (tenure_str)TENURE_TEXT("tenure.exec/1"), 1),
                          .lambda = (float)config->values[LAMBDA].f,
                          .threshold = (float)config->values[THRESHOLD].f,
                          .reach = (uint32_t)config->values[KERNEL].i / 2};
  uint64_t n = 0;
  for (uint32_t l = 0; l < model->n_layers; ++l) {
    self->first_floats[l] = n;
    n += layer_floats(model, l);
  }
  *out = self;
  return TENURE_OK;
}

static void destroy(tenure_policy* self) {
  self->mem->free(self->host, self);
}

static void remember_queries(const tenure_evidence* e, uint32_t n_heads, float* floats) {
  const uint32_t head_dim = e->view->head_dim;
  for (uint32_t i = e->n_rows > WINDOW ? e->n_rows - WINDOW : 0; i < e->n_rows; ++i) {
    float* row = floats + (uint64_t)((uint32_t)e->first_pos + i) % WINDOW * n_heads * head_dim;
    for (uint32_t h = 0; h < n_heads; ++h)
      memcpy(row + h * head_dim, tenure_row_at(&e->q_post, i, h), head_dim * sizeof(float));
  }
}

struct task {
  const tenure_policy* self;
  const tenure_view* view;
  const tenure_layer_info* layer;
  const float* queries; /* (WINDOW, n_heads, head_dim) */
  float* scratch;       /* (n_workers, 3, n_slots of the longest head) */
  uint32_t longest;
};

static int is_in_window(const struct task* task, const tenure_head_view* head, uint32_t slot) {
  return head->pos[slot] + WINDOW >= (int64_t)task->view->n_tokens;
}

/* importance (n_slots); 0 in the window, whose slots stay by n_recent. */
static void find_importance(const struct task* task, const tenure_head_view* head, uint32_t h, float* logits,
                            float* importance) {
  const uint32_t dim = task->layer->head_dim, n_heads = task->self->model->n_heads, n = head->n_slots;
  const uint32_t group = n_heads / task->layer->n_kv_heads;
  const uint32_t n_queries = task->view->n_tokens < WINDOW ? task->view->n_tokens : WINDOW;
  memset(importance, 0, n * sizeof(float));
  for (uint32_t row = 0; row < n_queries; ++row) {
    float largest = -INFINITY, sum = 0;
    for (uint32_t i = 0; i < n; ++i) {
      logits[i] = -INFINITY;
      for (uint32_t q = h * group; q < (h + 1) * group && !is_in_window(task, head, i); ++q) {
        const float* query = task->queries + ((uint64_t)row * n_heads + q) * dim;
        const float logit =
            tenure_dot(query, head->k + (uint64_t)i * dim, dim) * (float)task->layer->attention_scale;
        if (logit > logits[i]) logits[i] = logit;
      }
      if (logits[i] > largest) largest = logits[i];
    }
    if (largest == -INFINITY) return; /* nothing but the window */
    for (uint32_t i = 0; i < n; ++i) sum += logits[i] = expf(logits[i] - largest);
    tenure_add_scaled(importance, 1.0f / (sum * (float)n_queries), logits, n);
  }
}

/* redundancy (n_slots). inverse (n_slots) is room for 1 / ||k||. */
static void find_redundancy(const struct task* task, const tenure_head_view* head, float* inverse,
                            float* redundancy) {
  const uint32_t dim = task->layer->head_dim, n = head->n_slots;
  for (uint32_t i = 0; i < n; ++i) {
    const float square = tenure_dot(head->k + (uint64_t)i * dim, head->k + (uint64_t)i * dim, dim);
    inverse[i] = square > 0 ? 1.0f / sqrtf(square) : 0.0f;
    redundancy[i] = 0;
  }
  for (uint32_t i = 0; i < n; ++i) {
    float left_out = 0;
    uint32_t newest = n;
    for (uint32_t j = 0; j < n; ++j) {
      if (j == i) continue;
      const float cosine =
          tenure_dot(head->k + (uint64_t)i * dim, head->k + (uint64_t)j * dim, dim) * inverse[i] * inverse[j];
      redundancy[j] += cosine;
      if (cosine > task->self->threshold && (newest == n || head->pos[j] > head->pos[newest]))
        newest = j, left_out = cosine;
    }
    if (newest < n) redundancy[newest] -= left_out;
  }
  float largest = -INFINITY, sum = 0;
  for (uint32_t i = 0; i < n; ++i) {
    redundancy[i] /= (float)n;
    if (redundancy[i] > largest) largest = redundancy[i];
  }
  for (uint32_t i = 0; i < n; ++i) sum += redundancy[i] = expf(redundancy[i] - largest);
  for (uint32_t i = 0; i < n; ++i) redundancy[i] /= sum;
}

static void score_head(void* context, uint32_t h, uint32_t worker) {
  const struct task* task = context;
  const tenure_policy* self = task->self;
  const tenure_head_view* head = tenure_head_at(task->view, h);
  float* scratch = task->scratch + (uint64_t)worker * 3 * task->longest;
  float *importance = scratch + task->longest, *redundancy = scratch + 2 * task->longest;
  find_redundancy(task, head, scratch, redundancy);
  find_importance(task, head, h, scratch, importance);
  tenure_pool_1d(importance, head->n_slots, self->reach, 1, head->state);
  for (uint32_t i = 0; i < head->n_slots; ++i)
    head->state[i] = self->lambda * head->state[i] - (1 - self->lambda) * redundancy[i];
}

static tenure_status score_layer(tenure_policy* self, uint32_t layer, const tenure_evidence* e,
                                 const float* floats, tenure_error* error) {
  struct task task = {
      .self = self, .view = e->view, .layer = tenure_layer_at(self->model, layer), .queries = floats};
  task.longest = tenure_longest_head(e->view);
  task.scratch = self->mem->alloc(
      self->host, (uint64_t)self->exec->n_workers(self->host) * 3 * task.longest * sizeof(float), 64);
  if (task.scratch == NULL) return TENURE_OOM_HOST;
  self->exec->parallel_for(self->host, e->view->n_heads, score_head, &task);
  self->mem->free(self->host, task.scratch);
  return e->keepset->score(e->keepset, layer, NULL, NULL, error);
}

static tenure_status observe(tenure_policy* self, const tenure_call* call, uint32_t layer, uint32_t n,
                             const tenure_evidence* const* evidence, tenure_status* statuses,
                             tenure_error* error) {
  (void)call;
  for (uint32_t s = 0; s < n; ++s) {
    float* floats = (float*)evidence[s]->view->state + self->first_floats[layer];
    if (evidence[s]->n_rows > 0) {
      remember_queries(evidence[s], self->model->n_heads, floats);
    } else {
      statuses[s] = score_layer(self, layer, evidence[s], floats, error);
    }
  }
  return TENURE_OK;
}

static const tenure_policy_api api = {.head = {.struct_size = sizeof api, .rev = 1},
                                      .needs = needs,
                                      .create = create,
                                      .destroy = destroy,
                                      .observe = observe};

TENURE_SINGLE_PLUGIN("rkv", "policy", "1.0.0", TENURE_POLICY_INTERFACE, api);
