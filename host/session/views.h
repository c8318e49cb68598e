// What a policy sees of one session: views over the cache's side arrays, nothing copied but summed mass.
#pragma once

#include <tenure/policy.h>

#include <cstdint>
#include <span>
#include <vector>

#include "cache/kv_cache.h"
#include "plugin/policy.h"

namespace tenure {

class Session;

// Whose view it is, and the evidence beside the side arrays.
struct ViewEvidence {
  const PolicySequence* sequence = nullptr;
  bool mass = false;
  // Of the heads of one layer in order: (n_slots, head_dim) each, NULL where not declared.
  std::span<const float* const> k = {};
  std::span<const float* const> v = {};
};

class PolicyView {
 public:
  // Tables of `layer`, or all with TENURE_ALL_LAYERS. Valid until the cache or the session changes.
  const tenure_view* build(Session& session, uint32_t layer, uint32_t phase, const ViewEvidence& evidence);

 private:
  const float* mass_of(const KvCache& cache, uint32_t layer, uint32_t table);

  std::vector<tenure_head_view> heads_;
  std::vector<std::vector<float>> summed_mass_;  // of tables that several KV heads share
  size_t n_summed_ = 0;
  tenure_view view_{};
};

}  // namespace tenure
