#include "model/batch.h"

namespace tenure {

void Batch::clear() {
  ids_.clear();
  positions_.clear();
  kinds_.clear();
  shapes_.clear();
  caches_.clear();
  appended_.clear();
  wants_.clear();
  wanted_ids_.clear();
  first_id_.clear();
}

uint32_t Batch::add(const Rows& rows) {
  const uint32_t first_row = n_rows();
  const uint32_t n = static_cast<uint32_t>(rows.ids.size());
  ids_.insert(ids_.end(), rows.ids.begin(), rows.ids.end());
  for (uint32_t i = 0; i < n; ++i) positions_.push_back(rows.first_pos + static_cast<int32_t>(i));
  kinds_.insert(kinds_.end(), n, static_cast<uint8_t>(rows.kind));
  shapes_.push_back({.kind = rows.kind,
                     .first_row = first_row,
                     .n_rows = n,
                     .first_pos = rows.first_pos,
                     .n_mass_rows = rows.n_mass_rows});
  caches_.push_back(rows.cache);
  appended_.push_back(rows.appended);
  return first_row;
}

uint32_t Batch::want(uint32_t row, const WantedLogits& wanted) {
  first_id_.push_back(wanted_ids_.size());
  wanted_ids_.insert(wanted_ids_.end(), wanted.ids.begin(), wanted.ids.end());
  wants_.push_back({.row = row,
                    .flags = wanted.flags,
                    .n_ids = static_cast<uint32_t>(wanted.ids.size()),
                    .full = wanted.full.data()});
  return static_cast<uint32_t>(wants_.size() - 1);
}

void Batch::seal(const tenure_weights* weights, uint32_t n_layers) {
  segments_.clear();
  views_.clear();
  for (uint32_t layer = 0; layer < n_layers; ++layer) {
    for (uint32_t i = 0; i < n_segments(); ++i) {
      tenure_segment segment = shapes_[i];
      segment.pool = &caches_[i]->pool(layer).kv();
      segments_.push_back(segment);
      for (uint32_t head = 0; head < caches_[i]->n_kv_heads(layer); ++head) {
        views_.push_back(caches_[i]->view(layer, head, appended_[i]));
      }
    }
  }
  const tenure_kv_view* next = views_.data();
  for (uint32_t i = 0; i < segments_.size(); ++i) {
    segments_[i].heads = next;
    next += caches_[i % n_segments()]->n_kv_heads(i / n_segments());
  }
  results_.resize(wants_.size());
  logits_at_.resize(wanted_ids_.size());
  for (size_t i = 0; i < wants_.size(); ++i) {
    wants_[i].ids = wanted_ids_.data() + first_id_[i];
    wants_[i].logits_at = logits_at_.data() + first_id_[i];
    wants_[i].result = &results_[i];
  }
  bad_layers_.resize(ids_.size());
  forward_ = {.head = {.struct_size = sizeof(tenure_forward)},
              .weights = weights,
              .n_rows = n_rows(),
              .n_segments = n_segments(),
              .ids = ids_.data(),
              .positions = positions_.data(),
              .first_bad_layer = bad_layers_.data(),
              .kinds = kinds_.data()};
}

uint64_t Batch::kv_bytes() const {
  uint64_t bytes = 0;
  for (uint32_t i = 0; i < segments_.size(); ++i) {
    const KvCache& cache = *caches_[i % n_segments()];
    const uint32_t layer = i / n_segments();
    for (uint32_t head = 0; head < cache.n_kv_heads(layer); ++head)
      bytes += segments_[i].heads[head].n_slots * cache.pool(layer).slot_bytes();
  }
  return bytes;
}

}  // namespace tenure
