// Element types and views. Values only: nothing here owns memory.
#pragma once

#include <tenure/abi.h>

#include <array>
#include <cstddef>
#include <cstdint>
#include <optional>
#include <span>
#include <string_view>

namespace tenure {

enum class Dtype : uint32_t {
  f32 = TENURE_F32,
  f16 = TENURE_F16,
  bf16 = TENURE_BF16,
  q8_0 = TENURE_Q8_0,
  q4_0 = TENURE_Q4_0,
  q4_1 = TENURE_Q4_1,
  i32 = TENURE_I32,
  u8 = TENURE_U8,
  q5_0 = TENURE_Q5_0,
  q5_1 = TENURE_Q5_1,
  q4_k = TENURE_Q4_K,
  q5_k = TENURE_Q5_K,
  q6_k = TENURE_Q6_K,
};

// Elements per block and bytes per block; a plain type is a block of one.
struct DtypeInfo {
  std::string_view name;
  uint32_t block_elements;
  uint32_t block_bytes;
};
const DtypeInfo& info(Dtype);

// Bytes of `elements` values; nothing when they are no whole number of blocks or the product overflows.
std::optional<uint64_t> checked_bytes(Dtype, uint64_t elements);

// Read-only bytes of a named tensor, e.g. inside a mapped file. shape[0] is the row length (GGUF's ne order):
// a matrix (n_out, n_in) has shape {n_in, n_out}. Rows are contiguous.
struct TensorView {
  Dtype dtype = Dtype::f32;
  uint32_t n_dims = 0;
  std::array<uint64_t, 4> shape{1, 1, 1, 1};
  std::span<const std::byte> bytes;

  uint64_t elements() const { return shape[0] * shape[1] * shape[2] * shape[3]; }
};

float f16_to_f32(uint16_t);
uint16_t f32_to_f16(float);  // round to nearest, ties to even

}  // namespace tenure
