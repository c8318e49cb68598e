#include "weights/rope_json.h"

#include <fmt/format.h>

#include <cmath>
#include <string>

#include "weights/gguf_value.h"
#include "weights/model_limits.h"

namespace tenure {
namespace {

class RopeReader {
 public:
  RopeReader(const JsonObject& config, const RopeFamily& family, uint32_t head_dim, uint32_t n_ctx)
      : config_(config), family_(family), scaling_(find_scaling()), head_dim_(head_dim) {
    rope_.n_ctx = n_ctx;
  }

  Rope read() {
    rope_.base =
        number("rope_theta", {})
            .value_or(
                checked(config_, family_.base_key, model_limits::rope_base).value_or(family_.default_base));
    if (rope_.base <= 1)
      config_.fail(Code::model_malformed, fmt::format("RoPE's base is {}; it must be above 1", rope_.base));
    rope_.dim = read_dim();
    const std::string type = read_type();
    if (type == "linear") {
      rope_.factors = linear_rope_factors(shape(), factor());
    } else if (type == "llama3") {
      read_llama3();
    } else if (type == "yarn") {
      read_yarn();
    } else if (type == "longrope") {
      read_longrope();
    } else if (type != "default") {
      config_.fail(Code::model_unsupported,
                   fmt::format("RoPE of type \"{}\"; supported are default, linear, llama3, yarn, longrope",
                               printable(type)));
    }
    if (rope_.attention_factor != 1 && rope_.dim != head_dim_) {
      config_.fail(Code::model_unsupported,
                   fmt::format("RoPE of type \"{}\" scales attention by {} in {} of a head's {} elements; "
                               "supported is the whole head",
                               printable(type), rope_.attention_factor, rope_.dim, head_dim_));
    }
    return std::move(rope_);
  }

 private:
  RopeShape shape() const { return {.base = rope_.base, .dim = rope_.dim}; }

  // The object with rope_type and the method's numbers.
  std::optional<JsonObject> find_scaling() const {
    if (const auto parameters = config_.find_object("rope_parameters"))
      return family_.layer_type.empty() ? parameters : parameters->find_object(family_.layer_type);
    return family_.is_scaled ? config_.find_object("rope_scaling") : std::nullopt;
  }

  std::string read_type() const {
    if (!scaling_) return "default";
    const auto type = scaling_->find_string("rope_type");
    const std::string found(type ? *type : scaling_->find_string("type").value_or("default"));
    return family_.calls_longrope_yarn && (found == "su" || found == "yarn") ? "longrope" : found;
  }

  // Above 0, up to `most`.
  static std::optional<double> checked(const JsonObject& object, std::string_view key, double most) {
    const auto value = object.find_float(key);
    if (value && !(*value > 0 && *value <= most)) {
      object.fail(Code::model_malformed,
                  fmt::format("{} is {}; above 0, up to {} is allowed", object.name_of(key), *value, most));
    }
    return value;
  }

  // Of the scaling, else `absent`.
  std::optional<double> number(std::string_view key, std::optional<double> absent) const {
    const auto value = scaling_ ? checked(*scaling_, key, model_limits::rope_base) : std::nullopt;
    return value ? value : absent;
  }

  double require(std::string_view key) const {
    const auto value = number(key, {});
    return value ? *value : scaling_->require_float(key);
  }

  double factor() const {
    const double value = require("factor");
    if (value > model_limits::rope_factor) {
      config_.fail(Code::model_malformed,
                   fmt::format("{} is {}; at most {} is allowed", scaling_->name_of("factor"), value,
                               model_limits::rope_factor));
    }
    return value;
  }

  uint32_t read_dim() const {
    const double part =
        number("partial_rotary_factor", config_.find_float("partial_rotary_factor")).value_or(1);
    if (part != 1 && !family_.may_be_partial) {
      config_.fail(
          Code::model_unsupported,
          fmt::format("key \"partial_rotary_factor\" is {}; supported is 1 in this architecture", part));
    }
    const double dim = std::floor(head_dim_ * part);
    if (!(dim >= 2 && dim <= head_dim_) || std::fmod(dim, 2) != 0) {
      config_.fail(
          Code::model_malformed,
          fmt::format("key \"partial_rotary_factor\" is {}: {} of a head's {} elements turn; an even "
                      "number is expected",
                      part, dim, head_dim_));
    }
    return static_cast<uint32_t>(dim);
  }

