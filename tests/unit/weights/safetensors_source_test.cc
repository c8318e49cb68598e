// The committed folders (tests/golden/tiny_safetensors.py) through ModelSource.
#include <doctest/doctest.h>

#include <unistd.h>

#include <cstring>
#include <filesystem>
#include <fstream>
#include <string>

#include "error/error.h"
#include "tensor/sha256.h"
#include "weights/json_file.h"
#include "weights/model_source.h"
#include "weights/safetensors_folder.h"

namespace tenure {
namespace {

namespace fs = std::filesystem;

const std::string data = "tests/data/";

float f32_at(const TensorView& view, size_t i) {
  float value = 0;
  std::memcpy(&value, view.bytes.data() + 4 * i, 4);
  return value;
}

// A copy of a committed folder that a test may spoil.
class Copy {
 public:
  explicit Copy(const std::string& name) { fs::copy(data + name, path_, fs::copy_options::recursive); }
  ~Copy() { fs::remove_all(path_); }
  std::string file(const std::string& name) const { return (path_ / name).string(); }
  const fs::path& path() const { return path_; }
  void replace(const std::string& name, const std::string& from, const std::string& to) const {
    std::ifstream in(file(name));
    std::string text{std::istreambuf_iterator<char>(in), {}};
    const size_t at = text.find(from);
    REQUIRE(at != std::string::npos);
    std::ofstream(file(name)) << text.replace(at, from.size(), to);
  }

