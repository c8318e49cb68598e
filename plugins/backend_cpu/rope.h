// Rotary position embedding: angles in double, rounded to f32 once.
#pragma once

#include <tenure/backend.h>

#include <cstdint>
#include <span>
#include <vector>

#include "attend_exec.h"
#include "attend_kernels.h"

namespace tenure::cpu {

// cos and sin of every pair's angle at a position. Two levels, position = 256 * coarse + fine, joined by the
// addition theorem in double: a stream of millions of positions needs kilobytes. Positions past the reserved
// ones are right, too, but cost a sincos a pair.
class RopeTable {
 public:
  // kind: TENURE_ROPE_*. factors (rope_dim / 2) divide the pairs' angles; empty = all 1. They are copied.
  RopeTable(double base, uint32_t rope_dim, uint32_t kind, std::span<const float> factors = {});

  void reserve(uint32_t n_positions);  // allocates; not while other threads read
  // Floats `at` needs.
  static constexpr uint32_t kBufferFloats = 512;
  // The rotation by `position` (any sign); lies in buffer. rope_dim <= 256.
  Rotation at(int32_t position, float* buffer) const;

  double base() const { return base_; }
  uint32_t rope_dim() const { return rope_dim_; }
  uint32_t kind() const { return kind_; }
  std::span<const float> factors() const { return factors_; }

 private:
  struct Turn {
    double cos;
    double sin;
  };
  Turn turn(uint32_t position, uint32_t pair) const;

  double base_;
  uint32_t rope_dim_;
  uint32_t kind_;
  std::vector<float> factors_;     // (rope_dim / 2) or none
  std::vector<double> frequency_;  // (rope_dim / 2)
  std::vector<Turn> fine_;         // (256, rope_dim / 2)
  std::vector<Turn> coarse_;       // (n, rope_dim / 2)
};

// Rows of heads; out may be in.
struct RopeCall {
  const int32_t* positions;  // (n_rows)
  uint32_t n_rows;
  uint32_t head_dim;
  uint32_t n_heads;
  uint32_t n_kv_heads;
  const float* q;  // (n_rows, n_heads * head_dim)
  const float* k;  // (n_rows, n_kv_heads * head_dim)
  float* q_out;
  float* k_out;
};
void rope(const AttendKernels&, const Exec&, const RopeTable&, const RopeCall&);

}  // namespace tenure::cpu
