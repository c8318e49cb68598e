// The inner loops, once an instruction set. create() picks one table by CPU feature bits; every table
// computes the same formulas, and within one table a row's result never depends on the other rows or on how
// the work was cut.
#pragma once

#include <cstdint>

#include "packed_matrix.h"

namespace tenure::cpu {

// 32 activations as int8 with one scale: value = scale * q. The block sum undoes the weights' unsigned
// offset.
struct ActivationBlock {
  int8_t q[kBlock];
  float scale;              // largest magnitude / 127; not finite if an input was not
  float scaled_sum;         // scale * sum(q), for formats with a minimum
  int32_t minus_sum;        // -sum(q)
  int32_t minus_first_sum;  // -sum(q[0..15]), for formats with a scale each 16 inputs
};
static_assert(sizeof(ActivationBlock) == 48);

// out(r, n) = sum_k x(r, k) * weight(n, k) [+ bias(n)] [+ out(r, n)] for the output rows of some groups.
struct LinearTask {
  const PackedMatrix* weight;
  uint32_t group_begin;
  uint32_t group_end;
  // quantised weights: ActivationBlock (n_rows, n_blocks); plain weights: float (n_rows, n_in);
  // PrefillProducts: bf16 (n_rows, bf16_stride(n_in))
  const void* x;
  uint32_t n_rows;
  bool accumulate;
  float* out;  // row 0, first output of group_begin
  uint64_t out_stride;
  const float* bias;  // first output of group_begin, or NULL
};

// What a slice of one row of logits says; slices are merged in ascending order.
struct LogitSlice {
  float max;
  uint32_t argmax;  // index into the slice, the lowest of equals
  float sum_exp;    // sum of exp(logit - max)
  uint32_t finite;  // 0: some logit is NaN or infinite, and nothing else here counts
};

struct Kernels {
  const char* name;
  void (*linear)(const LinearTask&);
  // n is a multiple of 32
  void (*quantise)(const float* x, uint32_t n, ActivationBlock* out);
  // out = x / rms(x) * weight; n is a multiple of 16, out may be x. Returns sum(x^2): not finite when the row
  // is not.
  float (*rms_norm)(const float* x, const float* weight, uint32_t n, float epsilon, float* out);
  // x += added / rms(added) * weight; n is a multiple of 16
  void (*add_rms_norm)(const float* added, const float* weight, uint32_t n, float epsilon, float* x);
  // gate = silu(gate) * up
  void (*silu_mul)(float* gate, const float* up, uint32_t n);
  // gate = gelu(gate) * up, by the formula of TENURE_ACTIVATION_GELU_TANH
  void (*gelu_mul)(float* gate, const float* up, uint32_t n);
  LogitSlice (*reduce_logits)(const float* logits, uint32_t n);
};

// Products of prefill rows on matrix units: weights and rows as bf16, sums in f32. Rows may be read up to the
// next multiple of kPrefillRowUnit; what is there is of no account.
struct PrefillProducts {
  const char* name;
  bool (*takes)(uint32_t dtype);                              // other weights go through Kernels
  void (*narrow)(const float* x, uint32_t n, uint16_t* out);  // n is a multiple of 16
  void (*linear)(const LinearTask&, uint16_t* panel);         // panel: scratch (kPanelBf16), 64-byte aligned
};
constexpr uint32_t kPrefillRowUnit = 32;
constexpr uint32_t kPanelBf16 = 2048 * kPanelGroups * kGroupRows;
// Elements from one row to the next: an odd number of cache lines, so that a tile's rows share no cache set.
constexpr uint32_t bf16_stride(uint32_t n_in) {
  return ((n_in + kBlock - 1) / kBlock | 1) * kBlock;
}

extern const Kernels kScalarKernels;
extern const Kernels kAvx2Kernels;    // needs AVX2, FMA, F16C
extern const Kernels kAvx512Kernels;  // needs AVX-512 F, BW, VL, DQ, VNNI

extern const PrefillProducts kAmxProducts;  // needs AVX-512 with BF16 and AMX tiles, permitted (amx.h)

// The best table this CPU runs, or the one of the family `forced` names ("scalar", "avx2", "avx512", "amx",
// which is avx512 with products of its own for prefill; empty: none is forced). nullptr when the name is
// unknown or the CPU lacks it.
const Kernels* choose_kernels(const char* forced);
// nullptr: prefill rows have no products of their own.
const PrefillProducts* choose_prefill_products(const char* forced);

}  // namespace tenure::cpu
