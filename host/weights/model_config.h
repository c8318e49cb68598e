// What a model file says about its shape: immutable numbers, every one checked when the file is read.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "weights/tokenizer_metadata.h"

namespace tenure {

class GgufFile;

// Which elements of a head turn together, as the q and k rows of this file are stored.
enum class RopeKind : uint8_t {
  interleaved,  // (0,1), (2,3), …: llama's GGUF files
  halves,       // (0, d/2), (1, d/2 + 1), …
};

// What gates the feed-forward block.
enum class Activation : uint8_t { silu, gelu_tanh };

// Layers are not alike in every family, so what may differ is a table.
struct LayerConfig {
  uint32_t n_kv_heads = 0;
  uint32_t head_dim = 0;  // of q, k and v
  float rope_base = 0;
  uint32_t rope_dim = 0;  // leading elements of a head that turn; the rest pass; even, <= head_dim
  RopeKind rope_kind = RopeKind::interleaved;
  std::vector<float> rope_factors;  // (rope_dim / 2) a pair's angle is divided by its factor; empty = all 1
  float attention_scale = 0;        // of q.k before the softmax
  uint32_t window = 0;              // positions a row sees at most; 0 = all
};

// What sets a family apart in its computation, whatever its files look like.
struct FamilyTraits {
  std::string_view architecture;  // GGUF's name for the family
  Activation activation = Activation::silu;
  bool qk_norm = false;
  bool post_norms = false;
  bool scales_embedding = false;  // by sqrt(n_embd)
};
// `architecture` is one that is run.
const FamilyTraits& family_traits(std::string_view architecture);

struct ModelConfig {
  std::string architecture;  // general.architecture
  std::string name;          // general.name; empty when absent
  uint32_t n_layers = 0;
  uint32_t n_embd = 0;
  uint32_t n_ff = 0;
  uint32_t n_vocab = 0;
  uint32_t n_ctx = 0;    // positions the model was trained for
  uint32_t n_heads = 0;  // query heads; a multiple of each layer's n_kv_heads
  float rms_epsilon = 0;
  float embedding_scale = 1;  // of the embedding's rows as they enter layer 0
  Activation activation = Activation::silu;
  bool qkv_bias = false;    // q, k and v have biases
  bool qk_norm = false;     // each head of q and k is normed before RoPE
  bool post_norms = false;  // what a block adds to the residual stream is normed first
  bool tied_head = false;           // the output matrix is the embedding
  std::vector<LayerConfig> layers;  // (n_layers)
  uint64_t weights_bytes = 0;       // of all tensors, as stored in the file
  // What learned policies' weights are matched by: equal for the same model in another quantisation. As read from a file, a
  // sha256 (64 hex digits) of the numbers above that shape the computation; ModelSource adds the norms (model_weights.h).
  std::string fingerprint;

  // Sets what the architecture's traits say of the computation; architecture and n_embd are known.
  void take_traits();
  // Fills in the fingerprint from everything above it.
  void seal();

  uint32_t group_size(uint32_t layer) const { return n_heads / layers[layer].n_kv_heads; }
};

// Both throw Error: model_malformed for data that contradict themselves, model_unsupported for a well-formed
// file of an architecture, type or option that is not run. The text names the key or tensor and what is
// allowed.
ModelConfig read_model_config(const GgufFile&);
TokenizerMetadata read_tokenizer_metadata(const GgufFile&);

}  // namespace tenure
