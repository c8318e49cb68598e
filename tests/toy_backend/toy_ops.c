#include <math.h>
#include <string.h>

#include "toy.h"

static double dot(const float* row, const double* x, uint64_t n) {
  double sum = 0;
  for (uint64_t i = 0; i < n; ++i) sum += row[i] * x[i];
  return sum;
}

/* x (n) = rms_norm(x) * gain */
static void norm(double* x, uint32_t n, const float* gain, double epsilon) {
  double squares = 0;
  for (uint32_t i = 0; i < n; ++i) squares += x[i] * x[i];
  const double scale = 1 / sqrt(squares / n + epsilon);
  for (uint32_t i = 0; i < n; ++i) x[i] *= scale * gain[i];
}

/* to (n_embd) = rms_norm(x) * gain; false when x is not finite. */
static bool normed(const tenure_weights* w, const float* x, const float* gain, double* to) {
  double squares = 0;
  for (uint32_t i = 0; i < w->n_embd; ++i) squares += (double)x[i] * x[i];
  const double scale = 1 / sqrt(squares / w->n_embd + w->norm_epsilon);
  for (uint32_t i = 0; i < w->n_embd; ++i) to[i] = x[i] * scale * gain[i];
  return isfinite(squares);
}

static void note_bad_row(const tenure_forward* forward, uint32_t row, uint32_t layer) {
  if (forward->first_bad_layer[row] < 0) forward->first_bad_layer[row] = (int32_t)layer;
}

tenure_status toy_run_begin(tenure_backend* self, const toy_op* op, tenure_error* error) {
  (void)self;
  const tenure_forward* forward = &op->forward;
  for (uint32_t row = 0; row < forward->n_rows; ++row) {
    forward->first_bad_layer[row] = -1;
    if (forward->ids[row] < 0 || (uint32_t)forward->ids[row] >= forward->weights->n_vocab) {
      return toy_fail(error, TENURE_INVALID_CONFIG, "forward_begin", "row %u has the token id %d", row,
                      forward->ids[row]);
    }
  }
  return TENURE_OK;
}

tenure_status toy_run_copy(tenure_backend* self, const toy_op* op, tenure_error* error) {
  (void)self;
  (void)error;
  if (op->n > 0) memmove(op->out[0], op->array, op->n);
  return TENURE_OK;
}

tenure_status toy_run_embed(tenure_backend* self, const toy_op* op, tenure_error* error) {
  (void)self;
  (void)error;
  const tenure_weights* w = op->forward.weights;
  float* x = op->out[0];
  for (uint32_t row = 0; row < op->forward.n_rows; ++row) {
    const float* from = w->of_model[TENURE_WEIGHT_TOKEN_EMBD] + (uint64_t)op->forward.ids[row] * w->n_embd;
    for (uint32_t i = 0; i < w->n_embd; ++i)
      x[(uint64_t)row * w->n_embd + i] = (float)(from[i] * w->embedding_scale);
  }
  return TENURE_OK;
}

/* What a query, key or value head is made from. */
typedef struct projection {
  const float* matrix; /* (n_heads * head_dim, n_embd) */
  const float* bias;   /* or NULL */
  const float* gain;   /* (head_dim) of a norm over each head, or NULL */
  uint32_t n_heads;
} projection;

/* to (n_heads * head_dim) from the normed row h */
static void project(const toy_op* op, double* head, const projection* p, const double* h, float* to) {
  const tenure_weights* w = op->forward.weights;
  const uint32_t dim = w->layers[op->layer].head_dim;
  for (uint64_t first = 0; first < (uint64_t)p->n_heads * dim; first += dim) {
    for (uint64_t i = 0; i < dim; ++i) {
      head[i] = dot(p->matrix + (first + i) * w->n_embd, h, w->n_embd) + (p->bias ? p->bias[first + i] : 0);
    }
    if (p->gain) norm(head, dim, p->gain, w->norm_epsilon);
    for (uint64_t i = 0; i < dim; ++i) to[first + i] = (float)head[i];
  }
}

