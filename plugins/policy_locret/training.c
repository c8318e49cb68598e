/* Retaining heads learn. Huang et al., "Locret: Enhancing Eviction in Long-Context LLM Inference with Trained Retaining Heads",
 * TMLR 2025, arXiv 2410.01805, section 3.2 and appendix A: per layer s = W2 a(W1 [q; k; v]), no biases, a = the model's own
 * activation; loss = SmoothL1(s - label), beta 1, + smoothing * MSE(s[i], s[i + 1]) of neighbouring tokens.
 *
 * Deviations: means are over rows and heads of one layer, where the paper sums its smoothing over layers (0.0025 each there
 * is 0.0025 times the number of layers here). Rows that a recipe leaves unlabelled count in the smoothing only.
 */
#include "training.h"

#include <math.h>
#include <stddef.h>
#include <string.h>
#include <tenure/backend.h>
#include <tenure/entry.h>
#include <tenure/ext/activations.h>
#include <tenure/scorer.h>

enum { D_R = 0, SMOOTHING = 1 }; /* of the manifest's [[training]] */
enum { W1 = 0, W2 = 1, N_PARAMETERS = 2 };

struct tenure_trainable {
  const tenure_host* host;
  const tenure_mem_service* mem;
  const tenure_gemm_service* gemm;
  const tenure_model_info* model;
  uint32_t d_r;
  float smoothing;
  tenure_trainable_parameter parameters[N_PARAMETERS]; /* of the layer that was asked for last */
  float* scratch;
  uint64_t n_scratch;
};

/* What one batch makes on its way, rows side by side in scratch. */
struct activations {
  float* hidden;   /* (n_rows, d_r) W1 x, then a(W1 x) */
  float* slope;    /* (n_rows, d_r) a'(W1 x) */
  float* scores;   /* (n_rows, n_kv_heads) */
  float* d_scores; /* (n_rows, n_kv_heads) */
  float* d_hidden; /* (n_rows, d_r) */
};

static uint32_t inputs_of(const tenure_model_info* model, const tenure_layer_info* layer) {
  return (model->n_heads + 2 * layer->n_kv_heads) * layer->head_dim;
}

static tenure_status create(const tenure_host* host, const tenure_model_info* model, const tenure_config* config,
                            tenure_trainable** out, tenure_error* error) {
  (void)error;
  const tenure_mem_service* mem = host->query(host, (tenure_str)TENURE_TEXT("tenure.mem/1"), 1);
  const tenure_gemm_service* gemm = host->query(host, (tenure_str)TENURE_TEXT("tenure.gemm/1"), 1);
  if (gemm == NULL) return TENURE_UNSUPPORTED;
  tenure_trainable* self = mem->alloc(host, sizeof *self, _Alignof(tenure_trainable));
  if (self == NULL) return TENURE_OOM_HOST;
  *self = (tenure_trainable){.host = host,
                             .mem = mem,
                             .gemm = gemm,
                             .model = model,
                             .d_r = (uint32_t)config->values[D_R].i,
                             .smoothing = (float)config->values[SMOOTHING].f};
  *out = self;
  return TENURE_OK;
}

static void destroy(tenure_trainable* self) {
  self->mem->free(self->host, self->scratch);
  self->mem->free(self->host, self);
}

static tenure_status evidence(tenure_trainable* self, uint32_t* out, tenure_error* error) {
  (void)self, (void)error;
  *out = TENURE_EVIDENCE_Q_PRE | TENURE_EVIDENCE_K_PRE | TENURE_EVIDENCE_V;
  return TENURE_OK;
}

static tenure_trainable_parameter matrix(tenure_str name, uint64_t n_out, uint64_t n_in) {
  return (tenure_trainable_parameter){.head = {.struct_size = sizeof(tenure_trainable_parameter)},
                                      .name = name,
                                      .n_dims = 2,
                                      .shape = {n_out, n_in},
                                      .initial_variance = 1.0 / (double)n_in};
}

static tenure_status layer(tenure_trainable* self, uint32_t index, tenure_trainable_layer* out, tenure_error* error) {
  (void)error;
  const tenure_layer_info* info = tenure_layer_at(self->model, index);
  if (info->window != 0) return TENURE_OK; /* no policy decides on it */
  const uint32_t n_inputs = inputs_of(self->model, info);
  self->parameters[W1] = matrix((tenure_str)TENURE_TEXT("w1"), self->d_r, n_inputs);
  self->parameters[W2] = matrix((tenure_str)TENURE_TEXT("w2"), info->n_kv_heads, self->d_r);
  out->n_inputs = n_inputs;
  out->n_outputs = info->n_kv_heads;
  out->n_parameters = N_PARAMETERS;
  out->parameter_stride = sizeof(tenure_trainable_parameter);
  out->parameters = self->parameters;
  return TENURE_OK;
}

static tenure_status make_room(tenure_trainable* self, uint64_t n_rows, uint32_t n_outputs, struct activations* a) {
  const uint64_t n = n_rows * (3 * (uint64_t)self->d_r + 2 * (uint64_t)n_outputs);
  if (n > self->n_scratch) {
    self->mem->free(self->host, self->scratch);
    self->scratch = self->mem->alloc(self->host, n * sizeof(float), 64);
    self->n_scratch = self->scratch == NULL ? 0 : n;
    if (self->scratch == NULL) return TENURE_OOM_HOST;
  }
  a->hidden = self->scratch;
  a->slope = a->hidden + n_rows * self->d_r;
  a->d_hidden = a->slope + n_rows * self->d_r;
  a->scores = a->d_hidden + n_rows * self->d_r;
  a->d_scores = a->scores + n_rows * n_outputs;
  return TENURE_OK;
}

