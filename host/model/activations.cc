#include "model/activations.h"

#include <algorithm>

namespace tenure {

Activations::Activations(Backend& backend, const ModelConfig& config, uint32_t rows, uint32_t evidence)
    : n_rows(rows), row_evidence(evidence) {
  uint64_t q_width = 0;
  uint64_t kv_width = 0;
  for (const LayerConfig& layer : config.layers) {
    q_width = std::max<uint64_t>(q_width, uint64_t{config.n_heads} * layer.head_dim);
    kv_width = std::max<uint64_t>(kv_width, uint64_t{layer.n_kv_heads} * layer.head_dim);
  }
  const auto floats = [&](uint64_t width) { return backend.alloc(n_rows * width * sizeof(float)); };
  x = floats(config.n_embd);
  q = floats(q_width);
  k = floats(kv_width);
  v = floats(kv_width);
  mixed = floats(q_width);
  if ((evidence & TENURE_EVIDENCE_Q_PRE) != 0) q_pre = floats(q_width);
  if ((evidence & TENURE_EVIDENCE_K_PRE) != 0) k_pre = floats(kv_width);
  if ((evidence & TENURE_EVIDENCE_HIDDEN) != 0) hidden = floats(config.n_embd);
}

}  // namespace tenure