  // A number beside rope_scaling has priority: Phi-3 states it there.
  uint32_t n_ctx_original() const {
    const auto beside = config_.find_uint("original_max_position_embeddings");
    const auto inside = scaling_->find_uint("original_max_position_embeddings");
    const uint64_t value = beside ? *beside : inside.value_or(rope_.n_ctx);
    if (value < 2 || value > model_limits::n_ctx.most) {
      config_.fail(Code::model_malformed,
                   fmt::format("key \"original_max_position_embeddings\" is {}; 2 to {} "
                               "is allowed",
                               value, model_limits::n_ctx.most));
    }
    return static_cast<uint32_t>(value);
  }

  void read_llama3() {
    const Llama3Scaling scaling{.factor = factor(),
                                .low_freq_factor = require("low_freq_factor"),
                                .high_freq_factor = require("high_freq_factor"),
                                .n_ctx_original = n_ctx_original()};
    if (scaling.low_freq_factor >= scaling.high_freq_factor) {
      config_.fail(Code::model_malformed,
                   fmt::format("{} is {} and {} is {}; the first must be lower",
                               scaling_->name_of("low_freq_factor"), scaling.low_freq_factor,
                               scaling_->name_of("high_freq_factor"), scaling.high_freq_factor));
    }
    rope_.factors = llama3_rope_factors(shape(), scaling);
  }

  // By how much the context was stretched, where the file does not say it.
  double stretch() const {
    return scaling_->contains("factor") ? factor() : double{1} * rope_.n_ctx / n_ctx_original();
  }

  void read_yarn() {
    const YarnScaling scaling{.factor = stretch(),
                              .beta_fast = number("beta_fast", {}).value_or(32),
                              .beta_slow = number("beta_slow", {}).value_or(1),
                              .n_ctx_original = n_ctx_original(),
                              .truncate = scaling_->find_bool("truncate").value_or(true)};
    rope_.factors = yarn_rope_factors(shape(), scaling);
    const auto mscale = scaling_->find_float("mscale");
    const auto mscale_all_dim = scaling_->find_float("mscale_all_dim");
    const bool is_weighted = mscale.value_or(0) != 0 && mscale_all_dim.value_or(0) != 0;
    rope_.attention_factor =
        number("attention_factor", is_weighted
                                       ? yarn_attention_factor(scaling.factor, *mscale, *mscale_all_dim)
                                       : yarn_attention_factor(scaling.factor))
            .value();
  }

  // The method has two tables, and a sequence that outgrows the original context changes from one to the
  // other, which would turn every key in the cache anew. So the first one is run, and it ends where it ends.
  void read_longrope() {
    const uint32_t n_ctx_short = n_ctx_original();
    const auto factors = scaling_->find_floats("short_factor");
    if (!factors || factors->size() != rope_.dim / 2) {
      config_.fail(Code::model_malformed, fmt::format("{} has {} numbers; {} pairs of a head turn",
                                                      scaling_->name_of("short_factor"),
                                                      factors ? factors->size() : 0, rope_.dim / 2));
    }
    for (const double value : *factors) {
      if (!(value > 0 && value <= model_limits::rope_factor)) {
        config_.fail(Code::model_malformed,
                     fmt::format("{} holds {}; above 0, up to {} is allowed",
                                 scaling_->name_of("short_factor"), value, model_limits::rope_factor));
      }
      rope_.factors.push_back(static_cast<float>(value));
    }
    rope_.attention_factor =
        number("attention_factor", longrope_attention_factor(stretch(), n_ctx_short)).value();
    rope_.n_ctx = std::min(rope_.n_ctx, n_ctx_short);
  }

  const JsonObject& config_;
  const RopeFamily& family_;
  std::optional<JsonObject> scaling_;
  uint32_t head_dim_;
  Rope rope_;
};

}  // namespace

Rope read_rope(const JsonObject& config, const RopeFamily& family, uint32_t head_dim, uint32_t n_ctx) {
  return RopeReader(config, family, head_dim, n_ctx).read();
}

}  // namespace tenure
