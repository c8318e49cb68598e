#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "toy.h"

static bool is_vector(uint32_t role) {
  return role == TENURE_WEIGHT_OUTPUT_NORM || role == TENURE_WEIGHT_ATTN_NORM ||
         role == TENURE_WEIGHT_FFN_NORM || role >= TENURE_WEIGHT_Q_BIAS;
}

static bool is_of_model(uint32_t role) {
  return role <= TENURE_WEIGHT_OUTPUT;
}

tenure_status toy_supports_weight(const tenure_backend* self, uint32_t role, uint32_t dtype) {
  (void)self;
  if (role >= TOY_N_ROLES) return TENURE_UNSUPPORTED;
  const bool known = is_vector(role) ? dtype == TENURE_F32 : toy_is_weight_type(dtype);
  return known ? TENURE_OK : TENURE_UNSUPPORTED;
}

/* A struct from a newer host may be longer; what we do not know must be zero. */
bool toy_rest_is_zero(const void* from, uint32_t struct_size, size_t known) {
  const uint8_t* bytes = from;
  for (size_t i = known; i < struct_size; ++i) {
    if (bytes[i] != 0) return false;
  }
  return true;
}

static bool is_positive(double x) {
  return isfinite(x) && x > 0;
}

static tenure_status check_layer(const tenure_model_info* info, const tenure_layer_info* layer, uint32_t i,
                                 tenure_error* error) {
  const char* why = NULL;
  if (layer->n_kv_heads == 0 || info->n_heads % layer->n_kv_heads != 0)
    why = "n_kv_heads does not divide n_heads";
  if (layer->head_dim == 0 || layer->head_dim > TOY_MAX_HEAD_DIM) why = "head_dim is not 1 to 256";
  if (layer->rope_dim == 0 || layer->rope_dim % 2 != 0 || layer->rope_dim > layer->head_dim) {
    why = "rope_dim is not even or above head_dim";
  }
  if (layer->rope_kind > TENURE_ROPE_HALVES) why = "rope_kind is unknown";
  if (!is_positive(layer->attention_scale)) why = "attention_scale is not finite and above 0";
  for (uint32_t p = 0; !why && layer->rope_factors && p < layer->rope_dim / 2; ++p) {
    if (!is_positive(layer->rope_factors[p])) why = "a rope factor is not finite and above 0";
  }
  return why ? toy_fail(error, TENURE_UNSUPPORTED, "weights_create", "layer %u: %s", i, why) : TENURE_OK;
}

/* Entry i of the host's table, with rope_factors of our own. */
static tenure_status take_layer(tenure_weights* weights, const tenure_model_info* info, uint32_t i,
                                tenure_error* error) {
  tenure_layer_info layer = {.n_kv_heads = 0};
  const size_t known = info->layer_stride < sizeof layer ? info->layer_stride : sizeof layer;
  memcpy(&layer, (const char*)info->layers + (uint64_t)i * info->layer_stride, known);
  const tenure_status status = check_layer(info, &layer, i, error);
  if (status != TENURE_OK) return status;
  if (layer.rope_factors) {
    const size_t bytes = layer.rope_dim / 2 * sizeof(float);
    float* copy = malloc(bytes);
    if (!copy) return toy_fail(error, TENURE_OOM_HOST, "weights_create", "out of memory");
    layer.rope_factors = memcpy(copy, layer.rope_factors, bytes);
  }
  weights->layers[i] = layer;
  return TENURE_OK;
}

