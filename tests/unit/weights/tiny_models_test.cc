// The committed models against what an independent writer put into them (tests/golden/tiny_models.py).
#include <doctest/doctest.h>
#include <fmt/format.h>
#include <unistd.h>

#include <filesystem>
#include <fstream>
#include <iterator>
#include <nlohmann/json.hpp>
#include <string>
#include <vector>

#include "tensor/sha256.h"
#include "weights/ggml_type.h"
#include "weights/gguf.h"
#include "weights/model_source.h"
#include "weights/model_weights.h"

namespace tenure {
namespace {

nlohmann::json tensors_golden() {
  return nlohmann::json::parse(std::ifstream("tests/data/tiny_tensors.json"));
}

TEST_CASE("tiny models - every tensor has the type, shape and bytes it was written with") {
  const nlohmann::json golden = tensors_golden();
  for (const auto& entry : golden.items()) {
    const std::string& name = entry.key();
    const nlohmann::json& tensors = entry.value();
    CAPTURE(name);
    const GgufFile file = GgufFile::open("tests/data/" + name);
    REQUIRE(file.tensors().size() == tensors.size());
    for (size_t i = 0; i < tensors.size(); ++i) {
      const GgufTensor& found = file.tensors()[i];
      CAPTURE(found.name);
      CHECK(found.name == tensors[i]["name"].get<std::string>());
      CHECK(ggml_type_name(found.ggml_type) == tensors[i]["type"].get<std::string>());
      const auto shape = tensors[i]["shape"].get<std::vector<uint64_t>>();  // rows first, as numpy has it
      CHECK(std::vector<uint64_t>(found.view.shape.begin(), found.view.shape.begin() + found.view.n_dims) ==
            std::vector<uint64_t>(shape.rbegin(), shape.rend()));
      CHECK(sha256_hex(found.view.bytes) == tensors[i]["sha256"].get<std::string>());
    }
  }
}

TEST_CASE("tiny models - shapes, heads and tokenizer are those of the script") {
  const GgufFile file = GgufFile::open("tests/data/tiny-llama-q4_1.gguf");
  const ModelConfig config = read_model_config(file);
  CHECK(config.n_layers == 3);
  CHECK(config.n_heads == 4);
  CHECK(config.layers[2].n_kv_heads == 2);
  CHECK(config.layers[2].head_dim == 16);
  CHECK(config.n_vocab == 320);
  CHECK(config.tied_head);
  const ModelWeights weights = read_model_weights(file, config);
  CHECK(weights.layers[1].ffn_down.dtype == Dtype::q4_1);
  CHECK(weights.layers[1].ffn_down.shape == std::array<uint64_t, 4>{96, 64, 1, 1});
  CHECK(weights.output.bytes.data() == weights.token_embd.bytes.data());
  const TokenizerMetadata tokenizer = read_tokenizer_metadata(file);
  CHECK(tokenizer.tokens.size() == 320);
  CHECK(tokenizer.tokens[1] == "<|im_start|>");
  CHECK(tokenizer.token_types[16] == TokenType::control);
  CHECK(tokenizer.merges.size() == 47);

  const GgufFile group3 = GgufFile::open("tests/data/tiny-group3-f32.gguf");
  const ModelConfig other = read_model_config(group3);
  CHECK(other.group_size(0) == 3);
  CHECK_FALSE(other.tied_head);
  CHECK(other.layers[0].rope_base == 100'000.0f);
  CHECK(read_model_weights(group3, other).output.bytes.data() !=
        read_model_weights(group3, other).token_embd.bytes.data());
}

TEST_CASE("tiny models - a fingerprint names the model in every quantisation, and no other") {
  const auto fingerprint = [](const std::string& name) { return ModelSource::open("tests/data/" + name)->config().fingerprint; };
  const std::string first = fingerprint("tiny-llama-f32.gguf");
  for (const char* form : {"f16", "bf16", "q8_0", "q5_1", "q5_0", "q4_1", "q4_0"}) {
    CHECK(fingerprint(std::string("tiny-llama-") + form + ".gguf") == first);
  }
  CHECK(fingerprint("tiny-group3-f32.gguf") != first);
}

TEST_CASE("tiny models - another model of the same sizes has another fingerprint") {
  std::ifstream stream("tests/data/tiny-llama-q4_1.gguf", std::ios::binary);
  std::string bytes((std::istreambuf_iterator<char>(stream)), {});
  const std::string path = (std::filesystem::temp_directory_path() / fmt::format("tenure-norms-{}.gguf", getpid())).string();
  const auto fingerprint = [&] {
    std::ofstream(path, std::ios::binary) << bytes;
    return ModelSource::open(path)->config().fingerprint;
  };
  const std::string first = fingerprint();
  for (const char* tensor : {"output_norm.weight", "blk.1.attn_norm.weight", "blk.2.ffn_norm.weight"}) {
    const GgufFile file = GgufFile::parse(std::as_bytes(std::span(bytes)), "m.gguf");
    const auto place = file.find(tensor)->bytes.data() - file.bytes().data();
    bytes[static_cast<size_t>(place)] = static_cast<char>(bytes[static_cast<size_t>(place)] ^ 1);
    CHECK(fingerprint() != first);
  }
  std::filesystem::remove(path);
}

}  // namespace
}  // namespace tenure
