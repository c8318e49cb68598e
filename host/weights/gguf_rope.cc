#include "weights/gguf_rope.h"

#include <fmt/format.h>

#include <algorithm>
#include <cstring>
#include <string>

#include "error/error.h"
#include "weights/gguf.h"
#include "weights/model_limits.h"

namespace tenure {
namespace {

class GgufRopeReader {
 public:
  GgufRopeReader(const GgufFile& file, std::string_view architecture, uint32_t head_dim, uint32_t n_ctx)
      : file_(file), architecture_(architecture), head_dim_(head_dim) {
    rope_.n_ctx = n_ctx;
  }

  Rope read() {
    rope_.dim = read_dim();
    rope_.base = checked("rope.freq_base", model_limits::rope_base).value_or(10'000);
    const std::string type(file_.find_string(key("rope.scaling.type")).value_or("none"));
    // Two converters state what they did as a tensor: Llama 3's factors, and longrope's for short and long contexts.
    if (file_.find("rope_factors_short.weight")) {
      read_longrope();
    } else if (file_.find("rope_freqs.weight")) {
      read_frequencies(type);
    } else if (type == "yarn") {
      read_yarn();
    } else if (type == "none" || type == "linear") {
      expect("rope.scaling.attn_factor", 1);
      if (const double factor = read_factor(); factor != 1) rope_.factors = linear_rope_factors(shape(), factor);
    } else {
      file_.fail(Code::model_unsupported, fmt::format("key \"{}\" is \"{}\"; supported are none, linear, yarn",
                                                      key("rope.scaling.type"), printable(type)));
    }
    if (rope_.attention_factor != 1 && rope_.dim != head_dim_) {
      file_.fail(Code::model_unsupported,
                 fmt::format("RoPE scales attention by {} in {} of a head's {} elements; supported is the whole head",
                             rope_.attention_factor, rope_.dim, head_dim_));
    }
    return std::move(rope_);
  }

 private:
  std::string key(std::string_view suffix) const { return fmt::format("{}.{}", architecture_, suffix); }
  RopeShape shape() const { return {.base = rope_.base, .dim = rope_.dim}; }

  // Above 0, up to `most`.
  std::optional<double> checked(std::string_view suffix, double most) const {
    const auto value = file_.find_float(key(suffix));
    if (value) file_.checked_positive(key(suffix), *value, most);
    return value;
  }

  // For what has one value in all models that are run.
  void expect(std::string_view suffix, double supported) const {
    const auto value = file_.find_float(key(suffix));
    if (value && *value != supported) {
      file_.fail(Code::model_unsupported,
                 fmt::format("key \"{}\" is {}; supported is {}", key(suffix), *value, supported));
    }
  }

  uint32_t read_dim() const {
    const uint64_t dim = file_.find_uint(key("rope.dimension_count")).value_or(head_dim_);
    if (dim < 2 || dim > head_dim_) {
      file_.fail(Code::model_malformed, fmt::format("key \"{}\" is {}; 2 to {} is allowed", key("rope.dimension_count"),
                                                    dim, head_dim_));
    }
    if (dim % 2 != 0)
      file_.fail(Code::model_malformed, fmt::format("key \"{}\" is {}; it must be even", key("rope.dimension_count"), dim));
    return static_cast<uint32_t>(dim);
  }

  // 1 where it is absent or 0, which both say: not stretched.
  double read_factor() const {
    const char* suffix = file_.find_value(key("rope.scaling.factor")) ? "rope.scaling.factor" : "rope.scale_linear";
    if (file_.find_float(key(suffix)).value_or(0) == 0) return 1;
    return *checked(suffix, model_limits::rope_factor);
  }

  uint32_t n_ctx_original() const {
    const uint64_t n = file_.find_uint(key("rope.scaling.original_context_length")).value_or(rope_.n_ctx);
    if (n < 2 || n > model_limits::n_ctx.most) {
      file_.fail(Code::model_malformed,
                 fmt::format("key \"{}\" is {}; 2 to {} is allowed", key("rope.scaling.original_context_length"), n,
                             model_limits::n_ctx.most));
    }
    return static_cast<uint32_t>(n);
  }

  void read_yarn() {
    expect("rope.scaling.yarn_ext_factor", 1);
    expect("rope.scaling.yarn_attn_factor", 1);
    expect("rope.scaling.yarn_log_multiplier", 0);
    const auto beta = [this](const char* suffix) { return checked(suffix, model_limits::rope_factor); };
    const YarnScaling scaling{.factor = read_factor(),
                              .beta_fast = beta("rope.scaling.yarn_beta_fast").value_or(32),
                              .beta_slow = beta("rope.scaling.yarn_beta_slow").value_or(1),
                              .n_ctx_original = n_ctx_original()};
    rope_.factors = yarn_rope_factors(shape(), scaling);
    rope_.attention_factor = yarn_attention_factor(scaling.factor) *
                             checked("rope.scaling.attn_factor", model_limits::rope_factor).value_or(1);
  }

  // The tensor states all of the scaling: a key that states another would count twice or not at all.
  void read_frequencies(std::string_view type) {
    if (type != "none") {
      file_.fail(Code::model_unsupported,
                 fmt::format("key \"{}\" is \"{}\" beside the tensor \"rope_freqs.weight\"; supported is none",
                             key("rope.scaling.type"), printable(type)));
    }
    if (const double factor = read_factor(); factor != 1) {
      file_.fail(Code::model_unsupported,
                 fmt::format("RoPE is scaled by {} beside the tensor \"rope_freqs.weight\"; supported is 1", factor));
    }
    expect("rope.scaling.attn_factor", 1);
    rope_.factors = tensor("rope_freqs.weight");
  }

  // As in a folder (rope_json.cc): the table for short contexts is run, and it ends where it ends.
  void read_longrope() {
    rope_.factors = tensor("rope_factors_short.weight");
    rope_.attention_factor = checked("rope.scaling.attn_factor", model_limits::rope_factor).value_or(1);
    rope_.n_ctx = std::min(rope_.n_ctx, n_ctx_original());
  }

  std::vector<float> tensor(const char* name) const {
    const TensorView& view = *file_.find(name);
    if (view.dtype != Dtype::f32 || view.n_dims != 1 || view.shape[0] != rope_.dim / 2) {
      file_.fail(Code::model_malformed,
                 fmt::format("tensor \"{}\" is not {} f32 values, one for each pair that turns", name, rope_.dim / 2));
    }
    std::vector<float> factors(rope_.dim / 2);
    std::memcpy(factors.data(), view.bytes.data(), view.bytes.size());
    for (const float f : factors) {
      if (f > 0 && f <= model_limits::rope_factor) continue;
      file_.fail(Code::model_malformed, fmt::format("tensor \"{}\" holds {}; above 0, up to {} is allowed", name, f,
                                                    model_limits::rope_factor));
    }
    return factors;
  }

  const GgufFile& file_;
  std::string_view architecture_;
  uint32_t head_dim_;
  Rope rope_;
};

}  // namespace

Rope read_gguf_rope(const GgufFile& file, std::string_view architecture, uint32_t head_dim, uint32_t n_ctx) {
  return GgufRopeReader(file, architecture, head_dim, n_ctx).read();
}

}  // namespace tenure
