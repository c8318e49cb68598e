/* KVzap's surrogates learn. "KVzap: Fast, Adaptive, and Faithful KV Cache Pruning", 2026, arXiv 2601.07891: per layer, from the
 * attention's input h, the log importance of the token for each KV head. The linear one is W h + b; the other
 * W2 gelu(W1 h + b1) + b2 with an eighth of h's width between. The loss is the mean squared error.
 *
 * Deviations: the label is the host's attention_logprob_max, the log of KVzip's importance over the questions of a document;
 * KVzip+'s weighing by the norms of W_O v and h is left out, and so is KVzip's repeating of the whole context. The linear one is
 * fitted by descent as the other, not in closed form. gelu is its tanh form.
 */
#include "training.h"

#include <stddef.h>
#include <string.h>
#include <tenure/backend.h>
#include <tenure/entry.h>
#include <tenure/ext/activations.h>
#include <tenure/scorer.h>

enum { SURROGATE = 0 }; /* of the manifest's [[training]] */
enum { W1 = 0, B1 = 1, W2 = 2, B2 = 3, MOST_PARAMETERS = 4 };
enum { NARROWING = 8 };

struct tenure_trainable {
  const tenure_host* host;
  const tenure_mem_service* mem;
  const tenure_gemm_service* gemm;
  const tenure_model_info* model;
  uint32_t n_hidden; /* 0: linear */
  uint32_t reserved0;
  tenure_trainable_parameter parameters[MOST_PARAMETERS]; /* of the layer that was asked for last */
  float* scratch;
  uint64_t n_scratch;
};

/* What one batch makes on its way, rows side by side in scratch. */
struct activations {
  float* hidden;   /* (n_rows, n_hidden) */
  float* slope;    /* (n_rows, n_hidden) */
  float* d_hidden; /* (n_rows, n_hidden) */
  float* scores;   /* (n_rows, n_kv_heads) */
  float* d_scores; /* (n_rows, n_kv_heads) */
};

static tenure_status create(const tenure_host* host, const tenure_model_info* model, const tenure_config* config,
                            tenure_trainable** out, tenure_error* error) {
  (void)error;
  const tenure_mem_service* mem = host->query(host, (tenure_str)TENURE_TEXT("tenure.mem/1"), 1);
  const tenure_gemm_service* gemm = host->query(host, (tenure_str)TENURE_TEXT("tenure.gemm/1"), 1);
  if (gemm == NULL) return TENURE_UNSUPPORTED;
  tenure_trainable* self = mem->alloc(host, sizeof *self, _Alignof(tenure_trainable));
  if (self == NULL) return TENURE_OOM_HOST;
  const int is_linear = tenure_is_interface(config->values[SURROGATE].s, "linear");
  *self = (tenure_trainable){.host = host,
                             .mem = mem,
                             .gemm = gemm,
                             .model = model,
                             .n_hidden = is_linear ? 0 : (model->n_embd + NARROWING - 1) / NARROWING};
  *out = self;
  return TENURE_OK;
}

static void destroy(tenure_trainable* self) {
  self->mem->free(self->host, self->scratch);
  self->mem->free(self->host, self);
}

static tenure_status evidence(tenure_trainable* self, uint32_t* out, tenure_error* error) {
  (void)self, (void)error;
  *out = TENURE_EVIDENCE_HIDDEN;
  return TENURE_OK;
}

static tenure_trainable_parameter matrix(tenure_str name, uint64_t n_out, uint64_t n_in) {
  return (tenure_trainable_parameter){.head = {.struct_size = sizeof(tenure_trainable_parameter)},
                                      .name = name,
                                      .n_dims = 2,
                                      .shape = {n_out, n_in},
                                      .initial_variance = 1.0 / (double)n_in};
}

static tenure_trainable_parameter bias(tenure_str name, uint64_t n) {
  return (tenure_trainable_parameter){
      .head = {.struct_size = sizeof(tenure_trainable_parameter)}, .name = name, .n_dims = 1, .shape = {n}};
}

