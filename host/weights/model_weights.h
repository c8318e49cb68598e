// A model's tensors by role: views into the model file, which must outlive them. Matrices are (n_out, n_in),
// so their shape[] is {n_in, n_out}; any Dtype but i32 and u8. Norms and biases are f32.
#pragma once

#include <string>
#include <vector>

#include "tensor/dtype.h"
#include "weights/model_config.h"

namespace tenure {

class GgufFile;

struct LayerWeights {
  TensorView attn_norm;    // (n_embd)
  TensorView q;            // (n_heads * head_dim, n_embd)
  TensorView k;            // (n_kv_heads * head_dim, n_embd)
  TensorView v;            // (n_kv_heads * head_dim, n_embd)
  TensorView attn_output;  // (n_embd, n_heads * head_dim)
  // Without bytes where the family has none.
  TensorView q_bias;          // (n_heads * head_dim)
  TensorView k_bias, v_bias;  // (n_kv_heads * head_dim)
  TensorView q_norm, k_norm;  // (head_dim)
  TensorView attn_post_norm;  // (n_embd)
  TensorView ffn_post_norm;   // (n_embd)
  TensorView ffn_norm;     // (n_embd)
  TensorView ffn_gate;     // (n_ff, n_embd)
  TensorView ffn_up;       // (n_ff, n_embd)
  TensorView ffn_down;     // (n_embd, n_ff)
};

struct ModelWeights {
  TensorView token_embd;   // (n_vocab, n_embd)
  TensorView output_norm;  // (n_embd)
  TensorView output;       // (n_vocab, n_embd); the bytes of token_embd when the head is tied
  std::vector<LayerWeights> layers;
};

// What a model is known by, whatever its matrices were quantised to (64 hex digits): its sizes, which `config` was sealed by,
// and the weights of its blocks' norms, which are f32 in every GGUF file. A fine-tune that left the norms alone has its model's;
// a folder of safetensors has a GGUF file's only where both store the rows of q and k in one order (not so in llama's family,
// where what learns from queries and keys does not fit both either).
std::string fingerprint_of(const ModelConfig& config, const ModelWeights& weights);

// Some of a matrix's rows, or of a vector's elements: families that fuse projections store them one after the other.
TensorView rows_of(const TensorView& tensor, uint64_t first, uint64_t n);

// Throws Error naming the tensor: model_malformed when one is absent or has another shape, model_unsupported
// when its type is not run here or the file holds a tensor that this family does not use (leaving it out
// would change the answers).
ModelWeights read_model_weights(const GgufFile&, const ModelConfig&);

}  // namespace tenure
