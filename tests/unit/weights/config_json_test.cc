// config.json → ModelConfig: both forms of RoPE, windows, and what is refused.
#include <doctest/doctest.h>

#include <cmath>
#include <nlohmann/json.hpp>
#include <string>

#include "error/error.h"
#include "weights/config_json.h"

namespace tenure {
namespace {

using nlohmann::json;

json llama() {
  return {{"model_type", "llama"},    {"vocab_size", 320},      {"hidden_size", 64},
          {"intermediate_size", 96},  {"num_hidden_layers", 4}, {"num_attention_heads", 4},
          {"num_key_value_heads", 2}, {"rms_norm_eps", 1e-5},   {"max_position_embeddings", 512},
          {"rope_theta", 50000.0}};
}
json of(const char* model_type, const json& more = json::object()) {
  json config = llama();
  config["model_type"] = model_type;
  config.update(more);
  return config;
}

FolderModel read(const json& config) {
  const JsonFile file = JsonFile::parse(config.dump(), "config.json");
  return read_config_json(file.root(), "name");
}

std::vector<uint32_t> windows(const json& config) {
  std::vector<uint32_t> found;
  for (const LayerConfig& layer : read(config).config.layers) found.push_back(layer.window);
  return found;
}

void expect_refused(const json& config, Code code, const std::string& says) {
  CAPTURE(config.dump());
  try {
    read(config);
    FAIL_CHECK("accepted");
  } catch (const Error& error) {
    CHECK(error.code() == code);
    CHECK(error.diagnostics().front().where.file == "config.json");
    CHECK_MESSAGE(error.diagnostics().front().text.find(says) != std::string::npos,
                  error.diagnostics().front().text);
  }
}

TEST_CASE("config.json - a llama's sizes, and what families add") {
  const ModelConfig config = read(llama()).config;
  CHECK(config.architecture == "llama");
  CHECK(config.n_layers == 4);
  CHECK(config.n_ff == 96);
  CHECK(config.n_ctx == 512);
  CHECK_FALSE(config.tied_head);
  CHECK(config.layers[3].n_kv_heads == 2);
  CHECK(config.layers[3].head_dim == 16);
  CHECK(config.layers[3].rope_dim == 16);
  CHECK(config.layers[3].rope_base == 50000.0f);
  CHECK(config.layers[3].rope_kind == RopeKind::halves);
  CHECK(config.layers[3].attention_scale == 0.25f);
  CHECK(config.layers[3].rope_factors.empty());
  CHECK(read(of("qwen2")).config.qkv_bias);
  CHECK(read(of("qwen3")).config.qk_norm);
  CHECK(read(of("qwen3")).config.layers[0].head_dim == 128);
  CHECK(read(of("phi3")).layout.fused_projections);
  CHECK(read(of("llama", {{"tie_word_embeddings", true}})).config.tied_head);
  CHECK(read(of("llama", {{"num_key_value_heads", nullptr}})).config.layers[0].n_kv_heads == 4);
}

TEST_CASE(
    "config.json - gemma3 has its defaults, two ropes, and may stand inside a model with a vision tower") {
  const json text = {
      {"model_type", "gemma3_text"}, {"hidden_size", 256},
      {"intermediate_size", 96},     {"num_hidden_layers", 7},
      {"sliding_window", 32},        {"rope_scaling", {{"factor", 8.0}, {"rope_type", "linear"}}}};
  for (const json& config :
       {text, json{{"model_type", "gemma3"}, {"text_config", text}, {"vision_config", json::object()}}}) {
    const FolderModel model = read(config);
    CHECK(model.layout.norms_add_one);
    CHECK(model.config.architecture == "gemma3");
    CHECK(model.config.activation == Activation::gelu_tanh);
    CHECK(model.config.embedding_scale == 16.0f);
    CHECK(model.config.post_norms);
    CHECK(model.config.tied_head);
    CHECK(model.config.n_vocab == 262208);
    CHECK(model.config.layers[0].window == 32);
    CHECK(model.config.layers[5].window == 0);
    CHECK(model.config.layers[6].window == 32);
    CHECK(model.config.layers[0].rope_base == 10000.0f);
    CHECK(model.config.layers[0].rope_factors.empty());
    CHECK(model.config.layers[5].rope_base == 1000000.0f);
    CHECK(model.config.layers[5].rope_factors == std::vector<float>(128, 8.0f));
    CHECK(model.config.layers[5].attention_scale == 1.0f / 16);
  }
  json renewed = text;
  renewed.erase("rope_scaling");
  renewed["rope_parameters"] = {{"full_attention", {{"rope_type", "default"}, {"rope_theta", 7000.0}}},
                                {"sliding_attention", {{"rope_type", "default"}, {"rope_theta", 5000.0}}}};
  CHECK(read(renewed).config.layers[5].rope_base == 7000.0f);
  CHECK(read(renewed).config.layers[0].rope_base == 5000.0f);
}

TEST_CASE("config.json - windows") {
  CHECK(windows(of("llama", {{"sliding_window", 8}})) == std::vector<uint32_t>{0, 0, 0, 0});
  CHECK(windows(of("mistral", {{"sliding_window", 8}})) == std::vector<uint32_t>{8, 8, 8, 8});
  CHECK(windows(of("mistral", {{"sliding_window", nullptr}})) == std::vector<uint32_t>{0, 0, 0, 0});
  CHECK(windows(of("mistral", {{"sliding_window", 512}})) == std::vector<uint32_t>{0, 0, 0, 0});
  CHECK(windows(of("mistral", {{"max_position_embeddings", 32768}})) == std::vector<uint32_t>(4, 4096));
  CHECK(windows(of("phi3", {{"sliding_window", 8}})) == std::vector<uint32_t>{8, 8, 8, 8});
  CHECK(windows(of("qwen2", {{"sliding_window", 8}, {"max_window_layers", 2}})) ==
        std::vector<uint32_t>{0, 0, 0, 0});
  const json used = {{"sliding_window", 8}, {"use_sliding_window", true}, {"max_window_layers", 3}};
  CHECK(windows(of("qwen2", used)) == std::vector<uint32_t>{0, 0, 0, 8});
  json typed = used;
  typed["layer_types"] = {"full_attention", "sliding_attention", "full_attention", "full_attention"};
  CHECK(windows(of("qwen3", typed)) == std::vector<uint32_t>{0, 8, 0, 0});
}

TEST_CASE("config.json - RoPE is the same in the old form and in that of transformers 5") {
  const json scaling = {{"rope_type", "llama3"},
                        {"factor", 8.0},
                        {"low_freq_factor", 1.0},
                        {"high_freq_factor", 4.0},
                        {"original_max_position_embeddings", 64}};
  json parameters = scaling;
  parameters["rope_theta"] = 50000.0;
  json renewed = of("llama", {{"rope_parameters", parameters}});
  renewed.erase("rope_theta");
  const ModelConfig a = read(of("llama", {{"rope_scaling", scaling}})).config;
  const ModelConfig b = read(renewed).config;
  REQUIRE(a.layers[0].rope_factors.size() == 8);
  CHECK(a.layers[0].rope_factors.front() == 1.0f);
  CHECK(a.layers[0].rope_factors.back() == 8.0f);
  CHECK(a.layers[0].rope_factors == b.layers[0].rope_factors);
  CHECK(b.layers[0].rope_base == 50000.0f);
}

TEST_CASE("config.json - YaRN and longrope scale attention by their factor's square") {
  const json yarn = {{"type", "yarn"}, {"factor", 4.0}, {"original_max_position_embeddings", 128}};
  const double m = 0.1 * std::log(4.0) + 1;
  CHECK(read(of("llama", {{"rope_scaling", yarn}})).config.layers[0].attention_scale ==
        doctest::Approx(0.25 * m * m));
  const json longrope = {{"type", "su"},
                         {"short_factor", std::vector<double>(8, 1.5)},
                         {"long_factor", std::vector<double>(8, 9.0)}};
  const json phi3 = of("phi3", {{"rope_scaling", longrope}, {"original_max_position_embeddings", 64}});
  const ModelConfig config = read(phi3).config;
  CHECK(config.n_ctx == 64);  // beyond it the long factors would begin
  CHECK(config.layers[0].rope_factors == std::vector<float>(8, 1.5f));
  CHECK(config.layers[0].attention_scale == doctest::Approx(0.25 * (1 + std::log(8.0) / std::log(64.0))));
  json partial = phi3;
  partial["partial_rotary_factor"] = 0.5;
  partial["rope_scaling"]["short_factor"] = std::vector<double>(4, 1.5);
  expect_refused(partial, Code::model_unsupported, "supported is the whole head");
}

TEST_CASE("config.json - what would change the computation is refused by name") {
  constexpr Code unsupported = Code::model_unsupported;
  expect_refused(of("mamba"), unsupported, "\"model_type\" is \"mamba\"");
  expect_refused(of("llama", {{"attention_bias", true}}), unsupported, "attention_bias");
  expect_refused(of("llama", {{"mlp_bias", true}}), unsupported, "mlp_bias");
  expect_refused(of("llama", {{"hidden_act", "gelu"}}), unsupported, "hidden_act");
  expect_refused(of("llama", {{"num_local_experts", 8}}), unsupported, "num_local_experts");
  expect_refused(of("llama", {{"quantization_config", {{"bits", 4}}}}), unsupported, "quantization_config");
  expect_refused(of("llama", {{"partial_rotary_factor", 0.5}}), unsupported, "partial_rotary_factor");
  expect_refused(of("llama", {{"rope_scaling", {{"type", "dynamic"}, {"factor", 2.0}}}}), unsupported,
                 "\"dynamic\"");
  expect_refused(of("qwen2", {{"layer_types",
                               {"full_attention", "chunked_attention", "full_attention", "full_attention"}}}),
                 unsupported, "chunked_attention");
  expect_refused(of("gemma3_text", {{"final_logit_softcapping", 30.0}}), unsupported,
                 "final_logit_softcapping");
  expect_refused(of("gemma3_text", {{"hidden_activation", "silu"}}), unsupported, "hidden_activation");
  expect_refused(of("gemma3_text", {{"use_bidirectional_attention", true}}), unsupported,
                 "use_bidirectional_attention");
}

TEST_CASE("config.json - numbers out of range or of another type are refused") {
  constexpr Code malformed = Code::model_malformed;
  const std::pair<const char*, json> wrong[] = {{"hidden_size", 0},
                                                {"hidden_size", -1},
                                                {"hidden_size", "64"},
                                                {"hidden_size", 1e3},
                                                {"hidden_size", 18446744073709551615u},
                                                {"num_hidden_layers", 100000},
                                                {"vocab_size", 1u << 30},
                                                {"num_key_value_heads", 3},
                                                {"num_key_value_heads", 8},
                                                {"head_dim", 15},
                                                {"head_dim", 4096},
                                                {"rms_norm_eps", 0},
                                                {"rope_theta", 0},
                                                {"rope_theta", 1},
                                                {"max_position_embeddings", 0},
                                                {"num_attention_heads", 5},
                                                {"tie_word_embeddings", 1},
                                                {"rope_scaling", "linear"},
                                                {"num_attention_heads", nullptr}};
  for (const auto& [key, value] : wrong)
    expect_refused(of("llama", {{key, value}}), malformed,
                   key == std::string("num_attention_heads") ? ""
                   : key == std::string("rope_theta")        ? ""
                                                             : key);
  expect_refused(of("llama", {{"rope_scaling", {{"type", "linear"}}}}), malformed, "rope_scaling.factor");
  expect_refused(of("llama", {{"rope_scaling", {{"type", "linear"}, {"factor", -1}}}}), malformed,
                 "rope_scaling.factor");
  expect_refused(
      of("llama", {{"rope_scaling",
                    {{"type", "llama3"}, {"factor", 8}, {"low_freq_factor", 4}, {"high_freq_factor", 4}}}}),
      malformed, "must be lower");
  expect_refused(of("qwen2", {{"layer_types", {"full_attention"}}}), malformed, "1 entries for 4 layers");
  expect_refused(of("phi3", {{"partial_rotary_factor", 0.7}}), malformed, "partial_rotary_factor");
}

}  // namespace
}  // namespace tenure
