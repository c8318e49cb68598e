#include "session/views.h"

#include <algorithm>

#include "session/session.h"

namespace tenure {

// A table that several KV heads share shows the mean over them.
const float* PolicyView::mass_of(const KvCache& cache, uint32_t layer, uint32_t table) {
  const bool all = layer == TENURE_ALL_LAYERS;
  const uint32_t first_layer = all ? 0 : layer;
  const uint32_t last_layer = all ? cache.n_layers() : layer + 1;
  if (n_summed_ == summed_mass_.size()) summed_mass_.emplace_back();
  std::vector<float>& sums = summed_mass_[n_summed_++];
  const size_t n_slots = cache.table(table).size();
  sums.resize(n_slots);
  float* __restrict sum = sums.data();
  uint32_t n_heads = 0;
  for (uint32_t l = first_layer; l < last_layer; ++l) {
    if (cache.n_tables_of(l) == 0 || cache.first_table(l) != table) continue;
    for (uint32_t head = 0; head < cache.n_kv_heads(l); ++head) {
      const float* __restrict mass = cache.mass(l, head).data();
      if (n_heads++ == 0) {
        std::copy_n(mass, n_slots, sum);
      } else {
        for (size_t slot = 0; slot < n_slots; ++slot) sum[slot] += mass[slot];
      }
    }
  }
  for (size_t slot = 0; slot < n_slots; ++slot) sum[slot] /= static_cast<float>(n_heads);
  return sum;
}

const tenure_view* PolicyView::build(Session& session, uint32_t layer, uint32_t phase, const ViewEvidence& evidence) {
  KvCache& cache = session.cache();
  const bool all = layer == TENURE_ALL_LAYERS;
  const PolicyNeeds needs = session.policy().needs();
  const bool per_head = session.policy().granularity == TENURE_GRANULARITY_KV_HEAD;
  const bool mass = evidence.mass && (needs.evidence & TENURE_EVIDENCE_ATTENTION_MASS) != 0;
  heads_.clear();
  n_summed_ = 0;
  const auto add = [&](uint32_t table_layer, uint32_t index, uint32_t head) {
    SlotTable& table = cache.table(index);
    const float* of_head = mass && per_head ? cache.mass(table_layer, head).data() : nullptr;
    heads_.push_back({.pos = table.pos().data(),
                      .score = table.score().data(),
                      .flags = table.flags().data(),
                      .mass = mass && !per_head ? mass_of(cache, layer, index) : of_head,
                      .state = needs.state_floats_per_slot > 0 ? table.state().data() : nullptr,
                      .n_slots = table.size(),
                      .budget = session.budget().bounded ? session.budget().slots : UINT32_MAX,
                      .k = evidence.k.empty() ? nullptr : evidence.k[head],
                      .v = evidence.v.empty() ? nullptr : evidence.v[head]});
  };
  if (session.policy().granularity == TENURE_GRANULARITY_TOKEN) {
    add(0, 0, 0);
  } else {
    for (uint32_t l = all ? 0 : layer; l < (all ? cache.n_layers() : layer + 1); ++l) {
      for (uint32_t i = 0; i < cache.n_tables_of(l); ++i) add(l, cache.first_table(l) + i, i);
    }
  }
  view_ = {.head = {.struct_size = sizeof(tenure_view)},
           .seq = evidence.sequence->get(),
           .state = session.state(),
           .n_heads = static_cast<uint32_t>(heads_.size()),
           .head_stride = sizeof(tenure_head_view),
           .heads = heads_.data(),
           .n_tokens = static_cast<uint32_t>(session.ids().size()),
           .phase = phase,
           .ids = session.ids().data(),
           .released = needs.rebuild ? session.released().data() : nullptr,
           .token_state = session.token_state(),
           .n_steps = session.n_steps(),
           .head_dim = layer == TENURE_ALL_LAYERS ? 0 : cache.head_dim(layer)};
  return &view_;
}

}  // namespace tenure