 private:
  fs::path path_ = fs::temp_directory_path() / ("tenure-copy-" + std::to_string(::getpid()));
};

std::string refusal(const std::string& path) {
  try {
    const auto source = ModelSource::open(path);
    source->weights(source->config());
    return "accepted";
  } catch (const Error& error) {
    return error.what();
  }
}

TEST_CASE("model folders - every one opens, with all its tensors in place") {
  for (const char* name :
       {"tiny-llama", "tiny-llama3", "tiny-qwen2", "tiny-qwen3", "tiny-gemma3", "tiny-phi3", "tiny-yarn"}) {
    CAPTURE(name);
    const auto source = ModelSource::open(data + name + "-safetensors/");
    const ModelConfig config = source->config();
    CHECK(config.name == std::string(name) + "-safetensors");
    CHECK(config.fingerprint.size() == 64);
    const ModelWeights weights = source->weights(config);
    REQUIRE(weights.layers.size() == config.n_layers);
    const LayerWeights& layer = weights.layers.back();
    CHECK(layer.q_bias.bytes.empty() == !config.qkv_bias);
    CHECK(layer.k_norm.bytes.empty() == !config.qk_norm);
    CHECK(layer.ffn_post_norm.bytes.empty() == !config.post_norms);
    CHECK(layer.attn_norm.dtype == Dtype::f32);
    CHECK(layer.ffn_up.shape == std::array<uint64_t, 4>{config.n_embd, config.n_ff, 1, 1});
    CHECK((weights.output.bytes.data() == weights.token_embd.bytes.data()) == config.tied_head);
    CHECK(source->tokenizer().pre == "smollm");
    CHECK(source->tokenizer().tokens.size() == config.n_vocab);
    // Asked again, it gives the same bytes: what it converted is kept once.
    CHECK(source->weights(config).output_norm.bytes.data() == weights.output_norm.bytes.data());
  }
}

TEST_CASE("model folders - norms are made f32, Gemma's with 1 added; fused matrices are handed out by rows") {
  const SafetensorsFolder llama = SafetensorsFolder::open(data + "tiny-llama-safetensors");
  const auto source = ModelSource::open(data + "tiny-llama-safetensors");
  const TensorView stored = *llama.tensors().at("model.norm.weight").entry->view;
  REQUIRE(stored.dtype == Dtype::bf16);
  uint16_t half = 0;
  std::memcpy(&half, stored.bytes.data() + 6, 2);
  const uint32_t bits = uint32_t{half} << 16;
  float third = 0;
  std::memcpy(&third, &bits, 4);
  CHECK(f32_at(source->weights(source->config()).output_norm, 3) == third);

  const SafetensorsFolder gemma = SafetensorsFolder::open(data + "tiny-gemma3-safetensors");
  const auto gemma_source = ModelSource::open(data + "tiny-gemma3-safetensors");
  const ModelWeights weights = gemma_source->weights(gemma_source->config());
  CHECK(f32_at(weights.layers[1].q_norm, 2) ==
        1 + f32_at(*gemma.tensors().at("model.layers.1.self_attn.q_norm.weight").entry->view, 2));
  CHECK(f32_at(weights.layers[1].ffn_norm, 5) ==
        1 + f32_at(*gemma.tensors().at("model.layers.1.pre_feedforward_layernorm.weight").entry->view, 5));

  const SafetensorsFolder phi = SafetensorsFolder::open(data + "tiny-phi3-safetensors");
  const auto phi_source = ModelSource::open(data + "tiny-phi3-safetensors");
  const LayerWeights layer = phi_source->weights(phi_source->config()).layers[1];
  const auto qkv_bytes = phi.tensors().at("model.layers.1.self_attn.qkv_proj.weight").entry->bytes;
  CHECK(layer.q.bytes.size() + layer.k.bytes.size() + layer.v.bytes.size() == qkv_bytes.size());
  CHECK(std::memcmp(layer.v.bytes.data(), qkv_bytes.data() + layer.q.bytes.size() + layer.k.bytes.size(),
                    layer.v.bytes.size()) == 0);
}

TEST_CASE("model folders - what is missing, misshapen or unused is named") {
  const Copy copy("tiny-llama-safetensors");
  CHECK(refusal(copy.path().string()) == "accepted");
  copy.replace("config.json", "\"vocab_size\": 320", "\"vocab_size\": 321");
  CHECK(refusal(copy.path().string()).find("config.json asks for [321, 32]") != std::string::npos);
  copy.replace("config.json", "\"vocab_size\": 321", "\"vocab_size\": 320");
  copy.replace("config.json", "\"num_hidden_layers\": 2", "\"num_hidden_layers\": 1");
  CHECK(refusal(copy.path().string()).find("has no place in this architecture") != std::string::npos);
  copy.replace("config.json", "\"num_hidden_layers\": 1", "\"num_hidden_layers\": 3");
  CHECK(refusal(copy.path().string()).find("\"model.layers.2.input_layernorm.weight\" is absent") !=
        std::string::npos);
  fs::remove(copy.file("tokenizer.json"));
  CHECK_THROWS_WITH_AS(ModelSource::open(copy.path().string())->tokenizer(),
                       doctest::Contains("no \"tokenizer.json\""), Error);
  fs::remove(copy.file("config.json"));
  CHECK(refusal(copy.path().string()).find("config.json") != std::string::npos);
  CHECK(refusal(copy.file("model.safetensors")).find("name the folder that holds them") != std::string::npos);
  CHECK(refusal("tests/data").find("neither") != std::string::npos);
}

TEST_CASE("model folders - the hash is that of sha256sum's lines for the files that are read") {
  const Copy copy("tiny-llama-safetensors");
  const std::string before = model_sha256(copy.path().string());
  std::string lines;
  for (const char* name : {"chat_template.jinja", "config.json", "generation_config.json",
                           "model-00001-of-00002.safetensors", "model-00002-of-00002.safetensors",
                           "model.safetensors.index.json", "tokenizer.json", "tokenizer_config.json"})
    lines += sha256_file(copy.file(name)) + "  " + name + "\n";
  CHECK(before == sha256_hex(std::as_bytes(std::span(lines))));
  std::ofstream(copy.file("README.md")) << "not read";
  CHECK(model_sha256(copy.path().string()) == before);
  copy.replace("config.json", "512", "511");
  CHECK(model_sha256(copy.path().string()) != before);
  CHECK(model_sha256(data + "tiny-llama-q4_0.gguf") == sha256_file(data + "tiny-llama-q4_0.gguf"));
}

}  // namespace
}  // namespace tenure