/* c (m, n) = op(a) op(b), all without gaps. */
static tenure_status multiply(tenure_trainable* self, tenure_gemm product, tenure_error* error) {
  product.head.struct_size = sizeof product;
  product.alpha = 1;
  product.a_stride = product.transpose_a ? product.m : product.k;
  product.b_stride = product.transpose_b ? product.k : product.n;
  product.c_stride = product.n;
  return self->gemm->gemm(self->host, &product, error);
}

static tenure_status forward(tenure_trainable* self, const tenure_training_batch* batch, uint32_t n_inputs, uint32_t n_outputs,
                             struct activations* a, tenure_error* error) {
  const uint64_t n = batch->n_rows, d = self->d_r;
  tenure_status status = multiply(
      self, (tenure_gemm){.transpose_b = 1, .m = n, .n = d, .k = n_inputs, .a = batch->inputs, .b = batch->parameters[W1], .c = a->hidden},
      error);
  if (status != TENURE_OK) return status;
  tenure_activate(self->model->activation, a->hidden, n * d, a->hidden, a->slope);
  return multiply(
      self, (tenure_gemm){.transpose_b = 1, .m = n, .n = n_outputs, .k = d, .a = a->hidden, .b = batch->parameters[W2], .c = a->scores},
      error);
}

/* The loss, and in d_scores its slope by each score. */
static float lose(const tenure_trainable* self, const tenure_training_batch* batch, uint32_t n_outputs, struct activations* a) {
  const uint32_t first = batch->n_unlabelled < batch->n_rows ? batch->n_unlabelled : batch->n_rows;
  const uint64_t n_labelled = (uint64_t)(batch->n_rows - first) * n_outputs;
  const uint64_t n_neighbours = (uint64_t)(batch->n_rows - 1) * n_outputs;
  const float share = n_labelled > 0 ? 1.0f / (float)n_labelled : 0.0f;
  const float pull = n_neighbours > 0 ? 2.0f * self->smoothing / (float)n_neighbours : 0.0f;
  double fit = 0, steps = 0;
  memset(a->d_scores, 0, (uint64_t)batch->n_rows * n_outputs * sizeof(float));
  for (uint64_t i = (uint64_t)first * n_outputs; i < (uint64_t)batch->n_rows * n_outputs; ++i) {
    const float error = a->scores[i] - batch->labels[i], size = fabsf(error);
    fit += size < 1.0f ? 0.5f * error * error : size - 0.5f;
    a->d_scores[i] = share * (error > 1.0f ? 1.0f : error < -1.0f ? -1.0f : error);
  }
  for (uint64_t i = n_outputs; i < (uint64_t)batch->n_rows * n_outputs; ++i) {
    const float step = a->scores[i] - a->scores[i - n_outputs];
    steps += (double)step * step;
    a->d_scores[i] += pull * step;
    a->d_scores[i - n_outputs] -= pull * step;
  }
  return (float)(fit * share + 0.5 * pull * steps);
}

static tenure_status loss_and_gradient(tenure_trainable* self, const tenure_training_batch* batch, float* loss, float* const* gradients,
                                       tenure_error* error) {
  const tenure_layer_info* info = tenure_layer_at(self->model, batch->layer);
  const uint32_t n_inputs = inputs_of(self->model, info), n_outputs = info->n_kv_heads;
  const uint64_t n = batch->n_rows, d = self->d_r;
  struct activations a;
  tenure_status status = make_room(self, n, n_outputs, &a);
  if (status == TENURE_OK) status = forward(self, batch, n_inputs, n_outputs, &a, error);
  if (status != TENURE_OK) return status;
  *loss = lose(self, batch, n_outputs, &a);
  status = multiply(
      self, (tenure_gemm){.transpose_a = 1, .m = n_outputs, .n = d, .k = n, .a = a.d_scores, .b = a.hidden, .c = gradients[W2]}, error);
  if (status != TENURE_OK) return status;
  status = multiply(self, (tenure_gemm){.m = n, .n = d, .k = n_outputs, .a = a.d_scores, .b = batch->parameters[W2], .c = a.d_hidden}, error);
  if (status != TENURE_OK) return status;
  for (uint64_t i = 0; i < n * d; ++i) a.d_hidden[i] *= a.slope[i];
  return multiply(
      self, (tenure_gemm){.transpose_a = 1, .m = d, .n = n_inputs, .k = n, .a = a.d_hidden, .b = batch->inputs, .c = gradients[W1]}, error);
}

static tenure_status scores(tenure_trainable* self, const tenure_training_batch* batch, float* out, tenure_error* error) {
  const tenure_layer_info* info = tenure_layer_at(self->model, batch->layer);
  struct activations a;
  tenure_status status = make_room(self, batch->n_rows, info->n_kv_heads, &a);
  if (status == TENURE_OK) status = forward(self, batch, inputs_of(self->model, info), info->n_kv_heads, &a, error);
  if (status == TENURE_OK) memcpy(out, a.scores, (uint64_t)batch->n_rows * info->n_kv_heads * sizeof(float));
  return status;
}

const tenure_trainable_api locret_trainable = {.head = {.struct_size = sizeof locret_trainable, .rev = 1},
                                               .create = create,
                                               .destroy = destroy,
                                               .evidence = evidence,
                                               .layer = layer,
                                               .loss_and_gradient = loss_and_gradient,
                                               .scores = scores};
