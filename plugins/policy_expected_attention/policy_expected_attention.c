/* Expected Attention. Devoto, Jeblick, Jégou, "Expected Attention: KV Cache Compression by Estimating
 * Attention from Future Queries Distribution", 2025, arXiv 2510.00636, section 3, equations 6 to 9.
 *
 * The queries before RoPE, taken as normal with the mean m and covariance S of those seen so far, are turned
 * by R, the mean rotation of the next n_future positions: m' = R m, S' = R S R^T. A slot's expected weight
 * for a query head is softmax_i(k_i . m' * scale + k_i^T S' k_i * scale^2 / 2) and its score (weight +
 * epsilon) * ||v_i||, the weight being the mean over the KV head's query heads.
 *
 * State of a sequence, for each layer and query head: the sum of its queries (head_dim) and of their products
 * (head_dim, head_dim), in the order of the tokens, so that it does not show how a chunk was cut.
 *
 * Deviations: it decides at each chunk's end, with the queries seen so far; in decode every `period` steps.
 * The first four queries are left out, as the authors' code does. Weights are softmaxed over the slots that
 * are no sinks.
 */
#include <math.h>
#include <stddef.h>
#include <string.h>
#include <tenure/entry.h>
#include <tenure/scorer.h>

enum { N_FUTURE = 0, EPSILON = 1 }; /* of the manifest's parameters */
enum { MAX_HEAD_DIM = 256, N_SKIPPED = 4 };

struct tenure_policy {
  const tenure_host* host;
  const tenure_mem_service* mem;
  const tenure_model_info* model;
  const tenure_exec_service* exec;
  uint32_t n_future;
  float epsilon;
  struct moments* moments; /* (n_workers) */
  uint64_t first_floats[]; /* (n_layers) of a layer's state */
};

/* A query head's turned moments, and room to turn them. */
struct moments {
  float mean[MAX_HEAD_DIM];
  float covariance[MAX_HEAD_DIM * MAX_HEAD_DIM];
  float turned[MAX_HEAD_DIM];
  float cosine[MAX_HEAD_DIM / 2]; /* of the mean rotation, by pair */
  float sine[MAX_HEAD_DIM / 2];
};

static uint64_t head_floats(const tenure_layer_info* layer) {
  return layer->head_dim + (uint64_t)layer->head_dim * layer->head_dim;
}

static uint64_t state_floats(const tenure_model_info* model) {
  uint64_t n = 0;
  for (uint32_t l = 0; l < model->n_layers; ++l) n += model->n_heads * head_floats(tenure_layer_at(model, l));
  return n;
}

static tenure_status needs(const tenure_model_info* model, const tenure_config* config, tenure_needs* out,
                           tenure_error* error) {
  (void)config, (void)error;
  out->state_bytes_per_sequence = state_floats(model) * sizeof(float);
  return TENURE_OK;
}

static tenure_status create(const tenure_host* host, const tenure_model_info* model,
                            const tenure_config* config, tenure_policy** out, tenure_error* error) {
  (void)error;
  for (uint32_t l = 0; l < model->n_layers; ++l)
    if (tenure_layer_at(model, l)->head_dim > MAX_HEAD_DIM) return TENURE_UNSUPPORTED;
  const tenure_mem_service* mem = host->query(host, (tenure_str)TENURE_TEXT("tenure.mem/1"), 1);
  tenure_policy* self =
      mem->alloc(host, sizeof *self + model->n_layers * sizeof(uint64_t), _Alignof(tenure_policy));
  if (self == NULL) return TENURE_OOM_HOST;
  *self = (tenure_policy){.host = host,
                          .mem = mem,
                          .model = model,
                          .exec = host->query(host, (tenure_str)TENURE_TEXT("tenure.exec/1"), 1),
                          .n_future = (uint32_t)config->values[N_FUTURE].i,
                          .epsilon = (float)config->values[EPSILON].f};
  self->moments =
      mem->alloc(host, self->exec->n_workers(host) * sizeof *self->moments, _Alignof(struct moments));
  if (self->moments == NULL) {
    mem->free(host, self);
    return TENURE_OOM_HOST;
  }
  uint64_t n = 0;
  for (uint32_t l = 0; l < model->n_layers; ++l) {
    self->first_floats[l] = n;
    n += model->n_heads * head_floats(tenure_layer_at(model, l));
  }
  *out = self;
  return TENURE_OK;
}

static void destroy(tenure_policy* self) {
  self->mem->free(self->host, self->moments);
  self->mem->free(self->host, self);
}

