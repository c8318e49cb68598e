#include "engine/kv_memory.h"

#include <algorithm>

namespace tenure {

uint32_t batch_rows(uint32_t asked, const BackendProperties& backend) {
  return std::max(asked > 0 ? asked : backend.batch_rows, backend.row_granularity);
}

KvMemory::KvMemory(Backend& backend, const ModelConfig& config, uint64_t capacity_bytes, uint32_t batch_rows)
    : backend_(backend), config_(config), capacity_(capacity_bytes), batch_rows_(batch_rows) {}

KvConfig KvMemory::kv_config(Dtype k_type, Dtype v_type) {
  KvConfig kv;
  kv.batch_rows = batch_rows_;
  kv.trim_slots = backend_.properties().slot_granularity;
  for (const LayerConfig& layer : config_.layers) {
    std::unique_ptr<PagePool>& pool = pools_[{layer.head_dim, k_type, v_type}];
    if (!pool) pool = std::make_unique<PagePool>(backend_, layer.head_dim, k_type, v_type, capacity_);
    kv.pools.push_back(pool.get());
    kv.n_kv_heads.push_back(layer.n_kv_heads);
    kv.head_dims.push_back(layer.head_dim);
    kv.windows.push_back(layer.window);
    if (kv.trim_slots != 0) kv.trim_slots = std::max(kv.trim_slots, pool->run_slots());
  }
  return kv;
}

uint64_t KvMemory::bytes_in_use() const {
  uint64_t bytes = 0;
  for (const auto& [key, pool] : pools_) bytes += pool->bytes_in_use();
  return bytes;
}

uint64_t KvMemory::peak_bytes() const {
  uint64_t bytes = 0;
  for (const auto& [key, pool] : pools_) bytes += pool->peak_bytes();
  return bytes;
}

void KvMemory::forget_peak() {
  for (const auto& [key, pool] : pools_) pool->forget_peak();
}

}  // namespace tenure
