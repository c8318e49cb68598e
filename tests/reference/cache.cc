#include "reference/cache.h"

#include <bit>

#include "reference/elements.h"
#include "reference/rope.h"

namespace tenure::reference {
namespace {

// Sums and differences of pairs, in f32 and in this order of distances: each group times the Hadamard matrix.
std::vector<double> spread(std::span<const double> row) {
  std::vector<float> x(row.begin(), row.end());
  for (size_t distance = 1; distance < 32; distance *= 2) {
    for (size_t i = 0; i < x.size(); ++i) {
      if ((i & distance) != 0) continue;
      const float a = x[i], b = x[i + distance];
      x[i] = a + b;
      x[i + distance] = a - b;
    }
  }
  return {x.begin(), x.end()};
}

std::vector<double> gathered(std::span<const double> row) {
  std::vector<double> x(row.size());
  for (size_t i = 0; i < row.size(); ++i) {
    for (size_t j = 0; j < 32; ++j) {
      const bool odd = std::popcount(i % 32 & j) % 2 != 0;
      x[i] += row[i / 32 * 32 + j] * (odd ? -1 : 1) / 32;
    }
  }
  return x;
}

// Keys of Q4_1 pages are rows of Q5_1.
std::vector<double> kept_key(uint32_t dtype, std::span<const double> key) {
  return dtype == TENURE_Q4_1 ? gathered(kept_row(TENURE_Q5_1, spread(key))) : kept_row(dtype, key);
}

}  // namespace

void HeadCache::append(int32_t pos, std::span<const float> key, std::span<const float> value) {
  slots.push_back({.pos = pos,
                   .key = kept_key(k_type, std::vector<double>(key.begin(), key.end())),
                   .value = kept_row(v_type, std::vector<double>(value.begin(), value.end()))});
}

void HeadCache::move(std::span<const tenure_kv_move> moves) {
  for (const tenure_kv_move& move : moves) slots[move.dst] = slots[move.src];
}

void HeadCache::rotate(const tenure_layer_info& layer, std::span<const int32_t> delta) {
  for (size_t i = 0; i < delta.size(); ++i) {
    if (delta[i] == 0) continue;
    reference::rotate(layer, delta[i], slots[i].key);
    slots[i].key = kept_key(k_type, slots[i].key);
  }
}

}  // namespace tenure::reference
