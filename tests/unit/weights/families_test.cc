// What each family's metadata come to, from the files of tests/golden/tiny_families.py.
#include <doctest/doctest.h>

#include <cmath>
#include <string>

#include "unit/weights/gguf_bytes.h"
#include "weights/gguf.h"
#include "weights/model_weights.h"

namespace tenure {
namespace {

struct Opened {
  GgufFile file;
  ModelConfig config;
  ModelWeights weights;
};

Opened open_model(const std::string& family) {
  GgufFile file = GgufFile::open("tests/data/tiny-" + family + "-f32.gguf");
  ModelConfig config = read_model_config(file);
  ModelWeights weights = read_model_weights(file, config);
  return {.file = std::move(file), .config = std::move(config), .weights = std::move(weights)};
}

TEST_CASE("families - llama 3 divides angles by the file's factors") {
  const Opened llama3 = open_model("llama3");
  const LayerConfig& layer = llama3.config.layers[1];
  CHECK(layer.rope_kind == RopeKind::interleaved);
  REQUIRE(layer.rope_factors.size() == 8);
  CHECK(layer.rope_factors.front() == doctest::Approx(1));  // high frequencies stay
  CHECK(layer.rope_factors.back() == doctest::Approx(8));   // low ones are stretched by the whole factor
  CHECK_FALSE(llama3.config.tied_head);
}

TEST_CASE("families - qwen2 has biases, qwen3 norms over heads of their own width") {
  const Opened qwen2 = open_model("qwen2");
  CHECK(qwen2.config.qkv_bias);
  CHECK(qwen2.config.layers[0].rope_kind == RopeKind::halves);
  CHECK(qwen2.weights.layers[1].k_bias.shape[0] == 32);
  CHECK(qwen2.weights.layers[1].q_norm.bytes.empty());
  const Opened qwen3 = open_model("qwen3");
  CHECK_FALSE(qwen3.config.qkv_bias);
  CHECK(qwen3.config.qk_norm);
  CHECK(qwen3.config.layers[0].head_dim == 32);
  CHECK(qwen3.weights.layers[1].q_norm.shape[0] == 32);
  CHECK(qwen3.weights.layers[1].q.shape[1] == 128);
}

TEST_CASE("families - gemma3 has a window in five layers of six, whose RoPE is not stretched") {
  const Opened gemma3 = open_model("gemma3");
  const ModelConfig& config = gemma3.config;
  CHECK(config.activation == Activation::gelu_tanh);
  CHECK(config.post_norms);
  CHECK(config.embedding_scale == doctest::Approx(std::sqrt(32.0)));
  for (uint32_t i = 0; i < 6; ++i) {
    CAPTURE(i);
    const LayerConfig& layer = config.layers[i];
    CHECK(layer.window == (i < 5 ? 24 : 0));
    CHECK(layer.rope_base == (i < 5 ? 1e4f : 1e6f));
    CHECK(layer.rope_factors.empty() == (i < 5));
    CHECK(layer.attention_scale == 0.25f);
  }
  CHECK(config.layers[5].rope_factors[7] == 8);
  CHECK(gemma3.weights.layers[5].ffn_post_norm.shape[0] == 32);
}

TEST_CASE("families - gemma3's YaRN scales the attention of the layers that see everything, not the others") {
  test::LlamaBytes gemma3;
  for (auto& [key, value] : gemma3.values) {
    if (key.starts_with("llama.")) key.replace(0, 5, "gemma3");
  }
  gemma3.set("general.architecture", test::LlamaBytes::text("gemma3"))
      .set("gemma3.block_count", test::LlamaBytes::u32(6))
      .set("gemma3.attention.sliding_window", test::LlamaBytes::u32(32))
      .set("gemma3.rope.scaling.type", test::LlamaBytes::text("yarn"))
      .set("gemma3.rope.scaling.factor", test::LlamaBytes::f32(4));
  const test::GgufBytes bytes = gemma3.file();
  const ModelConfig config = read_model_config(GgufFile::parse(bytes.bytes(), "m.gguf"));
  CHECK(config.layers[0].attention_scale == 0.5f);  // 1 / sqrt(head_dim)
  const double growth = 1 + 0.1 * std::log(4);      // of q and of k
  CHECK(config.layers[5].attention_scale == doctest::Approx(0.5 * growth * growth));
}

TEST_CASE("families - phi3 hands out its fused projections as rows of one tensor") {
  const Opened phi3 = open_model("phi3");
  const LayerConfig& layer = phi3.config.layers[0];
  CHECK(layer.rope_dim == 8);
  CHECK(layer.head_dim == 16);
  CHECK(layer.window == 40);
  const LayerWeights& w = phi3.weights.layers[1];
  const TensorView& fused = *phi3.file.find("blk.1.attn_qkv.weight");
  CHECK(w.q.bytes.data() == fused.bytes.data());
  CHECK(w.k.bytes.data() == fused.bytes.data() + 64 * 64 * 4);
  CHECK(w.v.bytes.data() == fused.bytes.data() + (64 + 32) * 64 * 4);
  CHECK(w.v.bytes.data() + w.v.bytes.size() == fused.bytes.data() + fused.bytes.size());
  CHECK(w.ffn_gate.shape == std::array<uint64_t, 4>{64, 96, 1, 1});
  CHECK(w.ffn_up.bytes.data() == w.ffn_gate.bytes.data() + w.ffn_gate.bytes.size());
}

TEST_CASE("families - each has a fingerprint of its own") {
  CHECK(open_model("qwen2").config.fingerprint != open_model("qwen3").config.fingerprint);
  CHECK(open_model("gemma3").config.fingerprint.size() == 64);
}

}  // namespace
}  // namespace tenure
