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
#include <tenure/ext/activations.h>
#include <tenure/ext/learner.h>
#include <tenure/scorer.h>

enum { D_R = 0, SMOOTHING = 1 }; /* of the manifest's [[training]] */
enum { W1 = 0, W2 = 1, N_PARAMETERS = 2 };

struct tenure_trainable {
  tenure_learner learner; /* first: tenure_learner_create */
  uint32_t d_r;
  float smoothing;
  tenure_trainable_parameter parameters[N_PARAMETERS]; /* of the layer that was asked for last */
};

static uint32_t inputs_of(const tenure_model_info* model, const tenure_layer_info* layer) {
  return (model->n_heads + 2 * layer->n_kv_heads) * layer->head_dim;
}

static tenure_status create(const tenure_host* host, const tenure_model_info* model, const tenure_config* config,
                            tenure_trainable** out, tenure_error* error) {
  (void)error;
  const tenure_status status = tenure_learner_create(host, model, sizeof **out, out);
  if (status != TENURE_OK) return status;
  (*out)->d_r = (uint32_t)config->values[D_R].i;
  (*out)->smoothing = (float)config->values[SMOOTHING].f;
  return TENURE_OK;
}

static tenure_status evidence(tenure_trainable* self, uint32_t* out, tenure_error* error) {
  (void)self, (void)error;
  *out = TENURE_EVIDENCE_Q_PRE | TENURE_EVIDENCE_K_PRE | TENURE_EVIDENCE_V;
  return TENURE_OK;
}

static tenure_status layer(tenure_trainable* self, uint32_t index, tenure_trainable_layer* out, tenure_error* error) {
  (void)error;
  const tenure_layer_info* info = tenure_layer_at(self->learner.model, index);
  if (info->window != 0) return TENURE_OK; /* no policy decides on it */
  const uint32_t n_inputs = inputs_of(self->learner.model, info);
  self->parameters[W1] = tenure_matrix_parameter((tenure_str)TENURE_TEXT("w1"), self->d_r, n_inputs);
  self->parameters[W2] = tenure_matrix_parameter((tenure_str)TENURE_TEXT("w2"), info->n_kv_heads, self->d_r);
  out->n_inputs = n_inputs;
  out->n_outputs = info->n_kv_heads;
  out->n_parameters = N_PARAMETERS;
  out->parameter_stride = sizeof(tenure_trainable_parameter);
  out->parameters = self->parameters;
  return TENURE_OK;
}

/* hidden: W1 x, then a(W1 x); slope: a'(W1 x). */
static tenure_status forward(tenure_trainable* self, const tenure_training_batch* batch, tenure_learner_rows* rows, tenure_error* error) {
  const tenure_layer_info* info = tenure_layer_at(self->learner.model, batch->layer);
  const uint64_t n = batch->n_rows, d = self->d_r, n_inputs = inputs_of(self->learner.model, info);
  *rows = (tenure_learner_rows){.n_rows = batch->n_rows, .n_hidden = self->d_r, .n_outputs = info->n_kv_heads};
  tenure_status status = tenure_learner_make_room(&self->learner, rows);
  if (status != TENURE_OK) return status;
  const float* const* p = batch->parameters;
  status = tenure_learner_multiply(
      &self->learner, (tenure_gemm){.transpose_b = 1, .m = n, .n = d, .k = n_inputs, .a = batch->inputs, .b = p[W1], .c = rows->hidden},
      error);
  if (status != TENURE_OK) return status;
  tenure_activate(self->learner.model->activation, rows->hidden, n * d, rows->hidden, rows->slope);
  return tenure_learner_multiply(
      &self->learner,
      (tenure_gemm){.transpose_b = 1, .m = n, .n = rows->n_outputs, .k = d, .a = rows->hidden, .b = p[W2], .c = rows->scores}, error);
}

/* The loss, and in d_scores its slope by each score. */
static float lose(const tenure_trainable* self, const tenure_training_batch* batch, const tenure_learner_rows* rows) {
  const uint32_t n_outputs = rows->n_outputs;
  const uint32_t first = batch->n_unlabelled < batch->n_rows ? batch->n_unlabelled : batch->n_rows;
  const uint64_t n_labelled = (uint64_t)(batch->n_rows - first) * n_outputs;
  const uint64_t n_neighbours = (uint64_t)(batch->n_rows - 1) * n_outputs;
  const float share = n_labelled > 0 ? 1.0f / (float)n_labelled : 0.0f;
  const float pull = n_neighbours > 0 ? 2.0f * self->smoothing / (float)n_neighbours : 0.0f;
  double fit = 0, steps = 0;
  memset(rows->d_scores, 0, (uint64_t)batch->n_rows * n_outputs * sizeof(float));
  for (uint64_t i = (uint64_t)first * n_outputs; i < (uint64_t)batch->n_rows * n_outputs; ++i) {
    const float error = rows->scores[i] - batch->labels[i], size = fabsf(error);
    fit += size < 1.0f ? 0.5f * error * error : size - 0.5f;
    rows->d_scores[i] = share * (error > 1.0f ? 1.0f : error < -1.0f ? -1.0f : error);
  }
  for (uint64_t i = n_outputs; i < (uint64_t)batch->n_rows * n_outputs; ++i) {
    const float step = rows->scores[i] - rows->scores[i - n_outputs];
    steps += (double)step * step;
    rows->d_scores[i] += pull * step;
    rows->d_scores[i - n_outputs] -= pull * step;
  }
  return (float)(fit * share + 0.5 * pull * steps);
}

static tenure_status loss_and_gradient(tenure_trainable* self, const tenure_training_batch* batch, float* loss, float* const* gradients,
                                       tenure_error* error) {
  tenure_learner_rows rows;
  tenure_status status = forward(self, batch, &rows, error);
  if (status != TENURE_OK) return status;
  *loss = lose(self, batch, &rows);
  const uint64_t n = batch->n_rows, d = self->d_r;
  const uint64_t n_inputs = inputs_of(self->learner.model, tenure_layer_at(self->learner.model, batch->layer));
  status = tenure_learner_multiply(
      &self->learner,
      (tenure_gemm){.transpose_a = 1, .m = rows.n_outputs, .n = d, .k = n, .a = rows.d_scores, .b = rows.hidden, .c = gradients[W2]},
      error);
  if (status == TENURE_OK) status = tenure_learner_pull_back(&self->learner, &rows, batch->parameters[W2], error);
  if (status != TENURE_OK) return status;
  return tenure_learner_multiply(
      &self->learner,
      (tenure_gemm){.transpose_a = 1, .m = d, .n = n_inputs, .k = n, .a = rows.d_hidden, .b = batch->inputs, .c = gradients[W1]}, error);
}

static tenure_status scores(tenure_trainable* self, const tenure_training_batch* batch, float* out, tenure_error* error) {
  tenure_learner_rows rows;
  const tenure_status status = forward(self, batch, &rows, error);
  if (status == TENURE_OK) memcpy(out, rows.scores, (uint64_t)rows.n_rows * rows.n_outputs * sizeof(float));
  return status;
}

const tenure_trainable_api locret_trainable = {.head = {.struct_size = sizeof locret_trainable, .rev = 1},
                                               .create = create,
                                               .destroy = tenure_learner_destroy,
                                               .evidence = evidence,
                                               .layer = layer,
                                               .loss_and_gradient = loss_and_gradient,
                                               .scores = scores};
