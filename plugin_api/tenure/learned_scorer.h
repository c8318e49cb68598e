/* What policies with a learned scorer write again and again: a network for each layer, made of the tensors
 * "layers.{layer}.{name}" of their weights file, which scores every row as it is fed. Inline helpers over host.h and policy.h.
 * No part of the ABI: a plugin may leave it out.
 */
#ifndef TENURE_LEARNED_SCORER_H
#define TENURE_LEARNED_SCORER_H

#include <stddef.h>
#include <stdio.h>
#include <string.h>
#include <tenure/scorer.h>

#ifdef __cplusplus
extern "C" {
#endif

typedef struct tenure_learned_scorer {
  const tenure_host* host;
  const tenure_mem_service* mem;
  const tenure_weights_service* weights;
  const tenure_nn_service* nn;
  float* scores; /* (n_scores) of a call's rows before they go to their slots */
  uint64_t n_scores;
  tenure_net** nets; /* (n_layers) NULL: none */
  uint32_t n_layers;
  uint32_t reserved0;
} tenure_learned_scorer;

/* An error's text, cut to what fits. Returns the code. */
static inline tenure_status tenure_say(tenure_error* error, tenure_status code, const char* text) {
  if (error == NULL || error->head.struct_size < sizeof *error) return code;
  error->code = code;
  snprintf(error->text, sizeof error->text, "%s", text);
  return code;
}

static inline const void* tenure_learned_service(const tenure_host* host, const char* id) {
  tenure_str name;
  name.ptr = id;
  name.len = strlen(id);
  return host->query(host, name, 1);
}

/* [control] Lends services to *scorer and makes room for its nets. Undone by tenure_learned_close, also after a failure. */
static inline tenure_status tenure_learned_open(tenure_learned_scorer* scorer, const tenure_host* host, uint32_t n_layers,
                                                tenure_error* error) {
  memset(scorer, 0, sizeof *scorer);
  scorer->host = host;
  scorer->mem = (const tenure_mem_service*)tenure_learned_service(host, "tenure.mem/1");
  scorer->weights = (const tenure_weights_service*)tenure_learned_service(host, "tenure.weights/1");
  scorer->nn = (const tenure_nn_service*)tenure_learned_service(host, "tenure.nn/1");
  if (scorer->nn == NULL) return tenure_say(error, TENURE_UNSUPPORTED, "the backend lends no tenure.nn/1");
  if (scorer->weights == NULL) return tenure_say(error, TENURE_UNSUPPORTED, "the host lends no tenure.weights/1");
  scorer->nets = (tenure_net**)scorer->mem->alloc(host, n_layers * sizeof *scorer->nets, sizeof *scorer->nets);
  if (scorer->nets == NULL) return TENURE_OOM_HOST;
  memset(scorer->nets, 0, n_layers * sizeof *scorer->nets);
  scorer->n_layers = n_layers;
  return TENURE_OK;
}

static inline void tenure_learned_close(tenure_learned_scorer* scorer) {
  for (uint32_t l = 0; l < scorer->n_layers; ++l)
    if (scorer->nets[l] != NULL) scorer->nn->net_destroy(scorer->host, scorer->nets[l]);
  scorer->mem->free(scorer->host, scorer->nets);
  scorer->mem->free(scorer->host, scorer->scores);
}

static inline tenure_status tenure_learned_tensor(const tenure_learned_scorer* scorer, uint32_t layer, const char* name,
                                                  tenure_tensor* out, tenure_error* error) {
  char full[64];
  const int n = snprintf(full, sizeof full, "layers.%u.%s", layer, name);
  tenure_str wanted;
  wanted.ptr = full;
  wanted.len = (uint64_t)n;
  memset(out, 0, sizeof *out);
  out->head.struct_size = sizeof *out;
  return scorer->weights->tensor(scorer->host, wanted, out, error);
}

/* A matrix of the file as a net takes it. It must be (n_out, n_in); n_out 0: any number. */
static inline tenure_status tenure_learned_matrix(const tenure_learned_scorer* scorer, uint32_t layer, const char* name,
                                                  uint64_t n_out, uint64_t n_in, tenure_matrix* out, tenure_error* error) {
  tenure_tensor tensor;
  const tenure_status status = tenure_learned_tensor(scorer, layer, name, &tensor, error);
  if (status != TENURE_OK) return status;
  if (tensor.n_dims != 2 || (n_out != 0 && tensor.shape[0] != n_out) || tensor.shape[1] != n_in) {
    char text[256], wanted[24] = "any";
    if (n_out != 0) snprintf(wanted, sizeof wanted, "%llu", (unsigned long long)n_out);
    snprintf(text, sizeof text, "tensor \"layers.%u.%s\" has %u dimensions, the first (%llu, %llu); this model takes (%s, %llu)", layer,
             name, tensor.n_dims, (unsigned long long)tensor.shape[0], (unsigned long long)tensor.shape[1], wanted,
             (unsigned long long)n_in);
    return tenure_say(error, TENURE_INVALID_CONFIG, text);
  }
  memset(out, 0, sizeof *out);
  out->dtype = tensor.dtype;
  out->n_out = tensor.shape[0];
  out->n_in = tensor.shape[1];
  out->data = tensor.data;
  return TENURE_OK;
}

/* The bias of *matrix from the file. */
static inline tenure_status tenure_learned_bias(const tenure_learned_scorer* scorer, uint32_t layer, const char* name,
                                                tenure_matrix* matrix, tenure_error* error) {
  tenure_tensor tensor;
  const tenure_status status = tenure_learned_tensor(scorer, layer, name, &tensor, error);
  if (status != TENURE_OK) return status;
  if (tensor.n_dims != 1 || tensor.shape[0] != matrix->n_out || tensor.dtype != matrix->dtype) {
    char text[160];
    snprintf(text, sizeof text, "tensor \"layers.%u.%s\" is not %llu numbers of its matrix's type", layer, name,
             (unsigned long long)matrix->n_out);
    return tenure_say(error, TENURE_INVALID_CONFIG, text);
  }
  matrix->bias = tensor.data;
  return TENURE_OK;
}

static inline tenure_status tenure_learned_net(tenure_learned_scorer* scorer, uint32_t layer, uint32_t activation,
                                               uint32_t n_matrices, const tenure_matrix* matrices, tenure_error* error) {
  tenure_net_config config;
  memset(&config, 0, sizeof config);
  config.head.struct_size = sizeof config;
  config.n_matrices = n_matrices;
  config.activation = activation;
  config.matrices = matrices;
  return scorer->nn->net_create(scorer->host, &config, &scorer->nets[layer], error);
}

/* [seq] In observe, for rows: the net's output of each row becomes the state of the row's slot, one float a head. */
static inline tenure_status tenure_learned_score(tenure_learned_scorer* scorer, uint32_t layer, const tenure_evidence* e,
                                                 uint32_t n_parts, const tenure_f32_view* parts, tenure_error* error) {
  const uint32_t n_heads = e->view->n_heads;
  const uint64_t n = (uint64_t)e->n_rows * n_heads;
  if (n > scorer->n_scores) {
    scorer->mem->free(scorer->host, scorer->scores);
    scorer->scores = (float*)scorer->mem->alloc(scorer->host, n * sizeof(float), 64);
    scorer->n_scores = scorer->scores == NULL ? 0 : n;
    if (scorer->scores == NULL) return TENURE_OOM_HOST;
  }
  tenure_net_rows rows;
  memset(&rows, 0, sizeof rows);
  rows.head.struct_size = sizeof rows;
  rows.n_rows = e->n_rows;
  rows.n_parts = n_parts;
  rows.parts = parts;
  rows.out = scorer->scores;
  const tenure_status status = scorer->nn->net_run(scorer->host, scorer->nets[layer], &rows, error);
  if (status != TENURE_OK) return status;
  for (uint32_t h = 0; h < n_heads; ++h) {
    const tenure_head_view* head = tenure_head_at(e->view, h);
    float* state = head->state + (head->n_slots - e->n_rows);
    for (uint32_t i = 0; i < e->n_rows; ++i) state[i] = scorer->scores[(uint64_t)i * n_heads + h];
  }
  return TENURE_OK;
}

#ifdef __cplusplus
}
#endif

#endif