static tenure_status layer(tenure_trainable* self, uint32_t index, tenure_trainable_layer* out, tenure_error* error) {
  (void)error;
  const tenure_layer_info* info = tenure_layer_at(self->model, index);
  if (info->window != 0) return TENURE_OK; /* no policy decides on it */
  const uint64_t n_first = self->n_hidden > 0 ? self->n_hidden : info->n_kv_heads;
  self->parameters[W1] = matrix((tenure_str)TENURE_TEXT("w1"), n_first, self->model->n_embd);
  self->parameters[B1] = bias((tenure_str)TENURE_TEXT("b1"), n_first);
  self->parameters[W2] = matrix((tenure_str)TENURE_TEXT("w2"), info->n_kv_heads, n_first);
  self->parameters[B2] = bias((tenure_str)TENURE_TEXT("b2"), info->n_kv_heads);
  out->n_inputs = self->model->n_embd;
  out->n_outputs = info->n_kv_heads;
  out->n_parameters = self->n_hidden > 0 ? 4 : 2;
  out->parameter_stride = sizeof(tenure_trainable_parameter);
  out->parameters = self->parameters;
  return TENURE_OK;
}

static tenure_status make_room(tenure_trainable* self, uint64_t n_rows, uint32_t n_outputs, struct activations* a) {
  const uint64_t n = n_rows * (3 * (uint64_t)self->n_hidden + 2 * (uint64_t)n_outputs);
  if (n > self->n_scratch) {
    self->mem->free(self->host, self->scratch);
    self->scratch = self->mem->alloc(self->host, n * sizeof(float), 64);
    self->n_scratch = self->scratch == NULL ? 0 : n;
    if (self->scratch == NULL) return TENURE_OOM_HOST;
  }
  a->hidden = self->scratch;
  a->slope = a->hidden + n_rows * self->n_hidden;
  a->d_hidden = a->slope + n_rows * self->n_hidden;
  a->scores = a->d_hidden + n_rows * self->n_hidden;
  a->d_scores = a->scores + n_rows * n_outputs;
  return TENURE_OK;
}

/* c (m, n) = op(a) op(b) + beta * c, all without gaps. */
static tenure_status multiply(tenure_trainable* self, tenure_gemm product, tenure_error* error) {
  product.head.struct_size = sizeof product;
  product.alpha = 1;
  product.a_stride = product.transpose_a ? product.m : product.k;
  product.b_stride = product.transpose_b ? product.k : product.n;
  product.c_stride = product.n;
  return self->gemm->gemm(self->host, &product, error);
}

/* out (n_rows, n_out) = x (n_rows, n_in) w^T + b */
static tenure_status affine(tenure_trainable* self, uint64_t n_rows, uint64_t n_in, uint64_t n_out, const float* x, const float* w,
                            const float* b, float* out, tenure_error* error) {
  for (uint64_t i = 0; i < n_rows; ++i) memcpy(out + i * n_out, b, n_out * sizeof(float));
  return multiply(self, (tenure_gemm){.transpose_b = 1, .m = n_rows, .n = n_out, .k = n_in, .beta = 1, .a = x, .b = w, .c = out}, error);
}

static tenure_status forward(tenure_trainable* self, const tenure_training_batch* batch, uint32_t n_outputs, struct activations* a,
                             tenure_error* error) {
  const uint64_t n = batch->n_rows, n_inputs = self->model->n_embd;
  const float* const* p = batch->parameters;
  if (self->n_hidden == 0) return affine(self, n, n_inputs, n_outputs, batch->inputs, p[W1], p[B1], a->scores, error);
  const tenure_status status = affine(self, n, n_inputs, self->n_hidden, batch->inputs, p[W1], p[B1], a->hidden, error);
  if (status != TENURE_OK) return status;
  tenure_activate(TENURE_ACTIVATION_GELU_TANH, a->hidden, n * self->n_hidden, a->hidden, a->slope);
  return affine(self, n, self->n_hidden, n_outputs, a->hidden, p[W2], p[B2], a->scores, error);
}

