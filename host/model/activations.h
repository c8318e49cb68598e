// What a forward writes between ops, f32, in the backend's memory. The engine owns one, sized for its largest batch.
// Evidence that would be overwritten gets a buffer of its own once a policy wants it.
#pragma once

#include <cstdint>

#include "plugin/backend.h"
#include "weights/model_config.h"

namespace tenure {

struct Activations {
  Activations(Backend& backend, const ModelConfig& config, uint32_t n_rows);
  // Between forwards. evidence: TENURE_EVIDENCE_* bits; those that are no rows are ignored. Throws Error.
  void supply(const Backend& backend, uint32_t evidence);

  uint32_t n_rows;
  uint64_t q_width = 0;   // of the widest layer
  uint64_t kv_width = 0;
  uint64_t n_embd = 0;
  DeviceBuffer x;       // (n_rows, n_embd)
  DeviceBuffer q;       // (n_rows, n_heads * head_dim)
  DeviceBuffer k;       // (n_rows, n_kv_heads * head_dim)
  DeviceBuffer v;       // (n_rows, n_kv_heads * head_dim)
  DeviceBuffer mixed;   // (n_rows, n_heads * head_dim) attention's output
  DeviceBuffer q_pre;   // as q, before RoPE; only as evidence
  DeviceBuffer k_pre;   // as k, before RoPE; only as evidence
  DeviceBuffer hidden;  // (n_rows, n_embd) attention's normed input; only as evidence
};

}  // namespace tenure