tenure_status toy_weights_create(tenure_backend* self, const tenure_model_info* given, tenure_weights** out,
                                 tenure_error* error) {
  tenure_model_info info = {.head = {.struct_size = 0}};
  const uint32_t size = given->head.struct_size;
  memcpy(&info, given, size < sizeof info ? size : sizeof info);
  if (!toy_rest_is_zero(given, size, sizeof info)) {
    return toy_fail(error, TENURE_TOO_NEW, "weights_create",
                    "model_info has members this backend does not know");
  }
  if (info.n_layers == 0 || info.n_embd == 0 || info.n_ff == 0 || info.n_vocab == 0 || info.n_heads == 0) {
    return toy_fail(error, TENURE_UNSUPPORTED, "weights_create", "the model has a size of 0");
  }
  if (info.activation > TENURE_ACTIVATION_GELU_TANH || !is_positive(info.embedding_scale)) {
    return toy_fail(error, TENURE_UNSUPPORTED, "weights_create",
                    "activation %u is unknown, or embedding_scale %g is not finite and above 0",
                    info.activation, (double)info.embedding_scale);
  }
  tenure_weights* weights = calloc(1, sizeof *weights);
  if (!weights) return toy_fail(error, TENURE_OOM_HOST, "weights_create", "out of memory");
  weights->owner = self;
  weights->n_layers = info.n_layers;
  weights->n_embd = info.n_embd;
  weights->n_ff = info.n_ff;
  weights->n_vocab = info.n_vocab;
  weights->n_heads = info.n_heads;
  weights->norm_epsilon = info.norm_epsilon;
  weights->embedding_scale = info.embedding_scale;
  weights->activation = info.activation;
  weights->layers = calloc(info.n_layers, sizeof *weights->layers);
  weights->of_layer = calloc(info.n_layers, sizeof *weights->of_layer);
  tenure_status status = TENURE_OK;
  if (!weights->layers || !weights->of_layer)
    status = toy_fail(error, TENURE_OOM_HOST, "weights_create", "out of memory");
  for (uint32_t i = 0; i < info.n_layers && status == TENURE_OK; ++i) {
    status = take_layer(weights, &info, i, error);
  }
  if (status != TENURE_OK) {
    toy_weights_free(weights);
    return status;
  }
  *out = weights;
  return TENURE_OK;
}

/* The shape a role has in this model. */
static void shape_of(const tenure_weights* w, uint32_t role, uint32_t layer, uint64_t shape[2]) {
  const uint64_t dim = is_of_model(role) ? 0 : w->layers[layer].head_dim;
  const uint64_t q = w->n_heads * dim;
  const uint64_t kv = is_of_model(role) ? 0 : w->layers[layer].n_kv_heads * dim;
  const uint64_t shapes[TOY_N_ROLES][2] = {
      [TENURE_WEIGHT_TOKEN_EMBD] = {w->n_vocab, w->n_embd},
      [TENURE_WEIGHT_OUTPUT_NORM] = {1, w->n_embd},
      [TENURE_WEIGHT_OUTPUT] = {w->n_vocab, w->n_embd},
      [TENURE_WEIGHT_ATTN_NORM] = {1, w->n_embd},
      [TENURE_WEIGHT_Q] = {q, w->n_embd},
      [TENURE_WEIGHT_K] = {kv, w->n_embd},
      [TENURE_WEIGHT_V] = {kv, w->n_embd},
      [TENURE_WEIGHT_ATTN_OUT] = {w->n_embd, q},
      [TENURE_WEIGHT_FFN_NORM] = {1, w->n_embd},
      [TENURE_WEIGHT_FFN_GATE] = {w->n_ff, w->n_embd},
      [TENURE_WEIGHT_FFN_UP] = {w->n_ff, w->n_embd},
      [TENURE_WEIGHT_FFN_DOWN] = {w->n_embd, w->n_ff},
      [TENURE_WEIGHT_Q_BIAS] = {1, q},
      [TENURE_WEIGHT_K_BIAS] = {1, kv},
      [TENURE_WEIGHT_V_BIAS] = {1, kv},
      [TENURE_WEIGHT_Q_NORM] = {1, dim},
      [TENURE_WEIGHT_K_NORM] = {1, dim},
      [TENURE_WEIGHT_ATTN_POST_NORM] = {1, w->n_embd},
      [TENURE_WEIGHT_FFN_POST_NORM] = {1, w->n_embd},
  };
  memcpy(shape, shapes[role], sizeof shapes[role]);
}