/* The loss, and in d_scores its slope by each score. */
static float lose(const tenure_training_batch* batch, uint32_t n_outputs, struct activations* a) {
  const uint32_t first = batch->n_unlabelled < batch->n_rows ? batch->n_unlabelled : batch->n_rows;
  const uint64_t n_labelled = (uint64_t)(batch->n_rows - first) * n_outputs;
  const float share = n_labelled > 0 ? 1.0f / (float)n_labelled : 0.0f;
  double squares = 0;
  memset(a->d_scores, 0, (uint64_t)batch->n_rows * n_outputs * sizeof(float));
  for (uint64_t i = (uint64_t)first * n_outputs; i < (uint64_t)batch->n_rows * n_outputs; ++i) {
    const float error = a->scores[i] - batch->labels[i];
    squares += (double)error * error;
    a->d_scores[i] = 2.0f * share * error;
  }
  return (float)(squares * share);
}

static void sum_rows(const float* rows, uint64_t n_rows, uint64_t n, float* out) {
  memset(out, 0, n * sizeof(float));
  for (uint64_t i = 0; i < n_rows; ++i) tenure_add_scaled(out, 1.0f, rows + i * n, (uint32_t)n);
}

/* Of w and b by d_out (n_rows, n_out), the slope by what x w^T + b gave. */
static tenure_status affine_gradient(tenure_trainable* self, uint64_t n_rows, uint64_t n_in, uint64_t n_out, const float* x,
                                     const float* d_out, float* d_w, float* d_b, tenure_error* error) {
  sum_rows(d_out, n_rows, n_out, d_b);
  return multiply(self, (tenure_gemm){.transpose_a = 1, .m = n_out, .n = n_in, .k = n_rows, .a = d_out, .b = x, .c = d_w}, error);
}

static tenure_status loss_and_gradient(tenure_trainable* self, const tenure_training_batch* batch, float* loss, float* const* gradients,
                                       tenure_error* error) {
  const uint32_t n_outputs = tenure_layer_at(self->model, batch->layer)->n_kv_heads;
  const uint64_t n = batch->n_rows, n_inputs = self->model->n_embd, n_hidden = self->n_hidden;
  struct activations a;
  tenure_status status = make_room(self, n, n_outputs, &a);
  if (status == TENURE_OK) status = forward(self, batch, n_outputs, &a, error);
  if (status != TENURE_OK) return status;
  *loss = lose(batch, n_outputs, &a);
  if (n_hidden == 0) {
    return affine_gradient(self, n, n_inputs, n_outputs, batch->inputs, a.d_scores, gradients[W1], gradients[B1], error);
  }
  status = affine_gradient(self, n, n_hidden, n_outputs, a.hidden, a.d_scores, gradients[W2], gradients[B2], error);
  if (status != TENURE_OK) return status;
  status = multiply(
      self, (tenure_gemm){.m = n, .n = n_hidden, .k = n_outputs, .a = a.d_scores, .b = batch->parameters[W2], .c = a.d_hidden}, error);
  if (status != TENURE_OK) return status;
  for (uint64_t i = 0; i < n * n_hidden; ++i) a.d_hidden[i] *= a.slope[i];
  return affine_gradient(self, n, n_inputs, n_hidden, batch->inputs, a.d_hidden, gradients[W1], gradients[B1], error);
}

static tenure_status scores(tenure_trainable* self, const tenure_training_batch* batch, float* out, tenure_error* error) {
  const uint32_t n_outputs = tenure_layer_at(self->model, batch->layer)->n_kv_heads;
  struct activations a;
  tenure_status status = make_room(self, batch->n_rows, n_outputs, &a);
  if (status == TENURE_OK) status = forward(self, batch, n_outputs, &a, error);
  if (status == TENURE_OK) memcpy(out, a.scores, (uint64_t)batch->n_rows * n_outputs * sizeof(float));
  return status;
}

const tenure_trainable_api kvzap_trainable = {.head = {.struct_size = sizeof kvzap_trainable, .rev = 1},
                                              .create = create,
                                              .destroy = destroy,
                                              .evidence = evidence,
                                              .layer = layer,
                                              .loss_and_gradient = loss_and_gradient,
                                              .scores = scores};
