// What a forward writes between ops, f32, in the backend's memory. The engine owns one, sized for its largest batch.
#pragma once

#include <cstdint>

#include "plugin/backend.h"
#include "weights/model_config.h"

namespace tenure {

struct Activations {
  // row_evidence: TENURE_EVIDENCE_* bits of rows that a policy reads, which then get buffers of their own.
  Activations(Backend& backend, const ModelConfig& config, uint32_t n_rows, uint32_t row_evidence);

  uint32_t n_rows;
  uint32_t row_evidence;
  DeviceBuffer x;       // (n_rows, n_embd)
  DeviceBuffer q;       // (n_rows, n_heads * head_dim) of the widest layer
  DeviceBuffer k;       // (n_rows, n_kv_heads * head_dim)
  DeviceBuffer v;       // (n_rows, n_kv_heads * head_dim)
  DeviceBuffer mixed;   // (n_rows, n_heads * head_dim) attention's output
  DeviceBuffer q_pre;   // as q, before RoPE; only as evidence
  DeviceBuffer k_pre;   // as k, before RoPE; only as evidence
  DeviceBuffer hidden;  // (n_rows, n_embd) attention's normed input; only as evidence
};

}  // namespace tenure
