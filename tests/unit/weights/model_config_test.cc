#include "weights/model_config.h"

#include <doctest/doctest.h>

#include <limits>
#include <string>
#include <vector>

#include "error/error.h"
#include "unit/weights/gguf_bytes.h"
#include "weights/gguf.h"
#include "weights/model_weights.h"

namespace tenure {
namespace {

using test::GgufBytes;
using test::LlamaBytes;

ModelConfig config_of(const LlamaBytes& llama) {
  const GgufBytes bytes = llama.file();
  return read_model_config(GgufFile::parse(bytes.bytes(), "m.gguf"));
}

// What reading the whole model says; empty when it is taken.
std::string refusal(const LlamaBytes& llama, Code code) {
  const GgufBytes bytes = llama.file();
  try {
    const GgufFile file = GgufFile::parse(bytes.bytes(), "m.gguf");
    read_model_weights(file, read_model_config(file));
    read_tokenizer_metadata(file);
  } catch (const Error& error) {
    CHECK(error.diagnostics().front().where.file == "m.gguf");
    CHECK(error.code() == code);
    return error.diagnostics().front().text;
  }
  return {};
}

struct Refusal {
  std::string key;
  GgufBytes value;
  Code code;
  const char* says;
};

void expect_refused(const std::vector<Refusal>& cases) {
  for (const Refusal& c : cases) {
    CAPTURE(c.key);
    const std::string text = refusal(LlamaBytes().set(c.key, c.value), c.code);
    CHECK_MESSAGE(text.find(c.says) != std::string::npos, text);
    CHECK_MESSAGE(text.find(c.key) != std::string::npos, text);
  }
}

GgufBytes negative() {
  return GgufBytes().type(GgufType::i32).number(int32_t{-1});
}

TEST_CASE("model config - numbers of a small llama are read") {
  const ModelConfig config = config_of(LlamaBytes());
  CHECK(config.architecture == "llama");
  CHECK(config.name == "one layer");
  CHECK(config.n_layers == 1);
  CHECK(config.n_embd == 8);
  CHECK(config.n_ff == 6);
  CHECK(config.n_vocab == 3);
  CHECK(config.n_ctx == 64);
  CHECK(config.n_heads == 2);
  CHECK(config.group_size(0) == 2);
  CHECK(config.rms_epsilon == 1e-5f);
  CHECK(config.tied_head);
  REQUIRE(config.layers.size() == 1);
  CHECK(config.layers[0].n_kv_heads == 1);
  CHECK(config.layers[0].head_dim == 4);
  CHECK(config.layers[0].rope_dim == 4);
  CHECK(config.layers[0].rope_base == 10'000.0f);
  CHECK(config.layers[0].rope_kind == RopeKind::interleaved);
  CHECK(config.layers[0].window == 0);
  CHECK(config.weights_bytes == 4 * (3 * 8 + 3 * 8 + 2 * 64 + 2 * 32 + 3 * 48));
}

TEST_CASE("model config - the KV heads may be absent, one number, or one a layer") {
  LlamaBytes absent;
  absent.remove("llama.attention.head_count_kv");
  CHECK(config_of(absent).layers[0].n_kv_heads == 2);
  CHECK(config_of(LlamaBytes().set("llama.attention.head_count_kv", LlamaBytes::u32s({2})))
            .layers[0]
            .n_kv_heads == 2);
  expect_refused({
      {"llama.attention.head_count_kv", LlamaBytes::u32s({1, 1}), Code::model_malformed,
       "2 entries for 1 layers"},
      {"llama.attention.head_count_kv", LlamaBytes::u32s({0}), Code::model_malformed, "1 to 2 is allowed"},
      {"llama.attention.head_count_kv", LlamaBytes::u32(0), Code::model_malformed, "1 to 2 is allowed"},
      {"llama.attention.head_count_kv", LlamaBytes::u32(3), Code::model_malformed, "1 to 2 is allowed"},
      {"llama.attention.head_count_kv", LlamaBytes::texts({"1"}), Code::model_malformed, "array of integers"},
  });
  LlamaBytes uneven;
  uneven.set("llama.attention.head_count", LlamaBytes::u32(4))
      .set("llama.attention.head_count_kv", LlamaBytes::u32(3));
  CHECK(refusal(uneven, Code::model_malformed).find("does not divide the 4 query heads") !=
        std::string::npos);
}

TEST_CASE("model config - heads need not fill the embedding when key_length says so") {
  LlamaBytes wide;
  wide.set("llama.attention.key_length", LlamaBytes::u32(6))
      .set("llama.attention.value_length", LlamaBytes::u32(6));
  wide.tensor("blk.0.attn_q.weight").shape = {8, 12};
  wide.tensor("blk.0.attn_k.weight").shape = {8, 6};
  wide.tensor("blk.0.attn_v.weight").shape = {8, 6};
  wide.tensor("blk.0.attn_output.weight").shape = {12, 8};
  CHECK(refusal(wide, Code::internal).empty());
  CHECK(config_of(wide).layers[0].head_dim == 6);
}

TEST_CASE("model config - every number out of range is refused by its key") {
  const auto u32 = LlamaBytes::u32;
  const auto f32 = LlamaBytes::f32;
  const float infinity = std::numeric_limits<float>::infinity();
  expect_refused({
      {"llama.block_count", u32(0), Code::model_malformed, "is 0; 1 to 1024 is allowed"},
      {"llama.block_count", u32(1025), Code::model_malformed, "1 to 1024"},
      {"llama.embedding_length", u32(0), Code::model_malformed, "is 0"},
      {"llama.embedding_length", u32(0xffffffff), Code::model_malformed, "is 4294967295"},
      {"llama.feed_forward_length", u32(0), Code::model_malformed, "is 0"},
      {"llama.context_length", u32(0), Code::model_malformed, "is 0"},
      {"llama.context_length", negative(), Code::model_malformed, "cannot be negative"},
      {"llama.attention.head_count", u32(0), Code::model_malformed, "is 0"},
      {"llama.attention.head_count", f32(2), Code::model_malformed, "has type f32; an integer is expected"},
      {"llama.attention.key_length", u32(1), Code::model_malformed, "2 to 1024"},
      {"llama.attention.value_length", u32(8), Code::model_unsupported, "equal lengths"},
      {"llama.attention.layer_norm_rms_epsilon", f32(0), Code::model_malformed, "above 0"},
      {"llama.attention.layer_norm_rms_epsilon", f32(std::numeric_limits<float>::quiet_NaN()),
       Code::model_malformed, "nan"},
      {"llama.rope.freq_base", f32(-1), Code::model_malformed, "above 0"},
      {"llama.rope.freq_base", f32(infinity), Code::model_malformed, "inf"},
      {"llama.rope.dimension_count", u32(3), Code::model_malformed, "must be even"},
      {"llama.rope.dimension_count", u32(6), Code::model_malformed, "2 to 4 is allowed"},
      {"llama.vocab_size", u32(4), Code::model_malformed, "has 3 rows"},
  });
  CHECK(refusal(LlamaBytes().set("llama.attention.head_count", u32(3)), Code::model_malformed)
            .find("do not divide the embedding length 8") != std::string::npos);
}

TEST_CASE("model config - an absent key is named (CVE-2024-41130)") {
  for (const char* key : {"general.architecture", "llama.block_count", "llama.embedding_length",
                          "llama.feed_forward_length", "llama.context_length", "llama.attention.head_count",
                          "llama.attention.layer_norm_rms_epsilon", "tokenizer.ggml.model"}) {
    const std::string text = refusal(LlamaBytes().remove(key), Code::model_malformed);
    CHECK_MESSAGE(text.find(key) != std::string::npos, text);
  }
}

TEST_CASE("model config - options that would change the answers are refused, not passed over") {
  expect_refused({
      {"general.architecture", LlamaBytes::text("gpt2"), Code::model_unsupported, "supported are llama, qwen2, qwen3, gemma3, phi3"},
      {"llama.rope.scaling.type", LlamaBytes::text("ntk"), Code::model_unsupported, "supported are none, linear, yarn"},
      {"llama.rope.scaling.factor", LlamaBytes::f32(-4), Code::model_malformed, "above 0"},
      {"llama.rope.scale_linear", LlamaBytes::f32(2e6), Code::model_malformed, "above 0"},
      {"llama.final_logit_softcapping", LlamaBytes::f32(30), Code::model_unsupported, "supported is 0"},
      {"llama.attention.sliding_window", LlamaBytes::u32(4096), Code::model_unsupported, "supported is 0"},
      {"llama.expert_count", LlamaBytes::u32(8), Code::model_unsupported, "supported is 0"},
      {"llama.attention.causal", GgufBytes().type(GgufType::boolean).u8(0), Code::model_unsupported,
       "supported is true"},
  });
  LlamaBytes frequencies;
  frequencies.tensors.push_back({"rope_freqs.weight", {3}});
  CHECK(refusal(frequencies, Code::model_malformed).find("is not 2 f32 values") != std::string::npos);
  frequencies.tensors.back().shape = {2};
  CHECK(refusal(frequencies, Code::model_malformed).find("holds 0; above 0") != std::string::npos);
  const auto beside_frequencies = [&](const std::string& key, GgufBytes value) {
    return refusal(LlamaBytes(frequencies).set(key, std::move(value)), Code::model_unsupported);
  };
  CHECK(beside_frequencies("llama.rope.scaling.type", LlamaBytes::text("linear")).find("supported is none") !=
        std::string::npos);
  CHECK(beside_frequencies("llama.rope.scaling.factor", LlamaBytes::f32(8)).find("RoPE is scaled by 8") !=
        std::string::npos);
  CHECK(beside_frequencies("llama.rope.scaling.attn_factor", LlamaBytes::f32(2)).find("supported is 1") !=
        std::string::npos);
  CHECK(
      refusal(LlamaBytes().set("llama.rope.scaling.type", LlamaBytes::text("none")), Code::internal).empty());
  CHECK(refusal(LlamaBytes().set("llama.rope.scaling.attn_factor", LlamaBytes::f32(2)), Code::model_unsupported)
            .find("\"llama.rope.scaling.attn_factor\" is 2; supported is 1") != std::string::npos);
}

TEST_CASE("model config - YaRN's ramp is the file's, and what else it may state is refused") {
  const auto yarn = [] {
    LlamaBytes llama;
    llama.set("llama.rope.scaling.type", LlamaBytes::text("yarn"));
    llama.set("llama.rope.scaling.factor", LlamaBytes::f32(4));
    return llama;
  };
  // Index 2 log10(64 / 2 pi turns) / 4 of the pair that turns so often, rounded outwards, ends the ramp. 32 and
  // 1 turns: 0 to 1, so pair 1 is slowed by all of 4; 0.002: to 2, by half of it; 0.05: from 1, not at all.
  CHECK(config_of(yarn()).layers[0].rope_factors == std::vector<float>{1, 4});
  LlamaBytes ramp = yarn();
  ramp.set("llama.rope.scaling.yarn_beta_slow", LlamaBytes::f32(0.002f));
  CHECK(config_of(ramp).layers[0].rope_factors == std::vector<float>{1, 1.6f});
  ramp.set("llama.rope.scaling.yarn_beta_fast", LlamaBytes::f32(0.05f));
  CHECK(config_of(ramp).layers[0].rope_factors == std::vector<float>{1, 1});
  for (const auto& [suffix, usual] : {std::pair{"yarn_ext_factor", 1.0f},
                                      {"yarn_attn_factor", 1.0f},
                                      {"yarn_log_multiplier", 0.0f}}) {
    const std::string key = std::string("llama.rope.scaling.") + suffix;
    CHECK(refusal(yarn().set(key, LlamaBytes::f32(usual)), Code::internal).empty());
    CHECK(refusal(yarn().set(key, LlamaBytes::f32(0.5f)), Code::model_unsupported).find(key) !=
          std::string::npos);
  }
  for (const char* key : {"llama.rope.scaling.yarn_beta_fast", "llama.rope.scaling.yarn_beta_slow"})
    CHECK(refusal(yarn().set(key, LlamaBytes::f32(-1)), Code::model_malformed).find(key) != std::string::npos);
}

TEST_CASE("model weights - an absent, misshapen or foreign tensor is named") {
  for (const LlamaBytes::Tensor& tensor : LlamaBytes().tensors) {
    CAPTURE(tensor.name);
    CHECK(refusal(LlamaBytes().remove_tensor(tensor.name), Code::model_malformed) ==
          "tensor \"" + tensor.name + "\" is absent");
    LlamaBytes misshapen;
    misshapen.tensor(tensor.name).shape[0] += 1;
    CHECK(refusal(misshapen, Code::model_malformed).find("\"" + tensor.name + "\" has shape") !=
          std::string::npos);
    LlamaBytes foreign;
    foreign.tensor(tensor.name).ggml_type = 26;
    const std::string text = refusal(foreign, Code::model_unsupported);
    CHECK_MESSAGE(text.find("\"" + tensor.name + "\" has type I32; supported are F32") != std::string::npos,
                  text);
  }
  LlamaBytes half_norm;
  half_norm.tensor("blk.0.attn_norm.weight").ggml_type = 1;
  CHECK(refusal(half_norm, Code::model_unsupported).find("has type f16; F32 is expected") !=
        std::string::npos);
}

TEST_CASE("model weights - an output matrix of its own unties the head") {
  LlamaBytes untied;
  untied.tensors.push_back({"output.weight", {8, 3}, 1});
  const GgufBytes bytes = untied.file();
  const GgufFile file = GgufFile::parse(bytes.bytes(), "m.gguf");
  const ModelConfig config = read_model_config(file);
  const ModelWeights weights = read_model_weights(file, config);
  CHECK_FALSE(config.tied_head);
  CHECK(weights.output.dtype == Dtype::f16);
  CHECK(weights.output.bytes.data() != weights.token_embd.bytes.data());
  CHECK(config.fingerprint == config_of(LlamaBytes()).fingerprint);
}

TEST_CASE("fingerprint - follows what shapes the computation, not name or context") {
  const std::string base = config_of(LlamaBytes()).fingerprint;
  CHECK(base.size() == 64);
  CHECK(config_of(LlamaBytes().set("general.name", LlamaBytes::text("other"))).fingerprint == base);
  CHECK(config_of(LlamaBytes().set("llama.context_length", LlamaBytes::u32(128))).fingerprint == base);
  CHECK(config_of(LlamaBytes().set("llama.rope.freq_base", LlamaBytes::f32(1e6f))).fingerprint != base);
  CHECK(config_of(LlamaBytes().set("llama.attention.head_count_kv", LlamaBytes::u32(2))).fingerprint != base);
  CHECK(config_of(LlamaBytes().set("llama.feed_forward_length", LlamaBytes::u32(7))).fingerprint != base);
}

TEST_CASE("tokenizer metadata - is read as written") {
  LlamaBytes llama;
  llama.set("tokenizer.chat_template", LlamaBytes::text("{{ x }}"));
  llama.set("tokenizer.ggml.add_bos_token", GgufBytes().type(GgufType::boolean).u8(1));
  const GgufBytes bytes = llama.file();
  const TokenizerMetadata metadata = read_tokenizer_metadata(GgufFile::parse(bytes.bytes(), "m.gguf"));
  CHECK(metadata.model == "gpt2");
  CHECK(metadata.pre == "smollm");
  CHECK(metadata.tokens == std::vector<std::string>{"a", "b", "<end>"});
  CHECK(metadata.token_types ==
        std::vector<TokenType>{TokenType::normal, TokenType::normal, TokenType::control});
  CHECK(metadata.merges == std::vector<std::string>{"a b"});
  CHECK(metadata.eos_id == 2);
  CHECK_FALSE(metadata.bos_id);
  CHECK(metadata.add_bos);
  CHECK_FALSE(metadata.add_space_prefix);
  CHECK(metadata.chat_template == "{{ x }}");
}

TEST_CASE("tokenizer metadata - data that contradict each other are refused (lmstudio#2289)") {
  expect_refused({
      {"tokenizer.ggml.tokens", LlamaBytes::u32s({1, 2, 3}), Code::model_malformed,
       "an array of strings is expected"},
      {"tokenizer.ggml.tokens", LlamaBytes::text("abc"), Code::model_malformed,
       "an array of strings is expected"},
      {"tokenizer.ggml.tokens", LlamaBytes::texts({"a"}), Code::model_malformed, "has 1 entries"},
      {"tokenizer.ggml.token_type", LlamaBytes::u32s({1, 1}), Code::tokenizer_malformed,
       "2 entries for 3 tokens"},
      {"tokenizer.ggml.token_type", LlamaBytes::u32s({1, 1, 7}), Code::tokenizer_malformed,
       "the type 7 at token 2"},
      {"tokenizer.ggml.token_type", LlamaBytes::u32s({0, 1, 1}), Code::tokenizer_malformed,
       "the type 0 at token 0"},
      {"tokenizer.ggml.token_type", LlamaBytes::texts({"1", "1", "1"}), Code::model_malformed,
       "an array of integers"},
      {"tokenizer.ggml.merges", LlamaBytes::text("a b"), Code::model_malformed,
       "an array of strings is expected"},
      {"tokenizer.ggml.eos_token_id", LlamaBytes::u32(3), Code::tokenizer_malformed,
       "is 3, but there are 3 tokens"},
      {"tokenizer.ggml.bos_token_id", LlamaBytes::u32(0xffffffff), Code::tokenizer_malformed,
       "there are 3 tokens"},
      {"tokenizer.ggml.eot_token_id", negative(), Code::model_malformed, "cannot be negative"},
      {"tokenizer.ggml.add_bos_token", LlamaBytes::u32(1), Code::model_malformed, "bool is expected"},
      {"tokenizer.chat_template", LlamaBytes::u32(1), Code::model_malformed, "string is expected"},
  });
  CHECK(refusal(LlamaBytes().remove("tokenizer.ggml.tokens"), Code::tokenizer_malformed)
            .find("no vocabulary") != std::string::npos);
}

}  // namespace
}  // namespace tenure
