// Element types of weights and cache pages: bytes to numbers and back, one element or block at a time.
#pragma once

#include <tenure/abi.h>

#include <cstddef>
#include <cstdint>
#include <span>
#include <vector>

namespace tenure::reference {

// What a cache of this type keeps of x: the nearest value, ties to even. F32, F16, BF16.
double kept(uint32_t dtype, double x);

// What a cache of a quantised type keeps of a row, a whole number of groups of 32 (backend.h), or of single
// elements as kept() does.
std::vector<double> kept_row(uint32_t dtype, std::span<const double> row);

// Rows of n_in elements each; n_in a whole number of blocks. encode rounds to the nearest code.
std::vector<std::byte> encode(uint32_t dtype, std::span<const double> values);
std::vector<double> decode(uint32_t dtype, std::span<const std::byte> bytes);

}  // namespace tenure::reference