tenure_status toy_run_qkv(tenure_backend* self, const toy_op* op, tenure_error* error) {
  (void)error;
  const tenure_weights* w = op->forward.weights;
  float* const* of_layer = w->of_layer[op->layer];
  const tenure_layer_info* layer = &w->layers[op->layer];
  const uint64_t n_q = (uint64_t)w->n_heads * layer->head_dim;
  const uint64_t n_kv = (uint64_t)layer->n_kv_heads * layer->head_dim;
  const uint64_t n_embd = w->n_embd;
  const projection q = {of_layer[TENURE_WEIGHT_Q], of_layer[TENURE_WEIGHT_Q_BIAS],
                        of_layer[TENURE_WEIGHT_Q_NORM], w->n_heads};
  const projection k = {of_layer[TENURE_WEIGHT_K], of_layer[TENURE_WEIGHT_K_BIAS],
                        of_layer[TENURE_WEIGHT_K_NORM], layer->n_kv_heads};
  const projection v = {of_layer[TENURE_WEIGHT_V], of_layer[TENURE_WEIGHT_V_BIAS], NULL, layer->n_kv_heads};
  float* hidden = op->out[3];
  for (uint64_t row = 0; row < op->forward.n_rows; ++row) {
    double* h = self->scratch.row;
    if (!normed(w, op->in[0] + row * n_embd, of_layer[TENURE_WEIGHT_ATTN_NORM], h)) {
      note_bad_row(&op->forward, (uint32_t)row, op->layer);
    }
    for (uint64_t i = 0; hidden && i < n_embd; ++i) hidden[row * n_embd + i] = (float)h[i];
    double* head = self->scratch.query;
    project(op, head, &q, h, (float*)op->out[0] + row * n_q);
    project(op, head, &k, h, (float*)op->out[1] + row * n_kv);
    project(op, head, &v, h, (float*)op->out[2] + row * n_kv);
  }
  return TENURE_OK;
}

void toy_rotate(const tenure_layer_info* layer, double positions, double* x) {
  const uint32_t half = layer->rope_dim / 2;
  for (uint32_t i = 0; i < half; ++i) {
    const double factor = layer->rope_factors ? layer->rope_factors[i] : 1;
    const double angle = positions * pow(layer->rope_base, -2.0 * i / layer->rope_dim) / factor;
    const uint32_t a = layer->rope_kind == TENURE_ROPE_INTERLEAVED ? 2 * i : i;
    const uint32_t b = layer->rope_kind == TENURE_ROPE_INTERLEAVED ? 2 * i + 1 : i + half;
    const double x_a = x[a];
    x[a] = x_a * cos(angle) - x[b] * sin(angle);
    x[b] = x_a * sin(angle) + x[b] * cos(angle);
  }
}

static void rotate_heads(const toy_op* op, double* head, uint32_t n_heads, const float* from, float* to) {
  const tenure_layer_info* layer = &op->forward.weights->layers[op->layer];
  const uint32_t dim = layer->head_dim;
  for (uint64_t at = 0; at < (uint64_t)op->forward.n_rows * n_heads; ++at) {
    for (uint32_t i = 0; i < dim; ++i) head[i] = from[at * dim + i];
    toy_rotate(layer, op->forward.positions[at / n_heads], head);
    for (uint32_t i = 0; i < dim; ++i) to[at * dim + i] = (float)head[i];
  }
}

tenure_status toy_run_rope(tenure_backend* self, const toy_op* op, tenure_error* error) {
  (void)error;
  const tenure_weights* w = op->forward.weights;
  rotate_heads(op, self->scratch.query, w->n_heads, op->in[0], op->out[0]);
  rotate_heads(op, self->scratch.query, w->layers[op->layer].n_kv_heads, op->in[1], op->out[1]);
  return TENURE_OK;
}

/* A block's last product. */
typedef struct block {
  const float* matrix; /* (n_embd, n_in) */
  uint64_t n_in;
  const float* post_norm; /* (n_embd) gain, or NULL */
} block;

/* x (n_embd) += matrix * in [, normed first] */
static void add_block(const tenure_weights* w, double* added, const block* b, const double* in, float* x) {
  for (uint64_t i = 0; i < w->n_embd; ++i) added[i] = dot(b->matrix + i * b->n_in, in, b->n_in);
  if (b->post_norm) norm(added, w->n_embd, b->post_norm, w->norm_epsilon);
  for (uint64_t i = 0; i < w->n_embd; ++i) x[i] = (float)(x[i] + added[i]);
}