/* ---- queries, as they come ---- */

/* products (head_dim, head_dim) += q q^T of rows [first, n). Sixteen columns at a time stay in registers
 * while the rows pass, each added in turn. */
static void add_products(const tenure_f32_view* q, uint32_t first, uint32_t n, uint32_t head,
                         uint32_t head_dim, float* products) {
  for (uint32_t a = 0; a < head_dim; ++a) {
    for (uint32_t b = 0; b < head_dim; b += 16) {
      float sums[16];
      const uint32_t width = head_dim - b < 16 ? head_dim - b : 16;
      memcpy(sums, products + (uint64_t)a * head_dim + b, width * sizeof(float));
      for (uint32_t i = first; i < n; ++i) {
        const float* row = tenure_row_at(q, i, head);
        if (width == 16) {
          for (uint32_t lane = 0; lane < 16; ++lane) sums[lane] += row[a] * row[b + lane];
        } else {
          for (uint32_t lane = 0; lane < width; ++lane) sums[lane] += row[a] * row[b + lane];
        }
      }
      memcpy(products + (uint64_t)a * head_dim + b, sums, width * sizeof(float));
    }
  }
}

struct sum_task {
  const tenure_evidence* evidence;
  float* floats; /* of the layer: n_heads times {sum, products} */
  uint32_t head_dim;
};

static void sum_head(void* context, uint32_t head, uint32_t worker) {
  (void)worker;
  const struct sum_task* task = context;
  const tenure_evidence* e = task->evidence;
  float* sum = task->floats + head * ((uint64_t)task->head_dim + (uint64_t)task->head_dim * task->head_dim);
  const uint32_t first = e->first_pos < N_SKIPPED ? (uint32_t)(N_SKIPPED - e->first_pos) : 0;
  for (uint32_t i = first; i < e->n_rows; ++i)
    tenure_add_scaled(sum, 1.0f, tenure_row_at(&e->q_pre, i, head), task->head_dim);
  add_products(&e->q_pre, first, e->n_rows, head, task->head_dim, sum + task->head_dim);
}

/* ---- what is expected of them ---- */

/* The mean of exp(i angle (first_pos + j)), j < n, is a geometric series: the middle position's rotation,
 * shortened. */
static void find_mean_rotation(const tenure_layer_info* layer, uint32_t first_pos, uint32_t n_future,
                               struct moments* m) {
  for (uint32_t pair = 0; pair < layer->rope_dim / 2; ++pair) {
    double angle = pow(layer->rope_base, -2.0 * pair / layer->rope_dim);
    if (layer->rope_factors != NULL) angle /= layer->rope_factors[pair];
    const double length = sin(n_future * angle / 2) / (n_future * sin(angle / 2));
    const double middle = angle * (first_pos + (n_future - 1) / 2.0);
    m->cosine[pair] = (float)(cos(middle) * length);
    m->sine[pair] = (float)(sin(middle) * length);
  }
}

/* x turned by the mean rotation, in place; elements `step` apart. */
static void turn(const tenure_layer_info* layer, const struct moments* m, float* x, uint32_t step) {
  const uint32_t half = layer->rope_dim / 2;
  for (uint32_t pair = 0; pair < half; ++pair) {
    const int interleaved = layer->rope_kind == TENURE_ROPE_INTERLEAVED;
    float* a = x + (uint64_t)(interleaved ? 2 * pair : pair) * step;
    float* b = x + (uint64_t)(interleaved ? 2 * pair + 1 : pair + half) * step;
    const float old = *a;
    *a = old * m->cosine[pair] - *b * m->sine[pair];
    *b = old * m->sine[pair] + *b * m->cosine[pair];
  }
}

static void expect(const tenure_layer_info* layer, const float* sum, uint64_t n, struct moments* m) {
  const uint32_t dim = layer->head_dim;
  const float share = n > 0 ? 1.0f / (float)n : 0.0f;
  for (uint32_t a = 0; a < dim; ++a) m->mean[a] = sum[a] * share;
  for (uint32_t a = 0; a < dim; ++a)
    for (uint32_t b = 0; b < dim; ++b)
      m->covariance[a * dim + b] = sum[dim + a * dim + b] * share - m->mean[a] * m->mean[b];
  turn(layer, m, m->mean, 1);
  for (uint32_t a = 0; a < dim; ++a) turn(layer, m, m->covariance + a * dim, 1); /* S R^T */
  for (uint32_t b = 0; b < dim; ++b) turn(layer, m, m->covariance + b, dim);     /* R S R^T */
}

