#include "weights/model_config.h"

#include <fmt/format.h>

#include <cmath>
#include <string_view>
#include <utility>

#include "error/error.h"
#include "weights/gguf.h"
#include "weights/gguf_rope.h"
#include "weights/model_limits.h"

namespace tenure {
namespace {

using model_limits::Range;

// What a family's GGUF files leave unsaid, beside its traits.
struct Family {
  std::string_view architecture;  // general.architecture
  RopeKind rope_kind;
  bool has_windows = false;    // attention.sliding_window is run
  uint32_t window_period = 0;  // every so many layers one sees everything, the last of each period; 0 = none does
  float local_rope_base = 0;   // of layers with a window; 0 = the same as the others'
};

constexpr Family families[] = {
    {.architecture = "llama", .rope_kind = RopeKind::interleaved},
    {.architecture = "qwen2", .rope_kind = RopeKind::halves},
    {.architecture = "qwen3", .rope_kind = RopeKind::halves},
    {.architecture = "gemma3",
     .rope_kind = RopeKind::halves,
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
    config_.n_layers = sized("block_count", model_limits::n_layers);
    config_.n_embd = sized("embedding_length", model_limits::n_embd);
    config_.n_ff = sized("feed_forward_length", model_limits::n_ff);
    config_.n_ctx = sized("context_length", model_limits::n_ctx);
    config_.n_heads = sized("attention.head_count", model_limits::n_heads);
    config_.rms_epsilon =
        static_cast<float>(checked_float("attention.layer_norm_rms_epsilon",
                                         file_.require_float(key("attention.layer_norm_rms_epsilon")), model_limits::rms_epsilon));
    config_.take_traits();
    config_.qkv_bias = file_.find("blk.0.attn_q.bias") != nullptr || file_.find("blk.0.attn_qkv.bias") != nullptr;
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
    return file_.checked_positive(key(suffix), value, most);
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
                                       key_length.value_or(config_.n_embd / config_.n_heads), model_limits::head_dim);
    const uint64_t value_length = file_.find_uint(key("attention.value_length")).value_or(head_dim);
    if (value_length != head_dim) {
      unsupported(fmt::format("key \"{}\" is {}, but keys have length {}; supported are equal lengths",
                              key("attention.value_length"), value_length, head_dim));
    }
    return head_dim;
  }

  void read_layers() {
    const uint32_t head_dim = read_head_dim();
    Rope rope = read_gguf_rope(file_, config_.architecture, head_dim, config_.n_ctx);
    config_.n_ctx = rope.n_ctx;
    const bool is_gemma3_27b = config_.architecture == "gemma3" && config_.n_layers == gemma3_27b_layers;
    const uint32_t scaled_by = is_gemma3_27b ? config_.n_embd / config_.n_heads : head_dim;
    plain_attention_scale_ = 1 / std::sqrt(static_cast<float>(scaled_by));
    const auto growth = static_cast<float>(rope.attention_factor * rope.attention_factor);
    const LayerConfig everywhere{.head_dim = head_dim,
                                 .rope_base = static_cast<float>(rope.base),
                                 .rope_dim = rope.dim,
                                 .rope_kind = family_->rope_kind,
                                 .rope_factors = std::move(rope.factors),
                                 .attention_scale = growth * plain_attention_scale_};
    for (const uint32_t n_kv_heads : read_n_kv_heads()) {
      config_.layers.push_back(everywhere);
      config_.layers.back().n_kv_heads = n_kv_heads;
    }
    read_windows();
  }

  void read_windows() {
    const uint64_t window = file_.find_uint(key("attention.sliding_window")).value_or(0);
    if (window == 0 || window >= config_.n_ctx) return;  // as wide as the context: no row ever misses a position
    const uint32_t checked = in_range("attention.sliding_window", window, model_limits::n_ctx);
    const std::vector<bool> is_local = read_window_pattern();
    for (uint32_t i = 0; i < config_.n_layers; ++i) {
      LayerConfig& layer = config_.layers[i];
      if (!is_local[i]) continue;
      layer.window = checked;
      if (family_->local_rope_base == 0) continue;
      // Only the layers that see everything are stretched past the training context.
      layer.rope_factors.clear();
      layer.attention_scale = plain_attention_scale_;
      const double base = file_.find_float(key("rope.freq_base_swa")).value_or(family_->local_rope_base);
      layer.rope_base = static_cast<float>(checked_float("rope.freq_base_swa", base, model_limits::rope_base));
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

  // The embedding has the last word on n_vocab; whatever else names it must agree.
  void read_vocabulary() {
    const TensorView* embedding = file_.find("token_embd.weight");
    if (!embedding) malformed("tensor \"token_embd.weight\" is absent");
    const uint64_t n_vocab = embedding->shape[1];
    if (n_vocab > model_limits::n_vocab.most)
      malformed(fmt::format("{} tokens; at most {} are allowed", n_vocab, model_limits::n_vocab.most));
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
  float plain_attention_scale_ = 0;  // without what a stretched RoPE adds
};

}  // namespace

ModelConfig read_model_config(const GgufFile& file) {
  return ConfigReader(file).read();
}

}  // namespace tenure
