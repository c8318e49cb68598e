#include "weights/model_config.h"

#include <fmt/format.h>

#include <cmath>

#include "error/error.h"
#include "tensor/sha256.h"

namespace tenure {
namespace {

constexpr FamilyTraits families[] = {
    {.architecture = "llama"},
    {.architecture = "qwen2"},
    {.architecture = "qwen3", .qk_norm = true},
    {.architecture = "gemma3",
     .activation = Activation::gelu_tanh,
     .qk_norm = true,
     .post_norms = true,
     .scales_embedding = true},
    {.architecture = "phi3"},
};

}  // namespace

const FamilyTraits& family_traits(std::string_view architecture) {
  for (const FamilyTraits& family : families) {
    if (family.architecture == architecture) return family;
  }
  throw Error(Code::internal, fmt::format("no traits of architecture \"{}\"", architecture));
}

void ModelConfig::take_traits() {
  const FamilyTraits& traits = family_traits(architecture);
  activation = traits.activation;
  qk_norm = traits.qk_norm;
  post_norms = traits.post_norms;
  if (traits.scales_embedding) embedding_scale = std::sqrt(static_cast<float>(n_embd));
}

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
