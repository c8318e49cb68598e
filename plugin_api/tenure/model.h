/* The model as plugins see it: sizes and a per-layer table. Layers are not alike; nothing here may be assumed equal. */
#ifndef TENURE_MODEL_H
#define TENURE_MODEL_H

#include <tenure/abi.h>

#ifdef __cplusplus
extern "C" {
#endif

#define TENURE_ALL_LAYERS UINT32_MAX

/* How RoPE pairs the elements of a head. */
enum {
  TENURE_ROPE_INTERLEAVED = 0, /* (0,1), (2,3), …: GGUF's llama */
  TENURE_ROPE_HALVES = 1       /* (i, i + rope_dim/2): GPT-NeoX */
};

typedef struct tenure_layer_info {
  uint32_t n_kv_heads;
  uint32_t head_dim;
  uint32_t rope_dim; /* leading elements of a head that are rotated */
  uint32_t rope_kind;
  uint32_t window; /* a row sees at most this many last positions; 0 = all */
  uint32_t reserved0;
  double rope_base;
} tenure_layer_info;

/* Valid as long as the object it was given to lives. */
typedef struct tenure_model_info {
  tenure_head head;
  tenure_str architecture;
  tenure_str name;
  tenure_str fingerprint; /* hex; equal for every quantisation of one model */
  uint32_t n_layers;
  uint32_t n_embd;
  uint32_t n_ff;
  uint32_t n_vocab;
  uint32_t n_ctx;   /* positions it was trained for */
  uint32_t n_heads; /* query heads; group_size = n_heads / n_kv_heads of the layer */
  float norm_epsilon;
  uint32_t layer_stride;           /* bytes from one layer's entry to the next */
  const tenure_layer_info* layers; /* (n_layers) */
} tenure_model_info;

#ifdef __cplusplus
}
#endif

#endif
