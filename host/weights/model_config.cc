#include "weights/model_config.h"

#include <fmt/format.h>

#include "tensor/sha256.h"

namespace tenure {

void ModelConfig::seal() {
  std::string text = fmt::format("{} {} {} {} {} {} {:a}", architecture, n_layers, n_embd, n_ff, n_vocab, n_heads, rms_epsilon);
  text += fmt::format(" {:a} {} {} {} {}", embedding_scale, static_cast<int>(activation), qkv_bias, qk_norm, post_norms);
  for (const LayerConfig& layer : layers) {
    text += fmt::format("\n{} {} {:a} {} {} {} {:a}", layer.n_kv_heads, layer.head_dim, layer.rope_base, layer.rope_dim,
                        static_cast<int>(layer.rope_kind), layer.window, layer.attention_scale);
    for (const float factor : layer.rope_factors) text += fmt::format(" {:a}", factor);
  }
  fingerprint = sha256_hex(std::as_bytes(std::span(text)));
}

}  // namespace tenure
