// Weights as a model file has them, with what they mean in double precision: the kernels' oracle.
#pragma once

#include <cstdint>
#include <random>
#include <vector>

#include "packed_matrix.h"

namespace tenure::cpu::test {

struct Source {
  uint32_t dtype = 0;
  uint32_t n_out = 0;
  uint32_t n_in = 0;
  std::vector<uint8_t> bytes;  // rows of blocks
  std::vector<double> values;  // (n_out, n_in)
};

// Random blocks of a type, decoded by the format's definition.
Source make_source(uint32_t dtype, uint32_t n_out, uint32_t n_in, std::mt19937& random);

// A packed copy, 64-byte aligned.
class Packed {
 public:
  explicit Packed(const Source&);
  const PackedMatrix& matrix() const { return matrix_; }

 private:
  std::vector<uint8_t> storage_;
  PackedMatrix matrix_;
};

const char* dtype_name(uint32_t dtype);
constexpr uint32_t kAllDtypes[] = {TENURE_F32,  TENURE_F16,  TENURE_BF16, TENURE_Q8_0,
                                   TENURE_Q4_0, TENURE_Q4_1, TENURE_Q5_0, TENURE_Q5_1,
                                   TENURE_Q4_K, TENURE_Q5_K, TENURE_Q6_K};
// The shortest row of at least n inputs that has whole blocks.
constexpr uint32_t whole_blocks(uint32_t dtype, uint32_t n) {
  const uint32_t k = block_format(dtype).k;
  return (n + k - 1) / k * k;
}

}  // namespace tenure::cpu::test
