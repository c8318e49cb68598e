// One model's weights as this backend keeps them: matrices packed, vectors as f32, rotation tables.
#pragma once

#include <tenure/backend.h>

#include <cstdint>
#include <string>
#include <vector>

#include "attend_exec.h"
#include "memory.h"
#include "packed_matrix.h"
#include "rope.h"

namespace tenure::cpu {

struct LayerWeights {
  const float* attn_norm = nullptr;  // (n_embd)
  const float* ffn_norm = nullptr;   // (n_embd)
  PackedMatrix q, k, v;              // (n_heads * head_dim | n_kv_heads * head_dim, n_embd)
  const float* q_bias = nullptr;     // NULL: the model has none
  const float* k_bias = nullptr;
  const float* v_bias = nullptr;
  PackedMatrix attn_out;  // (n_embd, n_heads * head_dim)
  PackedMatrix gate, up;  // (n_ff, n_embd)
  PackedMatrix down;      // (n_embd, n_ff)
  // NULL: nothing is normed there.
  const float* q_norm = nullptr;  // (head_dim) of each query head
  const float* k_norm = nullptr;
  const float* attn_post_norm = nullptr;  // (n_embd) of what the block adds to x
  const float* ffn_post_norm = nullptr;
};

class Weights {
 public:
  // Throws std::bad_alloc. `info` has been checked with unsupported().
  explicit Weights(const tenure_model_info& info);
  Weights(const Weights&) = delete;
  Weights& operator=(const Weights&) = delete;

  // Why this backend cannot run such a model; empty when it can.
  static std::string unsupported(const tenure_model_info& info);
  static bool supports(uint32_t role, uint32_t dtype);

  // Packs on all workers. Returns why it was refused; empty when added.
  std::string add(const tenure_weight&, const Exec&);
  // Names a weight that is missing; empty when complete.
  std::string missing() const;
  // Once complete, before the first forward.
  void finish() { arena_.collapse(); }

  uint64_t bytes() const { return arena_.bytes(); }
  uint32_t n_layers() const { return static_cast<uint32_t>(layers_.size()); }
  const LayerWeights& layer(uint32_t i) const { return layers_[i]; }
  // Without its rope_factors, which are the host's: rope() has them.
  const tenure_layer_info& layer_info(uint32_t i) const { return layer_info_[i]; }
  const PackedMatrix& token_embd() const { return token_embd_; }
  const PackedMatrix& head() const { return output_.data ? output_ : token_embd_; }
  const float* output_norm() const { return output_norm_; }
  const RopeTable& rope(uint32_t layer) const { return ropes_[rope_of_layer_[layer]]; }
  void reserve_positions(uint32_t n_positions);

  uint32_t n_embd() const { return n_embd_; }
  uint32_t n_ff() const { return n_ff_; }
  uint32_t n_vocab() const { return n_vocab_; }
  uint32_t n_heads() const { return n_heads_; }
  float norm_epsilon() const { return norm_epsilon_; }
  float embedding_scale() const { return embedding_scale_; }
  uint32_t activation() const { return activation_; }
  // In any layer.
  bool has_post_norms() const;
  uint32_t widest_input() const;      // the largest n_in of any matrix
  uint32_t widest_attention() const;  // the largest n_heads * head_dim

 private:
  // Where a weight belongs: one of the two is set.
  struct Place {
    PackedMatrix* matrix = nullptr;
    const float** vector = nullptr;
    uint64_t n_out = 0;
    uint64_t n_in = 0;
  };
  Place place(uint32_t role, uint32_t layer);
  Place layer_place(uint32_t role, uint32_t layer);

  uint32_t n_embd_, n_ff_, n_vocab_, n_heads_;
  float norm_epsilon_, embedding_scale_;
  uint32_t activation_;
  std::vector<tenure_layer_info> layer_info_;
  std::vector<LayerWeights> layers_;
  PackedMatrix token_embd_, output_;
  const float* output_norm_ = nullptr;
  std::vector<RopeTable> ropes_;
  std::vector<uint32_t> rope_of_layer_;
  Arena arena_;
};

}  // namespace tenure::cpu