tenure_status toy_weights_add(tenure_weights* weights, const tenure_weight* weight, tenure_error* error) {
  const char* where = "weights_add";
  const uint32_t role = weight->role;
  if (!toy_rest_is_zero(weight, weight->head.struct_size, sizeof *weight)) {
    return toy_fail(error, TENURE_TOO_NEW, where, "the weight has members this backend does not know");
  }
  if (toy_supports_weight(weights->owner, role, weight->dtype) != TENURE_OK) {
    return toy_fail(error, TENURE_UNSUPPORTED, where, "role %u with type %u is unknown", role, weight->dtype);
  }
  if (is_of_model(role) ? weight->layer != TENURE_ALL_LAYERS : weight->layer >= weights->n_layers) {
    return toy_fail(error, TENURE_UNSUPPORTED, where, "role %u has no place in layer %u", role,
                    weight->layer);
  }
  uint64_t shape[2];
  shape_of(weights, role, weight->layer, shape);
  const uint64_t bytes = weight->n_out * toy_row_bytes(weight->dtype, weight->n_in);
  if (weight->n_out != shape[0] || weight->n_in != shape[1] || weight->bytes != bytes || bytes == 0) {
    return toy_fail(error, TENURE_UNSUPPORTED, where, "role %u: shape or bytes do not fit the model", role);
  }
  float** place = is_of_model(role) ? &weights->of_model[role] : &weights->of_layer[weight->layer][role];
  if (*place) return toy_fail(error, TENURE_INVALID_STATE, where, "role %u was given before", role);
  *place = malloc(shape[0] * shape[1] * sizeof(float));
  if (!*place) return toy_fail(error, TENURE_OOM_HOST, where, "out of memory");
  toy_decode(weight->dtype, weight->data, shape[0] * shape[1], *place);
  weights->bytes += shape[0] * shape[1] * sizeof(float);
  return TENURE_OK;
}

tenure_status toy_weights_finish(tenure_weights* weights, uint64_t* bytes, tenure_error* error) {
  if (!weights->of_model[TENURE_WEIGHT_TOKEN_EMBD] || !weights->of_model[TENURE_WEIGHT_OUTPUT_NORM])
    return toy_fail(error, TENURE_INVALID_STATE, "weights_finish", "the embedding or output norm is missing");
  for (uint32_t i = 0; i < weights->n_layers; ++i) {
    float** layer = weights->of_layer[i];
    const char* missing = NULL;
    for (uint32_t role = TENURE_WEIGHT_ATTN_NORM; role <= TENURE_WEIGHT_FFN_DOWN; ++role)
      if (!layer[role]) missing = "a matrix or norm";
    if (!layer[TENURE_WEIGHT_Q_BIAS] != !layer[TENURE_WEIGHT_K_BIAS] ||
        !layer[TENURE_WEIGHT_K_BIAS] != !layer[TENURE_WEIGHT_V_BIAS]) {
      missing = "a query, key or value bias";
    }
    if (!layer[TENURE_WEIGHT_Q_NORM] != !layer[TENURE_WEIGHT_K_NORM])
      missing = layer[TENURE_WEIGHT_Q_NORM] ? "the key norm" : "the query norm";
    if (missing) {
      return toy_fail(error, TENURE_INVALID_STATE, "weights_finish", "%s of layer %u is missing", missing, i);
    }
  }
  *bytes = weights->bytes;
  return TENURE_OK;
}

void toy_weights_free(tenure_weights* weights) {
  for (uint32_t role = 0; role < TOY_N_ROLES; ++role) {
    free(weights->of_model[role]);
    for (uint32_t i = 0; weights->of_layer && i < weights->n_layers; ++i) free(weights->of_layer[i][role]);
  }
  for (uint32_t i = 0; weights->layers && i < weights->n_layers; ++i)
    free((float*)weights->layers[i].rope_factors);
  free(weights->of_layer);
  free(weights->layers);
  free(weights);
}
