#include "weights/model_config.h"

#include <fmt/format.h>

#include <cmath>
#include <string_view>

#include "error/error.h"
#include "tensor/sha256.h"
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

// Reads the keys of one architecture, whose names begin with its own.
class ConfigReader {
 public:
  explicit ConfigReader(const GgufFile& file) : file_(file) {}

  ModelConfig read() {
    config_.architecture = file_.require_string("general.architecture");
    if (config_.architecture != "llama") {
      unsupported(fmt::format("key \"general.architecture\" is \"{}\"; supported is llama",
                              printable(config_.architecture)));
    }
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
    const auto scaling = file_.find_string(key("rope.scaling.type"));
    if (scaling && *scaling != "none") {
      unsupported(fmt::format("key \"{}\" is \"{}\"; supported is none", key("rope.scaling.type"),
                              printable(*scaling)));
    }
    const auto factor = file_.find_float(key("rope.scaling.factor"));
    const auto linear = file_.find_float(key("rope.scale_linear"));
    if (factor && *factor != 0 && *factor != 1) {  // 0 and 1 both say: not scaled
      unsupported(fmt::format("key \"{}\" is {}; supported is 1", key("rope.scaling.factor"), *factor));
    }
    if (linear.value_or(1) != 1) {
      unsupported(fmt::format("key \"{}\" is {}; supported is 1", key("rope.scale_linear"), *linear));
    }
    if (const auto window = file_.find_uint(key("attention.sliding_window")); window.value_or(0) != 0) {
      unsupported(fmt::format("key \"{}\" is {}; supported is 0", key("attention.sliding_window"), *window));
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
    for (const uint32_t n_kv_heads : read_n_kv_heads()) {
      config_.layers.push_back({.n_kv_heads = n_kv_heads,
                                .head_dim = head_dim,
                                .rope_base = static_cast<float>(rope_base),
                                .rope_dim = rope_dim,
                                .rope_kind = RopeKind::interleaved,
                                .attention_scale = 1.0f / std::sqrt(static_cast<float>(head_dim))});
    }
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
  ModelConfig config_;
};

}  // namespace

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

ModelConfig read_model_config(const GgufFile& file) {
  return ConfigReader(file).read();
}

}  // namespace tenure
