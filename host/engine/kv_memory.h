// [engine] memory: the page pools that sessions share, and what is promised to whom. Engine's thread; the figures may be
// read by any.
#pragma once

#include <atomic>
#include <cstdint>
#include <map>
#include <memory>
#include <tuple>

#include "cache/kv_cache.h"
#include "weights/model_config.h"

namespace tenure {

// Rows that one forward carries at most: what was asked for, 0 being the backend's choice, and a granule at least.
uint32_t batch_rows(uint32_t asked, const BackendProperties& backend);

class KvMemory {
 public:
  // batch_rows: the most rows of one forward.
  KvMemory(Backend& backend, const ModelConfig& config, uint64_t capacity_bytes, uint32_t batch_rows);

  // Pools and shape for caches of these types; made at first use. Throws Error when the backend cannot keep them.
  KvConfig kv_config(Dtype k_type, Dtype v_type);

  uint64_t capacity() const { return capacity_; }
  uint64_t reserved() const { return reserved_; }
  bool fits(uint64_t bytes) const { return reserved_ + bytes <= capacity_; }
  void reserve(uint64_t bytes) { reserved_ += bytes; }
  void release(uint64_t bytes) { reserved_ -= bytes; }

  uint64_t bytes_in_use() const;
  uint64_t peak_bytes() const;
  void forget_peak();

 private:
  Backend& backend_;
  const ModelConfig& config_;
  uint64_t capacity_;
  uint32_t batch_rows_;
  uint64_t reserved_ = 0;
  std::map<std::tuple<uint32_t, Dtype, Dtype>, std::unique_ptr<PagePool>> pools_;  // by head_dim, k_type, v_type
};

}  // namespace tenure
