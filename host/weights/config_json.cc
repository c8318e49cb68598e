#include "weights/config_json.h"

#include <fmt/format.h>

#include <array>
#include <cmath>
#include <utility>

#include "weights/gguf_value.h"
#include "weights/model_limits.h"
#include "weights/rope_json.h"

namespace tenure {
namespace {

using model_limits::Range;

// Which layers see a window of positions only.
enum class Windows : uint8_t { none, all, above, pattern };

// What transformers takes where config.json is silent; 0: the key must be there. Gemma's files leave out
// whatever is the default.
struct Defaults {
  uint32_t n_heads = 0;
  uint32_t n_kv_heads = 0;  // 0: n_heads
  uint32_t head_dim = 0;    // 0: n_embd / n_heads
  uint32_t n_vocab = 0;
  uint32_t n_ctx = 0;
  double rms_epsilon = 0;
  uint32_t window = 0;        // 0: none
  uint32_t query_scalar = 0;  // scores are divided by its root; 0: head_dim
  bool tied_head = false;
};

// How a family's folders differ, beside its traits.
struct Family {
  std::string_view model_type;
  std::string_view architecture;  // GGUF's name for it
  bool qkv_bias = false;
  bool partial_rope = false;
  Windows windows = Windows::none;
  TensorLayout layout;
  Defaults defaults;
};

constexpr Defaults gemma3_defaults{.n_heads = 8,
                                   .n_kv_heads = 4,
                                   .head_dim = 256,
                                   .n_vocab = 262'208,
                                   .n_ctx = 131'072,
                                   .rms_epsilon = 1e-6,
                                   .window = 4096,
                                   .query_scalar = 256,
                                   .tied_head = true};

constexpr std::array<Family, 6> families = {{
    {.model_type = "llama", .architecture = "llama"},
    {.model_type = "mistral",
     .architecture = "llama",
     .windows = Windows::all,
     .defaults = {.n_kv_heads = 8, .window = 4096}},
    {.model_type = "qwen2",
     .architecture = "qwen2",
     .qkv_bias = true,
     .windows = Windows::above,
     .defaults = {.window = 4096}},
    {.model_type = "qwen3",
     .architecture = "qwen3",
     .windows = Windows::above,
     .defaults = {.head_dim = 128, .window = 4096}},
    {.model_type = "gemma3_text",
     .architecture = "gemma3",
     .windows = Windows::pattern,
     .layout = {.norms_add_one = true},
     .defaults = gemma3_defaults},
    {.model_type = "phi3",
     .architecture = "phi3",
     .partial_rope = true,
     .windows = Windows::all,
     .layout = {.fused_projections = true}},
}};

const Family& family_of(const JsonObject& config) {
  const std::string_view type = config.require_string("model_type");
  std::string known;
  for (const Family& family : families) {
    if (family.model_type == type) return family;
    known += fmt::format("{}{}", known.empty() ? "" : ", ", family.model_type);
  }
  config.fail(Code::model_unsupported, fmt::format("{} is \"{}\"; supported are {}, gemma3",
                                                   config.name_of("model_type"), printable(type), known));
}

class ConfigReader {
 public:
  ConfigReader(const JsonObject& root, const JsonObject& config)
      : root_(root), json_(config), family_(family_of(config)) {}

  FolderModel read(std::string name) {
    refuse_what_is_not_run();
    config_.architecture = family_.architecture;
    config_.name = std::move(name);
    config_.n_layers = sized("num_hidden_layers", model_limits::n_layers);
    config_.n_embd = sized("hidden_size", model_limits::n_embd);
    config_.n_ff = sized("intermediate_size", model_limits::n_ff);
    config_.n_vocab = sized("vocab_size", model_limits::n_vocab, family_.defaults.n_vocab);
    config_.n_ctx = sized("max_position_embeddings", model_limits::n_ctx, family_.defaults.n_ctx);
    config_.n_heads = sized("num_attention_heads", model_limits::n_heads, family_.defaults.n_heads);
    config_.rms_epsilon = read_epsilon();
    config_.take_traits();
    config_.qkv_bias = family_.qkv_bias;
    const auto tied = json_.find_bool("tie_word_embeddings");
    config_.tied_head =
        tied ? *tied : root_.find_bool("tie_word_embeddings").value_or(family_.defaults.tied_head);
    read_layers();
    return {std::move(config_), family_.layout};
  }

