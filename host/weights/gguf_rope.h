// What a GGUF file says of RoPE: its base, how much of a head turns, how its angles are stretched.
#pragma once

#include <cstdint>
#include <string_view>

#include "weights/rope_scaling.h"

namespace tenure {

class GgufFile;

// Keys begin with `architecture`. Throws Error: model_malformed, or model_unsupported for a method that is not run.
Rope read_gguf_rope(const GgufFile&, std::string_view architecture, uint32_t head_dim, uint32_t n_ctx);

}  // namespace tenure