/* weights (n_slots) = what this query head is expected to attend with; 0 for sinks. */
static void expect_weights(const tenure_head_view* head, const tenure_layer_info* layer, struct moments* m,
                           float* weights) {
  const uint32_t dim = layer->head_dim;
  const float scale = (float)layer->attention_scale;
  float largest = -INFINITY, sum = 0;
  for (uint32_t i = 0; i < head->n_slots; ++i) {
    if (head->flags[i] & TENURE_SLOT_SINK) continue;
    const float* key = head->k + (uint64_t)i * dim;
    memset(m->turned, 0, dim * sizeof(float));
    for (uint32_t a = 0; a < dim; ++a) tenure_add_scaled(m->turned, key[a], m->covariance + a * dim, dim);
    weights[i] =
        tenure_dot(key, m->mean, dim) * scale + tenure_dot(key, m->turned, dim) * scale * scale * 0.5f;
    if (weights[i] > largest) largest = weights[i];
  }
  for (uint32_t i = 0; i < head->n_slots; ++i) {
    weights[i] = head->flags[i] & TENURE_SLOT_SINK ? 0.0f : expf(weights[i] - largest);
    sum += weights[i];
  }
  for (uint32_t i = 0; i < head->n_slots; ++i) weights[i] /= sum > 0 ? sum : 1.0f;
}

struct score_task {
  tenure_policy* self;
  const tenure_view* view;
  const tenure_layer_info* layer;
  const float* floats; /* of the layer */
  float* weights;      /* (n_workers, n_slots of the longest head) */
  uint32_t longest;
};

static void score_head(void* context, uint32_t h, uint32_t worker) {
  const struct score_task* task = context;
  const tenure_layer_info* layer = task->layer;
  const tenure_head_view* head = tenure_head_at(task->view, h);
  struct moments* m = &task->self->moments[worker];
  float* weights = task->weights + (uint64_t)worker * task->longest;
  const uint32_t group = task->self->model->n_heads / layer->n_kv_heads;
  const uint64_t n_queries = task->view->n_tokens > N_SKIPPED ? task->view->n_tokens - N_SKIPPED : 0;
  find_mean_rotation(layer, task->view->n_tokens, task->self->n_future, m);
  memset(head->state, 0, head->n_slots * sizeof(float));
  for (uint32_t q = h * group; q < (h + 1) * group; ++q) {
    expect(layer, task->floats + q * head_floats(layer), n_queries, m);
    expect_weights(head, layer, m, weights);
    tenure_add_scaled(head->state, 1.0f / (float)group, weights, head->n_slots);
  }
  for (uint32_t i = 0; i < head->n_slots; ++i) {
    const float* value = head->v + (uint64_t)i * layer->head_dim;
    head->state[i] =
        (head->state[i] + task->self->epsilon) * sqrtf(tenure_dot(value, value, layer->head_dim));
  }
}

static tenure_status score_layer(tenure_policy* self, uint32_t layer, const tenure_evidence* e, float* floats,
                                 tenure_error* error) {
  struct score_task task = {
      .self = self, .view = e->view, .layer = tenure_layer_at(self->model, layer), .floats = floats};
  task.longest = tenure_longest_head(e->view);
  task.weights = self->mem->alloc(
      self->host, (uint64_t)self->exec->n_workers(self->host) * task.longest * sizeof(float), 64);
  if (task.weights == NULL) return TENURE_OOM_HOST;
  self->exec->parallel_for(self->host, e->view->n_heads, score_head, &task);
  self->mem->free(self->host, task.weights);
  return e->keepset->score(e->keepset, layer, NULL, NULL, error);
}

static tenure_status observe(tenure_policy* self, const tenure_call* call, uint32_t layer, uint32_t n,
                             const tenure_evidence* const* evidence, tenure_status* statuses,
                             tenure_error* error) {
  (void)call;
  for (uint32_t s = 0; s < n; ++s) {
    float* floats = (float*)evidence[s]->view->state + self->first_floats[layer];
    if (evidence[s]->n_rows > 0) {
      struct sum_task task = {
          .evidence = evidence[s], .floats = floats, .head_dim = evidence[s]->view->head_dim};
      self->exec->parallel_for(self->host, self->model->n_heads, sum_head, &task);
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

TENURE_SINGLE_PLUGIN("expected_attention", "policy", "1.0.0", TENURE_POLICY_INTERFACE, api);