 private:
  [[noreturn]] void malformed(std::string text) const { json_.fail(Code::model_malformed, std::move(text)); }
  [[noreturn]] void unsupported(std::string_view key, std::string_view found,
                                std::string_view supported) const {
    json_.fail(Code::model_unsupported,
               fmt::format("{} is {}; supported is {}", json_.name_of(key), printable(found), supported));
  }

  // Options that change the computation. Passing over one would answer wrongly without a word.
  void refuse_what_is_not_run() const {
    for (const char* key : {"attention_bias", "mlp_bias", "use_bidirectional_attention"}) {
      if (json_.find_bool(key).value_or(false)) unsupported(key, "true", "false");
    }
    for (const char* key : {"attn_logit_softcapping", "final_logit_softcapping"}) {
      if (const auto cap = json_.find_float(key)) unsupported(key, fmt::format("{}", *cap), "null");
    }
    for (const char* key : {"num_experts", "num_local_experts", "n_routed_experts"}) {
      const auto n = json_.find_uint(key);
      if (n.value_or(0) != 0) unsupported(key, fmt::format("{}", *n), "0");
    }
    for (const JsonObject& object : {root_, json_}) {
      if (object.contains("quantization_config")) unsupported("quantization_config", "given", "none");
    }
    const bool is_silu = family_traits(family_.architecture).activation == Activation::silu;
    const std::string_view wanted = is_silu ? "silu" : "gelu_pytorch_tanh";
    const char* key = is_silu ? "hidden_act" : "hidden_activation";
    const std::string_view found = json_.find_string(key).value_or(wanted);
    if (found != wanted) unsupported(key, fmt::format("\"{}\"", found), fmt::format("\"{}\"", wanted));
  }

  uint32_t in_range(std::string_view key, uint64_t value, Range range) const {
    if (value < range.least || value > range.most) {
      malformed(
          fmt::format("{} is {}; {} to {} is allowed", json_.name_of(key), value, range.least, range.most));
    }
    return static_cast<uint32_t>(value);
  }

  uint32_t sized(std::string_view key, Range range, uint32_t absent = 0) const {
    const auto value = json_.find_uint(key);
    return in_range(key, value || absent == 0 ? json_.require_uint(key) : absent, range);
  }

  float read_epsilon() const {
    constexpr std::string_view key = "rms_norm_eps";
    const double absent = family_.defaults.rms_epsilon;
    const double value = absent > 0 ? json_.find_float(key).value_or(absent) : json_.require_float(key);
    if (!(value > 0 && value <= model_limits::rms_epsilon)) {
      malformed(fmt::format("{} is {}; above 0, up to {} is allowed", json_.name_of(key), value,
                            model_limits::rms_epsilon));
    }
    return static_cast<float>(value);
  }

  uint32_t read_head_dim() const {
    const auto stated = json_.find_uint("head_dim");
    const uint32_t absent = family_.defaults.head_dim;
    if (!stated && absent == 0 && config_.n_embd % config_.n_heads != 0) {
      malformed(fmt::format("{} heads do not divide \"hidden_size\" {}, and key \"head_dim\" is absent",
                            config_.n_heads, config_.n_embd));
    }
    const uint32_t head_dim =
        in_range("head_dim", stated.value_or(absent > 0 ? absent : config_.n_embd / config_.n_heads),
                 model_limits::head_dim);
    if (head_dim % 2 != 0)
      malformed(fmt::format("{} is {}; it must be even", json_.name_of("head_dim"), head_dim));
    return head_dim;
  }

  uint32_t read_n_kv_heads() const {
    constexpr std::string_view key = "num_key_value_heads";
    const uint32_t absent = family_.defaults.n_kv_heads > 0 ? family_.defaults.n_kv_heads : config_.n_heads;
    const uint32_t n_kv_heads = in_range(key, json_.find_uint(key).value_or(absent), {1, config_.n_heads});
    if (config_.n_heads % n_kv_heads != 0) {
      malformed(fmt::format("{} is {}, which does not divide the {} query heads", json_.name_of(key),
                            n_kv_heads, config_.n_heads));
    }
    return n_kv_heads;
  }

