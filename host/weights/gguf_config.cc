#include "weights/model_config.h"

#include <fmt/format.h>

#include <cmath>
#include <cstring>
#include <string_view>

#include "error/error.h"
#include "weights/gguf.h"

namespace tenure {
namespace {

struct Range {
  uint64_t least;
  uint64_t most;
};

// Far above any model of the families we run, low enough that products of a few of them stay below 2^64.
constexpr Range n_layers_range{1, 1024};
constexpr Range n_embd_range{1, 1 << 17};
constexpr Range n_ff_range{1, 1 << 20};
constexpr Range n_ctx_range{1, 1 << 28};
constexpr Range n_heads_range{1, 4096};
constexpr Range head_dim_range{2, 1024};

// What sets a family apart from llama, as flags: the forward pass knows no family.
struct Family {
  std::string_view architecture;  // general.architecture
  RopeKind rope_kind;
  Activation activation = Activation::silu;
  bool qk_norm = false;
  bool post_norms = false;
  bool scales_embedding = false;   // by sqrt(n_embd)
  bool has_windows = false;        // attention.sliding_window is run
  uint32_t window_period = 0;      // every so many layers one sees everything, the last of each period; 0 = none does
  float local_rope_base = 0;       // of layers with a window; 0 = the same as the others'
};

constexpr Family families[] = {
    {.architecture = "llama", .rope_kind = RopeKind::interleaved},
    {.architecture = "qwen2", .rope_kind = RopeKind::halves},
    {.architecture = "qwen3", .rope_kind = RopeKind::halves, .qk_norm = true},
    {.architecture = "gemma3",
     .rope_kind = RopeKind::halves,
     .activation = Activation::gelu_tanh,
     .qk_norm = true,
     .post_norms = true,
     .scales_embedding = true,
     .has_windows = true,
     .window_period = 6,
     .local_rope_base = 10'000},
    {.architecture = "phi3", .rope_kind = RopeKind::halves, .has_windows = true},
};

// Gemma 3 of 27B, which no key tells from its sisters, scales q.k by its embedding's share of a head, not by head_dim.
constexpr uint32_t gemma3_27b_layers = 62;

// Reads the keys of one architecture, whose names begin with its own.
class ConfigReader {
 public:
  explicit ConfigReader(const GgufFile& file) : file_(file) {}

  ModelConfig read() {
    config_.architecture = file_.require_string("general.architecture");
    family_ = &family_of(config_.architecture);
    refuse_what_is_not_run();
    config_.name = file_.find_string("general.name").value_or("");
    config_.n_layers = sized("block_count", n_layers_range);
    config_.n_embd = sized("embedding_length", n_embd_range);
    config_.n_ff = sized("feed_forward_length", n_ff_range);
    config_.n_ctx = sized("context_length", n_ctx_range);
    config_.n_heads = sized("attention.head_count", n_heads_range);
    config_.rms_epsilon =
        static_cast<float>(checked_float("attention.layer_norm_rms_epsilon",
                                         file_.require_float(key("attention.layer_norm_rms_epsilon")), 0.1));
    if (family_->scales_embedding) config_.embedding_scale = std::sqrt(static_cast<float>(config_.n_embd));
    config_.activation = family_->activation;
    config_.qkv_bias = file_.find("blk.0.attn_q.bias") != nullptr || file_.find("blk.0.attn_qkv.bias") != nullptr;
    config_.qk_norm = family_->qk_norm;
    config_.post_norms = family_->post_norms;
    read_layers();
    read_vocabulary();
    for (const GgufTensor& tensor : file_.tensors()) config_.weights_bytes += tensor.view.bytes.size();
    config_.seal();
    return std::move(config_);
  }

 private:
  std::string key(std::string_view suffix) const {
    return fmt::format("{}.{}", config_.architecture, suffix);
  }
  [[noreturn]] void malformed(std::string text) const { file_.fail(Code::model_malformed, std::move(text)); }
  [[noreturn]] void unsupported(std::string text) const {
    file_.fail(Code::model_unsupported, std::move(text));
  }

  const Family& family_of(std::string_view architecture) const {
    std::string known;
    for (const Family& family : families) {
      if (family.architecture == architecture) return family;
      known += fmt::format("{}{}", known.empty() ? "" : ", ", family.architecture);
    }
    unsupported(
        fmt::format("key \"general.architecture\" is \"{}\"; supported are {}", printable(architecture), known));
  }

  uint32_t in_range(std::string_view suffix, uint64_t value, Range range) const {
    if (value < range.least || value > range.most) {
      malformed(
          fmt::format("key \"{}\" is {}; {} to {} is allowed", key(suffix), value, range.least, range.most));
    }
    return static_cast<uint32_t>(value);
  }

  uint32_t sized(std::string_view suffix, Range range) const {
    return in_range(suffix, file_.require_uint(key(suffix)), range);
  }

  double checked_float(std::string_view suffix, double value, double most) const {
    if (!(value > 0 && value <= most)) {
      malformed(fmt::format("key \"{}\" is {}; above 0, up to {} is allowed", key(suffix), value, most));
    }
    return value;
  }

  // Options that change the computation. Passing over one would answer wrongly without a word.
  void refuse_what_is_not_run() const {
    const auto window = file_.find_uint(key("attention.sliding_window"));
    if (!family_->has_windows && window.value_or(0) != 0) {
      unsupported(fmt::format("key \"{}\" is {}; supported is 0", key("attention.sliding_window"), *window));
    }
    for (const char* suffix : {"attn_logit_softcapping", "final_logit_softcapping"}) {
      if (const auto cap = file_.find_float(key(suffix)); cap.value_or(0) != 0) {
        unsupported(fmt::format("key \"{}\" is {}; supported is 0", key(suffix), *cap));
      }
    }
    if (const auto experts = file_.find_uint(key("expert_count")); experts.value_or(0) != 0) {
      unsupported(fmt::format("key \"{}\" is {}; supported is 0", key("expert_count"), *experts));
    }
    if (!file_.find_bool(key("attention.causal")).value_or(true)) {
      unsupported(fmt::format("key \"{}\" is false; supported is true", key("attention.causal")));
    }
  }

  // (n_layers): one number for all layers, a number per layer, or, where absent, n_heads.
  std::vector<uint32_t> read_n_kv_heads() const {
    constexpr std::string_view suffix = "attention.head_count_kv";
    const GgufValue* value = file_.find_value(key(suffix));
    std::vector<uint64_t> numbers(config_.n_layers, config_.n_heads);
    if (value && value->type == GgufType::array) {
      numbers = *file_.find_uints(key(suffix));
      if (numbers.size() != config_.n_layers) {
        malformed(fmt::format("key \"{}\" has {} entries for {} layers", key(suffix), numbers.size(),
                              config_.n_layers));
      }
    } else if (value) {
      numbers.assign(config_.n_layers, *file_.find_uint(key(suffix)));
    }
    std::vector<uint32_t> n_kv_heads;
    for (const uint64_t number : numbers) {
      n_kv_heads.push_back(in_range(suffix, number, {1, config_.n_heads}));
      if (config_.n_heads % number != 0) {
        malformed(fmt::format("key \"{}\" is {}, which does not divide the {} query heads", key(suffix),
                              number, config_.n_heads));
      }
    }
    return n_kv_heads;
  }

  uint32_t read_head_dim() const {
    const auto key_length = file_.find_uint(key("attention.key_length"));
    if (!key_length && config_.n_embd % config_.n_heads != 0) {
      malformed(fmt::format("{} heads do not divide the embedding length {}, and key \"{}\" is absent",
                            config_.n_heads, config_.n_embd, key("attention.key_length")));
    }
    const uint32_t head_dim = in_range("attention.key_length",
                                       key_length.value_or(config_.n_embd / config_.n_heads), head_dim_range);
    const uint64_t value_length = file_.find_uint(key("attention.value_length")).value_or(head_dim);
    if (value_length != head_dim) {
      unsupported(fmt::format("key \"{}\" is {}, but keys have length {}; supported are equal lengths",
                              key("attention.value_length"), value_length, head_dim));
    }
    return head_dim;
  }

  void read_layers() {
    const uint32_t head_dim = read_head_dim();
    const uint32_t rope_dim =
        in_range("rope.dimension_count", file_.find_uint(key("rope.dimension_count")).value_or(head_dim),
                 {2, head_dim});
    if (rope_dim % 2 != 0)
      malformed(fmt::format("key \"{}\" is {}; it must be even", key("rope.dimension_count"), rope_dim));
    const double rope_base =
        checked_float("rope.freq_base", file_.find_float(key("rope.freq_base")).value_or(10'000), 1e12);
    const bool is_gemma3_27b = config_.architecture == "gemma3" && config_.n_layers == gemma3_27b_layers;
    const uint32_t scaled_by = is_gemma3_27b ? config_.n_embd / config_.n_heads : head_dim;
    const LayerConfig everywhere{.head_dim = head_dim,
                                 .rope_base = static_cast<float>(rope_base),
                                 .rope_dim = rope_dim,
                                 .rope_kind = family_->rope_kind,
                                 .rope_factors = read_rope_factors(rope_dim),
                                 .attention_scale = 1.0f / std::sqrt(static_cast<float>(scaled_by))};
    for (const uint32_t n_kv_heads : read_n_kv_heads()) {
      config_.layers.push_back(everywhere);
      config_.layers.back().n_kv_heads = n_kv_heads;
    }
    read_windows();
  }

  void read_windows() {
    const uint64_t window = file_.find_uint(key("attention.sliding_window")).value_or(0);
    if (window == 0) return;
    const uint32_t checked = in_range("attention.sliding_window", window, n_ctx_range);
    const std::vector<bool> is_local = read_window_pattern();
    for (uint32_t i = 0; i < config_.n_layers; ++i) {
      LayerConfig& layer = config_.layers[i];
      if (!is_local[i]) continue;
      layer.window = checked;
      if (family_->local_rope_base == 0) continue;
      // Only the layers that see everything are stretched past the training context.
      layer.rope_factors.clear();
      const double base = file_.find_float(key("rope.freq_base_swa")).value_or(family_->local_rope_base);
      layer.rope_base = static_cast<float>(checked_float("rope.freq_base_swa", base, 1e12));
    }
  }

  // (n_layers): 1 where a layer has a window.
  std::vector<bool> read_window_pattern() const {
    constexpr std::string_view suffix = "attention.sliding_window_pattern";
    std::vector<bool> is_local;
    const GgufValue* value = file_.find_value(key(suffix));
    if (value && value->type == GgufType::array) {
      if (value->element_type == GgufType::boolean) {
        is_local = *file_.find_bools(key(suffix));
      } else {
        const std::vector<uint64_t> numbers = *file_.find_uints(key(suffix));
        for (const uint64_t number : numbers) is_local.push_back(number != 0);
      }
      if (is_local.size() != config_.n_layers) {
        malformed(fmt::format("key \"{}\" has {} entries for {} layers", key(suffix), is_local.size(), config_.n_layers));
      }
      return is_local;
    }
    const uint64_t period = value ? *file_.find_uint(key(suffix)) : family_->window_period;
    for (uint64_t i = 0; i < config_.n_layers; ++i) is_local.push_back(period == 0 || i % period + 1 < period);
    return is_local;
  }

  // (rope_dim / 2), or empty. Llama 3 stores its factors as a tensor, phi3 one for short and one for long contexts.
  std::vector<float> read_rope_factors(uint32_t rope_dim) const {
    const std::string type(file_.find_string(key("rope.scaling.type")).value_or("none"));
    const char* factor_key = file_.find_value(key("rope.scaling.factor")) ? "rope.scaling.factor" : "rope.scale_linear";
    const double factor = file_.find_float(key(factor_key)).value_or(0);
    const uint64_t n_trained = file_.find_uint(key("rope.scaling.original_context_length")).value_or(config_.n_ctx);
    if (file_.find("rope_factors_short.weight")) {
      if (n_trained >= config_.n_ctx) return rope_tensor("rope_factors_short.weight", rope_dim);
      unsupported(fmt::format("\"rope_factors_long.weight\" stretches {} positions to {}; factors that change with a "
                              "prompt's length are not run",
                              n_trained, config_.n_ctx));
    }
    if (file_.find("rope_freqs.weight")) return rope_tensor("rope_freqs.weight", rope_dim);
    if (type != "linear" && type != "none") {
      unsupported(fmt::format("key \"{}\" is \"{}\"; supported are none and linear", key("rope.scaling.type"),
                              printable(type)));
    }
    if (factor == 0 || factor == 1) return {};  // both say: not scaled
    return std::vector<float>(rope_dim / 2, static_cast<float>(checked_float(factor_key, factor, 1e6)));
  }

  std::vector<float> rope_tensor(const char* name, uint32_t rope_dim) const {
    const TensorView& tensor = *file_.find(name);
    if (tensor.dtype != Dtype::f32 || tensor.n_dims != 1 || tensor.shape[0] != rope_dim / 2) {
      malformed(fmt::format("tensor \"{}\" is not {} f32 values, one for each pair that turns", name, rope_dim / 2));
    }
    std::vector<float> factors(rope_dim / 2);
    std::memcpy(factors.data(), tensor.bytes.data(), tensor.bytes.size());
    for (const float f : factors) {
      if (!(f > 0 && f <= 1e6f)) malformed(fmt::format("tensor \"{}\" holds {}; above 0, up to 1e6 is allowed", name, f));
    }
    return factors;
  }

  // The embedding has the last word on n_vocab; whatever else names it must agree.
  void read_vocabulary() {
    const TensorView* embedding = file_.find("token_embd.weight");
    if (!embedding) malformed("tensor \"token_embd.weight\" is absent");
    const uint64_t n_vocab = embedding->shape[1];
    if (n_vocab > max_vocab) malformed(fmt::format("{} tokens; at most {} are allowed", n_vocab, max_vocab));
    config_.n_vocab = static_cast<uint32_t>(n_vocab);
    const auto stated = file_.find_uint(key("vocab_size"));
    if (stated.value_or(n_vocab) != n_vocab) {
      malformed(fmt::format("key \"{}\" is {}, but \"token_embd.weight\" has {} rows", key("vocab_size"),
                            *stated, n_vocab));
    }
    const auto tokens = file_.find_strings("tokenizer.ggml.tokens");
    if (tokens && tokens->size() != n_vocab) {
      malformed(
          fmt::format("key \"tokenizer.ggml.tokens\" has {} entries, but \"token_embd.weight\" has {} rows",
                      tokens->size(), n_vocab));
    }
    config_.tied_head = file_.find("output.weight") == nullptr;
  }

  const GgufFile& file_;
  const Family* family_ = nullptr;
  ModelConfig config_;
};

}  // namespace

ModelConfig read_model_config(const GgufFile& file) {
  return ConfigReader(file).read();
}

}  // namespace tenure
