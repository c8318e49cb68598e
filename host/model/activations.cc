#include "model/activations.h"

#include <algorithm>

namespace tenure {

Activations::Activations(Backend& backend, const ModelConfig& config, uint32_t rows) : n_rows(rows), n_embd(config.n_embd) {
  for (const LayerConfig& layer : config.layers) {
    q_width = std::max<uint64_t>(q_width, uint64_t{config.n_heads} * layer.head_dim);
    kv_width = std::max<uint64_t>(kv_width, uint64_t{layer.n_kv_heads} * layer.head_dim);
  }
  const auto floats = [&](uint64_t width) { return backend.alloc(n_rows * width * sizeof(float)); };
  x = floats(n_embd);
  q = floats(q_width);
  k = floats(kv_width);
  v = floats(kv_width);
  mixed = floats(q_width);
}

void Activations::supply(const Backend& backend, uint32_t evidence) {
  const auto want = [&](DeviceBuffer& buffer, uint32_t bit, uint64_t width) {
    if ((evidence & bit) != 0 && !buffer) buffer = backend.alloc(n_rows * width * sizeof(float));
  };
  want(q_pre, TENURE_EVIDENCE_Q_PRE, q_width);
  want(k_pre, TENURE_EVIDENCE_K_PRE, kv_width);
  want(hidden, TENURE_EVIDENCE_HIDDEN, n_embd);
}

}  // namespace tenure
