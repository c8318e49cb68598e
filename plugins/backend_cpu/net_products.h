// Products of a network's rows on pairs of bf16: twice as many in an instruction as of f32. Weights and rows are rounded to
// bf16 (8 bits of each number, whatever stands beside it), sums are f32.
#pragma once

#include <cstdint>

namespace tenure::cpu {

// A matrix (n_out, n_in) as pairs of inputs: [panel of 4 groups][n_pairs][group][16 outputs][2]; the last panel has as many
// groups as there are, and outputs past n_out and an input past n_in are zero.
struct PairMatrix {
  uint32_t n_out = 0;
  uint32_t n_pairs = 0;
  const uint16_t* data = nullptr;  // 64-byte aligned
};

struct PairTask {
  const PairMatrix* weight;
  const uint16_t* x;  // (n_rows, 2 * n_pairs)
  uint32_t n_rows;
  float* out;          // (n_rows, n_out)
  const float* bias;   // (n_out) or NULL
};

struct PairProducts {
  void (*narrow)(const float* x, uint32_t n, uint16_t* out);  // to bf16, nearest
  void (*linear)(const PairTask&);
};

extern const PairProducts kAvx512PairProducts;  // needs AVX-512 F, BW, VL and BF16

// nullptr: this CPU, or the family `forced` names, has none.
const PairProducts* choose_pair_products(const char* forced);

}  // namespace tenure::cpu
