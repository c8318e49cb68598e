/* What plugins that learn write again and again: services, what a batch makes on its way through two layers, products of
 * matrices without gaps, parameters that start at random or at zero. Inline helpers over host.h and trainable.h. No part of the
 * ABI: a plugin may leave it out.
 */
#ifndef TENURE_EXT_LEARNER_H
#define TENURE_EXT_LEARNER_H

#include <stddef.h>
#include <tenure/entry.h>
#include <tenure/ext/trainable.h>

#ifdef __cplusplus
extern "C" {
#endif

typedef struct tenure_learner {
  const tenure_host* host;
  const tenure_mem_service* mem;
  const tenure_gemm_service* gemm;
  const tenure_model_info* model;
  float* scratch; /* (n_scratch) of the largest batch so far */
  uint64_t n_scratch;
} tenure_learner;

/* What one batch makes on its way, in the learner's scratch until the next batch. n_hidden 0: one layer. */
typedef struct tenure_learner_rows {
  uint32_t n_rows;
  uint32_t n_hidden;
  uint32_t n_outputs;
  uint32_t reserved0;
  float* hidden;   /* (n_rows, n_hidden) what goes into the second layer */
  float* slope;    /* (n_rows, n_hidden) of the activation there */
  float* d_hidden; /* (n_rows, n_hidden) slope of the loss by what went into the activation */
  float* scores;   /* (n_rows, n_outputs) */
  float* d_scores; /* (n_rows, n_outputs) slope of the loss */
} tenure_learner_rows;

/* [control] *out: `size` bytes, zeroed but for the learner that a trainable of this kind begins with. */
static inline tenure_status tenure_learner_create(const tenure_host* host, const tenure_model_info* model, uint64_t size,
                                                  tenure_trainable** out) {
  const tenure_str mem = TENURE_TEXT("tenure.mem/1"), gemm = TENURE_TEXT("tenure.gemm/1");
  const tenure_learner learner = {
      host, (const tenure_mem_service*)host->query(host, mem, 1), (const tenure_gemm_service*)host->query(host, gemm, 1), model, NULL, 0};
  if (learner.gemm == NULL) return TENURE_UNSUPPORTED;
  tenure_trainable* self = (tenure_trainable*)learner.mem->alloc(host, size, 16);
  if (self == NULL) return TENURE_OOM_HOST;
  for (uint64_t i = 0; i < size; ++i) ((char*)self)[i] = 0;
  *(tenure_learner*)self = learner;
  *out = self;
  return TENURE_OK;
}

/* [control] A tenure_trainable_api.destroy for it. */
static inline void tenure_learner_destroy(tenure_trainable* self) {
  const tenure_learner learner = *(const tenure_learner*)self;
  learner.mem->free(learner.host, learner.scratch);
  learner.mem->free(learner.host, self);
}

/* [stream] Fills the pointers of *rows by its sizes. */
static inline tenure_status tenure_learner_make_room(tenure_learner* learner, tenure_learner_rows* rows) {
  const uint64_t n_hidden = (uint64_t)rows->n_rows * rows->n_hidden, n_outputs = (uint64_t)rows->n_rows * rows->n_outputs;
  const uint64_t n = 3 * n_hidden + 2 * n_outputs;
  if (n > learner->n_scratch) {
    learner->mem->free(learner->host, learner->scratch);
    learner->scratch = (float*)learner->mem->alloc(learner->host, n * sizeof(float), 64);
    learner->n_scratch = learner->scratch == NULL ? 0 : n;
    if (learner->scratch == NULL) return TENURE_OOM_HOST;
  }
  rows->hidden = learner->scratch;
  rows->slope = rows->hidden + n_hidden;
  rows->d_hidden = rows->slope + n_hidden;
  rows->scores = rows->d_hidden + n_hidden;
  rows->d_scores = rows->scores + n_outputs;
  return TENURE_OK;
}

/* [stream] c (m, n) = op(a) op(b) + beta * c, all without gaps: strides and alpha are filled in. */
static inline tenure_status tenure_learner_multiply(tenure_learner* learner, tenure_gemm product, tenure_error* error) {
  product.head.struct_size = sizeof product;
  product.alpha = 1;
  product.a_stride = product.transpose_a ? product.m : product.k;
  product.b_stride = product.transpose_b ? product.k : product.n;
  product.c_stride = product.n;
  return learner->gemm->gemm(learner->host, &product, error);
}

/* [stream] d_hidden = d_scores w2 * slope, w2 (n_outputs, n_hidden). */
static inline tenure_status tenure_learner_pull_back(tenure_learner* learner, const tenure_learner_rows* rows, const float* w2,
                                                     tenure_error* error) {
  const tenure_gemm product = {{sizeof product, 0, 0}, 0, 0, rows->n_rows, rows->n_hidden, rows->n_outputs, 1, 0,
                               rows->d_scores, 0, w2, 0, rows->d_hidden, 0};
  const tenure_status status = tenure_learner_multiply(learner, product, error);
  for (uint64_t i = 0; status == TENURE_OK && i < (uint64_t)rows->n_rows * rows->n_hidden; ++i) rows->d_hidden[i] *= rows->slope[i];
  return status;
}

/* A matrix that keeps the variance of what it multiplies. */
static inline tenure_trainable_parameter tenure_matrix_parameter(tenure_str name, uint64_t n_out, uint64_t n_in) {
  const tenure_trainable_parameter parameter = {
      {sizeof(tenure_trainable_parameter), 0, 0}, name, 2, 0, {n_out, n_in, 0, 0}, 1.0 / (double)n_in};
  return parameter;
}

static inline tenure_trainable_parameter tenure_bias_parameter(tenure_str name, uint64_t n) {
  const tenure_trainable_parameter parameter = {{sizeof(tenure_trainable_parameter), 0, 0}, name, 1, 0, {n, 0, 0, 0}, 0};
  return parameter;
}

#ifdef __cplusplus
}
#endif

#endif
