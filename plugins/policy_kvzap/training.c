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
#include <tenure/ext/activations.h>
#include <tenure/ext/learner.h>
#include <tenure/scorer.h>

enum { SURROGATE = 0 }; /* of the manifest's [[training]] */
enum { W1 = 0, B1 = 1, W2 = 2, B2 = 3, MOST_PARAMETERS = 4 };
enum { NARROWING = 8 };

struct tenure_trainable {
  tenure_learner learner; /* first: tenure_learner_create */
  uint32_t n_hidden; /* 0: linear */
  uint32_t reserved0;
  tenure_trainable_parameter parameters[MOST_PARAMETERS]; /* of the layer that was asked for last */
};

static tenure_status create(const tenure_host* host, const tenure_model_info* model, const tenure_config* config,
                            tenure_trainable** out, tenure_error* error) {
  (void)error;
  const tenure_status status = tenure_learner_create(host, model, sizeof **out, out);
  if (status != TENURE_OK) return status;
  const int is_linear = tenure_is_interface(config->values[SURROGATE].s, "linear");
  (*out)->n_hidden = is_linear ? 0 : (model->n_embd + NARROWING - 1) / NARROWING;
  return TENURE_OK;
}

static tenure_status evidence(tenure_trainable* self, uint32_t* out, tenure_error* error) {
  (void)self, (void)error;
  *out = TENURE_EVIDENCE_HIDDEN;
  return TENURE_OK;
}

static tenure_status layer(tenure_trainable* self, uint32_t index, tenure_trainable_layer* out, tenure_error* error) {
  (void)error;
  const tenure_model_info* model = self->learner.model;
  const tenure_layer_info* info = tenure_layer_at(model, index);
  if (info->window != 0) return TENURE_OK; /* no policy decides on it */
  const uint64_t n_first = self->n_hidden > 0 ? self->n_hidden : info->n_kv_heads;
  self->parameters[W1] = tenure_matrix_parameter((tenure_str)TENURE_TEXT("w1"), n_first, model->n_embd);
  self->parameters[B1] = tenure_bias_parameter((tenure_str)TENURE_TEXT("b1"), n_first);
  self->parameters[W2] = tenure_matrix_parameter((tenure_str)TENURE_TEXT("w2"), info->n_kv_heads, n_first);
  self->parameters[B2] = tenure_bias_parameter((tenure_str)TENURE_TEXT("b2"), info->n_kv_heads);
  out->n_inputs = model->n_embd;
  out->n_outputs = info->n_kv_heads;
  out->n_parameters = self->n_hidden > 0 ? 4 : 2;
  out->parameter_stride = sizeof(tenure_trainable_parameter);
  out->parameters = self->parameters;
  return TENURE_OK;
}

/* out (n_rows, n_out) = x (n_rows, n_in) w^T + b */
static tenure_status affine(tenure_trainable* self, uint64_t n_rows, uint64_t n_in, uint64_t n_out, const float* x, const float* w,
                            const float* b, float* out, tenure_error* error) {
  for (uint64_t i = 0; i < n_rows; ++i) memcpy(out + i * n_out, b, n_out * sizeof(float));
  return tenure_learner_multiply(
      &self->learner, (tenure_gemm){.transpose_b = 1, .m = n_rows, .n = n_out, .k = n_in, .beta = 1, .a = x, .b = w, .c = out}, error);
}

static tenure_status forward(tenure_trainable* self, const tenure_training_batch* batch, tenure_learner_rows* rows, tenure_error* error) {
  const tenure_model_info* model = self->learner.model;
  const uint64_t n = batch->n_rows, n_inputs = model->n_embd;
  *rows = (tenure_learner_rows){
      .n_rows = batch->n_rows, .n_hidden = self->n_hidden, .n_outputs = tenure_layer_at(model, batch->layer)->n_kv_heads};
  tenure_status status = tenure_learner_make_room(&self->learner, rows);
  if (status != TENURE_OK) return status;
  const float* const* p = batch->parameters;
  if (rows->n_hidden == 0) return affine(self, n, n_inputs, rows->n_outputs, batch->inputs, p[W1], p[B1], rows->scores, error);
  status = affine(self, n, n_inputs, rows->n_hidden, batch->inputs, p[W1], p[B1], rows->hidden, error);
  if (status != TENURE_OK) return status;
  tenure_activate(TENURE_ACTIVATION_GELU_TANH, rows->hidden, n * rows->n_hidden, rows->hidden, rows->slope);
  return affine(self, n, rows->n_hidden, rows->n_outputs, rows->hidden, p[W2], p[B2], rows->scores, error);
}

/* The loss, and in d_scores its slope by each score. */
static float lose(const tenure_training_batch* batch, const tenure_learner_rows* rows) {
  const uint32_t n_outputs = rows->n_outputs;
  const uint32_t first = batch->n_unlabelled < batch->n_rows ? batch->n_unlabelled : batch->n_rows;
  const uint64_t n_labelled = (uint64_t)(batch->n_rows - first) * n_outputs;
  const float share = n_labelled > 0 ? 1.0f / (float)n_labelled : 0.0f;
  double squares = 0;
  memset(rows->d_scores, 0, (uint64_t)batch->n_rows * n_outputs * sizeof(float));
  for (uint64_t i = (uint64_t)first * n_outputs; i < (uint64_t)batch->n_rows * n_outputs; ++i) {
    const float error = rows->scores[i] - batch->labels[i];
    squares += (double)error * error;
    rows->d_scores[i] = 2.0f * share * error;
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
  return tenure_learner_multiply(
      &self->learner, (tenure_gemm){.transpose_a = 1, .m = n_out, .n = n_in, .k = n_rows, .a = d_out, .b = x, .c = d_w}, error);
}

static tenure_status loss_and_gradient(tenure_trainable* self, const tenure_training_batch* batch, float* loss, float* const* gradients,
                                       tenure_error* error) {
  tenure_learner_rows rows;
  tenure_status status = forward(self, batch, &rows, error);
  if (status != TENURE_OK) return status;
  *loss = lose(batch, &rows);
  const uint64_t n = batch->n_rows, n_inputs = self->learner.model->n_embd, n_hidden = self->n_hidden;
  if (n_hidden == 0) {
    return affine_gradient(self, n, n_inputs, rows.n_outputs, batch->inputs, rows.d_scores, gradients[W1], gradients[B1], error);
  }
  status = affine_gradient(self, n, n_hidden, rows.n_outputs, rows.hidden, rows.d_scores, gradients[W2], gradients[B2], error);
  if (status == TENURE_OK) status = tenure_learner_pull_back(&self->learner, &rows, batch->parameters[W2], error);
  if (status != TENURE_OK) return status;
  return affine_gradient(self, n, n_inputs, n_hidden, batch->inputs, rows.d_hidden, gradients[W1], gradients[B1], error);
}

static tenure_status scores(tenure_trainable* self, const tenure_training_batch* batch, float* out, tenure_error* error) {
  tenure_learner_rows rows;
  const tenure_status status = forward(self, batch, &rows, error);
  if (status == TENURE_OK) memcpy(out, rows.scores, (uint64_t)rows.n_rows * rows.n_outputs * sizeof(float));
  return status;
}

const tenure_trainable_api kvzap_trainable = {.head = {.struct_size = sizeof kvzap_trainable, .rev = 1},
                                              .create = create,
                                              .destroy = tenure_learner_destroy,
                                              .evidence = evidence,
                                              .layer = layer,
                                              .loss_and_gradient = loss_and_gradient,
                                              .scores = scores};