  // (n_layers): whether the layer sees a window only.
  std::vector<bool> read_windowed() const {
    std::vector<bool> windowed(config_.n_layers, family_.windows == Windows::all);
    const auto types = json_.find_strings("layer_types");
    if (types && types->size() != config_.n_layers) {
      malformed(fmt::format("{} has {} entries for {} layers", json_.name_of("layer_types"), types->size(),
                            config_.n_layers));
    }
    const uint64_t first = json_.find_uint("max_window_layers").value_or(28);
    const uint64_t period = json_.find_uint("sliding_window_pattern").value_or(6);
    if (period == 0) malformed(fmt::format("{} is 0", json_.name_of("sliding_window_pattern")));
    for (uint32_t i = 0; i < config_.n_layers; ++i) {
      if (types) {
        windowed[i] = (*types)[i] == "sliding_attention";
        if (!windowed[i] && (*types)[i] != "full_attention")
          unsupported("layer_types", fmt::format("\"{}\"", (*types)[i]),
                      "full_attention or sliding_attention");
      } else if (family_.windows == Windows::above) {
        windowed[i] = i >= first;
      } else if (family_.windows == Windows::pattern) {
        windowed[i] = (i + 1) % period != 0;
      }
    }
    return windowed;
  }

  // 0: no layer has one.
  uint32_t read_window() const {
    if (family_.windows == Windows::none) return 0;
    if (family_.windows == Windows::above && !json_.find_bool("use_sliding_window").value_or(false)) return 0;
    constexpr std::string_view key = "sliding_window";
    if (json_.is_null(key)) return 0;
    const auto stated = json_.find_uint(key);
    if (!stated && family_.defaults.window == 0) return 0;
    return in_range(key, stated.value_or(family_.defaults.window), model_limits::n_ctx);
  }

  Rope read_layer_rope(bool windowed, uint32_t head_dim) const {
    RopeFamily rope;
    if (family_.windows == Windows::pattern) {
      rope.layer_type = windowed ? "sliding_attention" : "full_attention";
      rope.base_key = windowed ? "rope_local_base_freq" : "rope_theta";
      rope.default_base = windowed ? 10'000 : 1'000'000;
      rope.is_scaled = !windowed;
    }
    rope.may_be_partial = family_.partial_rope;
    rope.calls_longrope_yarn = family_.partial_rope;  // Phi-3's files are the old ones
    return read_rope(json_, rope, head_dim, config_.n_ctx);
  }

  void read_layers() {
    const uint32_t head_dim = read_head_dim();
    const uint32_t n_kv_heads = read_n_kv_heads();
    const uint32_t window = read_window();
    const std::vector<bool> windowed = read_windowed();
    const Rope ropes[] = {read_layer_rope(false, head_dim), read_layer_rope(true, head_dim)};
    const double scalar = family_.defaults.query_scalar > 0 ? read_query_scalar() : head_dim;
    config_.n_ctx = ropes[0].n_ctx;
    for (uint32_t i = 0; i < config_.n_layers; ++i) {
      const Rope& rope = ropes[windowed[i]];
      const double growth = rope.attention_factor * rope.attention_factor;
      config_.layers.push_back({.n_kv_heads = n_kv_heads,
                                .head_dim = head_dim,
                                .rope_base = static_cast<float>(rope.base),
                                .rope_dim = rope.dim,
                                .rope_kind = RopeKind::halves,
                                .rope_factors = rope.factors,
                                .attention_scale = static_cast<float>(growth / std::sqrt(scalar)),
                                .window = windowed[i] && window < config_.n_ctx ? window : 0});
    }
  }

  double read_query_scalar() const {
    const double value = json_.find_float("query_pre_attn_scalar").value_or(family_.defaults.query_scalar);
    if (!(value > 0 && value <= 1e6))
      malformed(fmt::format("{} is {}; above 0, up to 1e6 is allowed", json_.name_of("query_pre_attn_scalar"),
                            value));
    return value;
  }

  const JsonObject& root_;
  const JsonObject& json_;
  const Family& family_;
  ModelConfig config_;
};

}  // namespace

FolderModel read_config_json(const JsonObject& root, std::string name) {
  if (root.find_string("model_type").value_or("") == "gemma3") {  // with a vision tower beside it
    const JsonObject text = root.require_object("text_config");
    return ConfigReader(root, text).read(std::move(name));
  }
  return ConfigReader(root, root).read(std::move(name));
}

}  // namespace tenure
