/* What policies with a learned scorer write again and again: a network for each layer, made of the tensors
 * "layers.{layer}.{name}" of their weights file, which scores every row as it is fed. Inline helpers over host.h and policy.h.
 * No part of the ABI: a plugin may leave it out. Most such policies are nothing but their scorer: their create is
 * tenure_learned_create with what makes a layer's net, their destroy is tenure_learned_destroy, their select
 * tenure_learned_select, and observe hands rows to tenure_learned_score.
 */
#ifndef TENURE_LEARNED_SCORER_H
#define TENURE_LEARNED_SCORER_H

#include <stddef.h>
#include <tenure/scorer.h>

#ifdef __cplusplus
extern "C" {
#endif

typedef struct tenure_learned_scorer {
  const tenure_host* host;
  const tenure_mem_service* mem;
  const tenure_weights_service* weights;
  const tenure_nn_service* nn;
  float* scores; /* (n_scores) of a call's rows before they go to their slots; scratch between calls */
  uint64_t n_scores;
  tenure_net** nets; /* (n_layers) NULL: none */
  uint32_t n_layers;
  int32_t closing; /* tenure_learned_select: length of the segment that scores are closed by; 0: they are not */
} tenure_learned_scorer;

static inline tenure_str tenure_text(const char* text) {
  tenure_str view;
  view.ptr = text;
  view.len = 0;
  while (text[view.len] != 0) ++view.len;
  return view;
}

/* [control] Lends services to *scorer and makes room for its nets. Undone by tenure_learned_close, also after a failure. For a
 * policy that has more than its scorer. */
static inline tenure_status tenure_learned_open(tenure_learned_scorer* scorer, const tenure_host* host, uint32_t n_layers) {
  scorer->host = host;
  scorer->mem = (const tenure_mem_service*)host->query(host, tenure_text("tenure.mem/1"), 1);
  scorer->weights = (const tenure_weights_service*)host->query(host, tenure_text("tenure.weights/1"), 1);
  scorer->nn = (const tenure_nn_service*)host->query(host, tenure_text("tenure.nn/1"), 1);
  scorer->scores = NULL;
  scorer->n_scores = 0;
  scorer->nets = NULL;
  scorer->n_layers = 0;
  scorer->closing = 0;
  if (scorer->nn == NULL || scorer->weights == NULL) return TENURE_UNSUPPORTED;
  scorer->nets = (tenure_net**)scorer->mem->alloc(host, n_layers * sizeof *scorer->nets, sizeof *scorer->nets);
  if (scorer->nets == NULL) return TENURE_OOM_HOST;
  for (uint32_t l = 0; l < n_layers; ++l) scorer->nets[l] = NULL;
  scorer->n_layers = n_layers;
  return TENURE_OK;
}

static inline void tenure_learned_close(tenure_learned_scorer* scorer) {
  for (uint32_t l = 0; l < scorer->n_layers; ++l)
    if (scorer->nets[l] != NULL) scorer->nn->net_destroy(scorer->host, scorer->nets[l]);
  scorer->mem->free(scorer->host, scorer->nets);
  scorer->mem->free(scorer->host, scorer->scores);
}

/* A matrix of the file as a net takes it: (n_out, n_in), n_out 0 for any number. */
static inline tenure_status tenure_learned_matrix(const tenure_learned_scorer* scorer, uint32_t layer, const char* name,
                                                  const uint64_t shape[2], tenure_matrix* out, tenure_error* error) {
  tenure_tensor tensor = {{sizeof tensor, 0, 0}, {NULL, 0}, 0, 0, {0, 0, 0, 0}, NULL, 0};
  const tenure_tensor_request request = {
      {sizeof request, 0, 0}, layer, 2, tenure_text(name), {shape[0], shape[1], 0, 0}};
  const tenure_status status = scorer->weights->tensor(scorer->host, &request, &tensor, error);
  if (status != TENURE_OK) return status;
  out->dtype = tensor.dtype;
  out->reserved0 = 0;
  out->n_out = tensor.shape[0];
  out->n_in = tensor.shape[1];
  out->data = tensor.data;
  out->bias = NULL;
  return TENURE_OK;
}

/* The bias of *matrix from the file, which must be of the matrix's type. */
static inline tenure_status tenure_learned_bias(const tenure_learned_scorer* scorer, uint32_t layer, const char* name,
                                                tenure_matrix* matrix, tenure_error* error) {
  tenure_tensor tensor = {{sizeof tensor, 0, 0}, {NULL, 0}, 0, 0, {0, 0, 0, 0}, NULL, 0};
  const tenure_tensor_request request = {{sizeof request, 0, 0}, layer, 1, tenure_text(name), {matrix->n_out, 0, 0, 0}};
  const tenure_status status = scorer->weights->tensor(scorer->host, &request, &tensor, error);
  if (status != TENURE_OK) return status;
  matrix->bias = tensor.data;
  return tensor.dtype == matrix->dtype ? TENURE_OK : TENURE_UNSUPPORTED;
}

static inline tenure_status tenure_learned_net(tenure_learned_scorer* scorer, uint32_t layer, uint32_t activation,
                                               uint32_t n_matrices, const tenure_matrix* matrices, tenure_error* error) {
  const tenure_net_config config = {{sizeof config, 0, 0}, n_matrices, activation, matrices};
  return scorer->nn->net_create(scorer->host, &config, &scorer->nets[layer], error);
}

/* [control] Makes scorer->nets[layer] by the helpers above. */
typedef tenure_status (*tenure_learned_make_net)(tenure_learned_scorer* scorer, const tenure_model_info* model, uint32_t layer,
                                                 tenure_error* error);

static inline tenure_learned_scorer* tenure_learned_of(tenure_policy* policy) { return (tenure_learned_scorer*)policy; }

static inline void tenure_learned_destroy(tenure_policy* policy) {
  tenure_learned_scorer* scorer = tenure_learned_of(policy);
  tenure_learned_close(scorer);
  scorer->mem->free(scorer->host, scorer);
}

/* [control] *out: a policy that is a tenure_learned_scorer, with a net for every layer without a window. */
static inline tenure_status tenure_learned_create(const tenure_host* host, const tenure_model_info* model,
                                                  tenure_learned_make_net make_net, tenure_policy** out, tenure_error* error) {
  const tenure_mem_service* mem = (const tenure_mem_service*)host->query(host, tenure_text("tenure.mem/1"), 1);
  tenure_learned_scorer* scorer = (tenure_learned_scorer*)mem->alloc(host, sizeof *scorer, sizeof(void*));
  if (scorer == NULL) return TENURE_OOM_HOST;
  tenure_status status = tenure_learned_open(scorer, host, model->n_layers);
  for (uint32_t l = 0; l < model->n_layers && status == TENURE_OK; ++l)
    if (tenure_layer_at(model, l)->window == 0) status = make_net(scorer, model, l, error);
  if (status == TENURE_OK) *out = (tenure_policy*)scorer;
  if (status != TENURE_OK) tenure_learned_destroy((tenure_policy*)scorer);
  return status;
}

/* scorer->scores with room for n. */
static inline tenure_status tenure_learned_make_room(tenure_learned_scorer* scorer, uint64_t n) {
  if (n <= scorer->n_scores) return TENURE_OK;
  scorer->mem->free(scorer->host, scorer->scores);
  scorer->scores = (float*)scorer->mem->alloc(scorer->host, n * sizeof(float), 64);
  scorer->n_scores = scorer->scores == NULL ? 0 : n;
  return scorer->scores == NULL ? TENURE_OOM_HOST : TENURE_OK;
}

/* [seq] In observe, for rows: the net's output of each row becomes the state of the row's slot, one float a head. */
static inline tenure_status tenure_learned_score(tenure_learned_scorer* scorer, uint32_t layer, const tenure_evidence* e,
                                                 uint32_t n_parts, const tenure_f32_view* parts, tenure_error* error) {
  const uint32_t n_heads = e->view->n_heads;
  tenure_status status = tenure_learned_make_room(scorer, (uint64_t)e->n_rows * n_heads);
  if (status != TENURE_OK) return status;
  const tenure_net_rows rows = {{sizeof rows, 0, 0}, e->n_rows, n_parts, parts, scorer->scores};
  status = scorer->nn->net_run(scorer->host, scorer->nets[layer], &rows, error);
  if (status != TENURE_OK) return status;
  for (uint32_t h = 0; h < n_heads; ++h) {
    const tenure_head_view* head = tenure_head_at(e->view, h);
    float* state = head->state + (head->n_slots - e->n_rows);
    for (uint32_t i = 0; i < e->n_rows; ++i) state[i] = scorer->scores[(uint64_t)i * n_heads + h];
  }
  return TENURE_OK;
}

/* Closes the states of a view's slots, each head's along its positions. */
static inline tenure_status tenure_learned_close_scores(tenure_learned_scorer* scorer, const tenure_view* view) {
  const tenure_status status = tenure_learned_make_room(scorer, tenure_longest_head(view));
  for (uint32_t h = 0; h < view->n_heads && status == TENURE_OK; ++h) {
    const tenure_head_view* head = tenure_head_at(view, h);
    tenure_close_1d(head->state, head->pos, head->n_slots, scorer->closing, scorer->scores);
    for (uint32_t i = 0; i < head->n_slots; ++i) head->state[i] = scorer->scores[i];
  }
  return status;
}

/* A tenure_policy_api.select: slots have their scores as state, closed where scorer->closing says so. Closed once they are in a
 * prompt they stay so: slots of an answer are not in the order of their positions. */
static inline tenure_status tenure_learned_select(tenure_policy* self, const tenure_call* call, uint32_t layer, uint32_t n,
                                                  const tenure_view* const* views, tenure_keepset* const* keepsets,
                                                  tenure_status* statuses, tenure_error* error) {
  tenure_learned_scorer* scorer = tenure_learned_of(self);
  const int closes = scorer->closing > 0 && call->phase != TENURE_PHASE_DECODE;
  tenure_status status = TENURE_OK;
  for (uint32_t s = 0; s < n && closes && status == TENURE_OK; ++s) status = tenure_learned_close_scores(scorer, views[s]);
  return status == TENURE_OK ? tenure_select_by_state(self, call, layer, n, views, keepsets, statuses, error) : status;
}

#ifdef __cplusplus
}
#endif

#endif
