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

/* What gates the feed-forward block. */
enum {
  TENURE_ACTIVATION_SILU = 0,     /* x / (1 + e^-x) */
  TENURE_ACTIVATION_GELU_TANH = 1 /* x / 2 * (1 + tanh(sqrt(2 / pi) * (x + 0.044715 x^3))) */
};

typedef struct tenure_layer_info {
  uint32_t n_kv_heads;
  uint32_t head_dim;
  uint32_t rope_dim; /* leading elements of a head that are rotated */
  uint32_t rope_kind;
  uint32_t window; /* a row sees at most this many last positions; 0 = all */
  uint32_t reserved0;
  double rope_base;
  /* (rope_dim / 2) a pair's angle is divided by its factor: RoPE stretched past the training context; NULL = all 1 */
  const float* rope_factors;
  double attention_scale; /* of q.k before the softmax; 1 / sqrt(head_dim) in most families, above 0 */
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
  uint32_t activation;             /* TENURE_ACTIVATION_* */
  float embedding_scale;           /* of the embedding's rows as they enter layer 0; 1 in most families, above 0 */
} tenure_model_info;

#ifdef __cplusplus
}
#endif

#endif
