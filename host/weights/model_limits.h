// What a model's sizes may be: far above any model of the families we run, low enough that products of a few
// of them stay below 2^64.
#pragma once

#include <cstdint>

namespace tenure::model_limits {

struct Range {
  uint64_t least;
  uint64_t most;
};

constexpr Range n_layers{1, 1024};
constexpr Range n_embd{1, 1 << 17};
constexpr Range n_ff{1, 1 << 20};
constexpr Range n_ctx{1, 1 << 28};
constexpr Range n_heads{1, 4096};
constexpr Range head_dim{2, 1024};
constexpr Range n_vocab{1, 1 << 22};
constexpr double rope_base = 1e12;
constexpr double rope_factor = 1e6;
constexpr double rms_epsilon = 0.1;

}  // namespace tenure::model_limits