tenure_status toy_run_attn_out(tenure_backend* self, const toy_op* op, tenure_error* error) {
  (void)error;
  const tenure_weights* w = op->forward.weights;
  const uint64_t n_in = (uint64_t)w->n_heads * w->layers[op->layer].head_dim;
  float* const* of_layer = w->of_layer[op->layer];
  const block out = {of_layer[TENURE_WEIGHT_ATTN_OUT], n_in, of_layer[TENURE_WEIGHT_ATTN_POST_NORM]};
  float* x = op->out[0];
  for (uint64_t row = 0; row < op->forward.n_rows; ++row) {
    double* in = self->scratch.row;
    for (uint64_t i = 0; i < n_in; ++i) in[i] = op->in[0][row * n_in + i];
    add_block(w, self->scratch.added, &out, in, x + row * w->n_embd);
  }
  return TENURE_OK;
}

double toy_activated(uint32_t activation, double x) {
  if (activation == TENURE_ACTIVATION_SILU) return x / (1 + exp(-x));
  return x / 2 * (1 + tanh(sqrt(2 / acos(-1)) * (x + 0.044715 * x * x * x)));
}

tenure_status toy_run_mlp(tenure_backend* self, const toy_op* op, tenure_error* error) {
  (void)error;
  const tenure_weights* w = op->forward.weights;
  float* const* of_layer = w->of_layer[op->layer];
  double* h = self->scratch.row;
  double* up = self->scratch.up;
  const uint64_t n_embd = w->n_embd;
  const block down = {of_layer[TENURE_WEIGHT_FFN_DOWN], w->n_ff, of_layer[TENURE_WEIGHT_FFN_POST_NORM]};
  for (uint64_t row = 0; row < op->forward.n_rows; ++row) {
    float* x = (float*)op->out[0] + row * n_embd;
    normed(w, x, of_layer[TENURE_WEIGHT_FFN_NORM], h);
    for (uint64_t i = 0; i < w->n_ff; ++i) {
      const double gate = dot(of_layer[TENURE_WEIGHT_FFN_GATE] + i * n_embd, h, n_embd);
      up[i] = toy_activated(w->activation, gate) * dot(of_layer[TENURE_WEIGHT_FFN_UP] + i * n_embd, h, n_embd);
    }
    add_block(w, self->scratch.added, &down, up, x);
  }
  return TENURE_OK;
}

/* One row's logits, twice where its log-sum-exp needs the largest first: nothing of n_vocab is kept. */
static void answer(const tenure_weights* w, const double* h, const tenure_want* want) {
  const float* matrix =
      w->of_model[w->of_model[TENURE_WEIGHT_OUTPUT] ? TENURE_WEIGHT_OUTPUT : TENURE_WEIGHT_TOKEN_EMBD];
  tenure_logits result = {.argmax = -1, .max_logit = -INFINITY, .status = TENURE_OK};
  double sum = 0;
  for (uint32_t id = 0; id < w->n_vocab; ++id) {
    const float logit = (float)dot(matrix + (uint64_t)id * w->n_embd, h, w->n_embd);
    if (want->flags & TENURE_WANT_FULL) want->full[id] = logit;
    for (uint32_t i = 0; (want->flags & TENURE_WANT_LOGITS_AT) && i < want->n_ids; ++i) {
      if (want->ids[i] == (int32_t)id) want->logits_at[i] = logit;
    }
    if (!isfinite(logit)) result.status = TENURE_NUMERIC;
    if (logit > result.max_logit) {
      sum = sum * exp((double)result.max_logit - logit) + 1;
      result.max_logit = logit;
      result.argmax = (int32_t)id;
    } else {
      sum += exp((double)logit - result.max_logit);
    }
  }
  result.logsumexp = result.max_logit + log(sum);
  if (result.status != TENURE_OK) {
    result = (tenure_logits){.argmax = -1, .max_logit = NAN, .logsumexp = NAN, .status = TENURE_NUMERIC};
  }
  *want->result = result;
}

tenure_status toy_run_head(tenure_backend* self, const toy_op* op, tenure_error* error) {
  const tenure_weights* w = op->forward.weights;
  const tenure_want* wants = op->array;
  for (uint64_t i = 0; i < op->n; ++i) {
    if (wants[i].row >= op->forward.n_rows) {
      return toy_fail(error, TENURE_INVALID_STATE, "head_logits", "want %llu is of row %u of %u",
                      (unsigned long long)i, wants[i].row, op->forward.n_rows);
    }
    const float* x = op->in[0] + (uint64_t)wants[i].row * w->n_embd;
    if (!normed(w, x, w->of_model[TENURE_WEIGHT_OUTPUT_NORM], self->scratch.row)) {
      note_bad_row(&op->forward, wants[i].row, w->n_layers);
    }
    answer(w, self->scratch.row, &wants[i]);
  }
  return TENURE_OK;
}
