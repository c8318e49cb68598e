// The rows of one forward: prefill chunks, decode steps and rebuilt rows of many sequences, and what somebody wants of
// their logits. Filled anew before each forward; what it allocates it keeps. Engine's thread only.
#pragma once

#include <tenure/backend.h>

#include <cstdint>
#include <functional>
#include <span>
#include <vector>

#include "cache/kv_cache.h"

namespace tenure {

// One layer's rows as evidence, after attend is enqueued; pointers into backend memory, (n_rows, width) of the batch.
struct LayerRows {
  uint32_t layer = 0;
  uint32_t n_heads = 0;
  uint32_t n_kv_heads = 0;
  uint32_t head_dim = 0;
  uint32_t n_embd = 0;
  const float* q_pre = nullptr;
  const float* q_post = nullptr;
  const float* k_pre = nullptr;
  const float* v = nullptr;
  const float* k_post = nullptr;
  const float* hidden = nullptr;
};
using AfterAttend = std::function<Status(const LayerRows&)>;

struct WantedLogits {
  uint32_t flags = 0;                // TENURE_WANT_*
  std::span<const int32_t> ids = {};  // for LOGITS_AT; copied
  std::span<float> full = {};         // (n_vocab) for FULL; the caller's, until the forward is done
};

class Batch {
 public:
  void clear();

  // Rows of one sequence at consecutive positions, already appended to `cache` as its append number `appended` of this
  // step. Returns the first row.
  struct Rows {
    KvCache* cache = nullptr;
    uint32_t appended = 0;
    uint32_t kind = TENURE_ROWS_PREFILL;
    std::span<const int32_t> ids;
    int32_t first_pos = 0;
    uint32_t n_mass_rows = 0;
  };
  uint32_t add(const Rows& rows);
  // Returns the want's index.
  uint32_t want(uint32_t row, const WantedLogits& wanted);

  uint32_t n_rows() const { return static_cast<uint32_t>(ids_.size()); }
  uint32_t n_segments() const { return static_cast<uint32_t>(caches_.size()); }

  // After the forward.
  const tenure_logits& logits(uint32_t want) const { return results_[want]; }
  float logit_at(uint32_t want, uint32_t i) const { return logits_at_[first_id_[want] + i]; }
  // First layer whose input row was not finite, n_layers for the head's; -1 when all was well.
  int32_t first_bad_layer(uint32_t row) const { return bad_layers_[row]; }

  // Fixes all pointers; called by Model::forward. Segments of layer l: segments(l), n_segments() of them.
  void seal(const tenure_weights* weights, uint32_t n_layers);
  const tenure_forward& forward() const { return forward_; }
  const tenure_segment* segments(uint32_t layer) const { return &segments_[size_t{layer} * n_segments()]; }
  std::span<const tenure_want> wants() const { return wants_; }
  // Keys and values of the slots that the views name, over layers, segments and KV heads: what attention has to read.
  uint64_t kv_bytes() const;

 private:
  std::vector<int32_t> ids_;
  std::vector<int32_t> positions_;
  std::vector<uint8_t> kinds_;
  std::vector<int32_t> bad_layers_;
  std::vector<tenure_segment> shapes_;  // (n_segments) without what depends on the layer
  std::vector<KvCache*> caches_;        // (n_segments)
  std::vector<uint32_t> appended_;      // (n_segments)
  std::vector<tenure_segment> segments_;  // (n_layers, n_segments)
  std::vector<tenure_kv_view> views_;     // (n_layers, n_segments, n_kv_heads)
  std::vector<tenure_want> wants_;
  std::vector<tenure_logits> results_;
  std::vector<int32_t> wanted_ids_;
  std::vector<float> logits_at_;
  std::vector<size_t> first_id_;  // (n_wants) into wanted_ids_
  tenure_forward forward_{};
};

}  // namespace tenure
