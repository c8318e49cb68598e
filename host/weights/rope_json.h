// RoPE as a config.json states it: in keys of its own (rope_theta, rope_scaling), or in rope_parameters since
// transformers 5.
#pragma once

#include <cstdint>
#include <string_view>
#include <vector>

#include "weights/json_file.h"
#include "weights/rope_scaling.h"

namespace tenure {

// How a family states it.
struct RopeFamily {
  double default_base = 10'000;
  std::string_view base_key = "rope_theta";  // outside rope_parameters
  // The entry of rope_parameters for layers of this kind; empty: rope_parameters is one for all.
  std::string_view layer_type = {};
  bool is_scaled = true;             // rope_scaling means these layers, too
  bool may_be_partial = false;       // partial_rotary_factor is known
  bool calls_longrope_yarn = false;  // "su" and "yarn" are old names of longrope
};

// Throws Error: model_malformed, or model_unsupported for a method that is not run, by its name.
Rope read_rope(const JsonObject& config, const RopeFamily&, uint32_t head_dim, uint32_t n_ctx);

}  // namespace tenure
