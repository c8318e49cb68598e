// Values whose scales are far apart, and values that are no numbers: weights and scales meet before they are
// rounded (attend_weigh_bytes.h), so neither may cost the slots beside them.
#include <doctest/doctest.h>

#include <algorithm>
#include <cmath>
#include <random>

#include "cached_slot.h"
#include "paged_cache.h"

namespace tenure::cpu {
namespace {

// Rows of one head in pages of q8_0 values, row i at slot i and position i.
struct Head {
  Head(uint32_t head_dim, uint32_t n_slots)
      : layout{head_dim, TENURE_F32, TENURE_Q8_0},
        n(n_slots),
        bytes((n_slots + 15) / 16 * layout.bytes(), 0xff) {
    for (uint32_t page = 0; page * 16 < n; ++page) pages.push_back(page);
    for (uint32_t i = 0; i < n; ++i) pos.push_back(static_cast<int32_t>(i));
  }
  SlotAt at(uint32_t slot) { return {.page = bytes.data() + slot / 16 * layout.bytes(), .lane = slot % 16}; }
  void write(uint32_t slot, const std::vector<float>& key, const std::vector<float>& value) {
    write_key(kAttendScalar, layout, at(slot), key.data());
    write_value(kAttendScalar, layout, at(slot), value.data());
  }
  // Outputs of some query heads for a row that sees positions up to `newest`, by two calls of decode.
  std::vector<float> decode(const AttendKernels& kernels, const std::vector<float>& q, int32_t newest) const {
    const auto group_size = static_cast<uint32_t>(q.size() / layout.head_dim);
    std::vector<float> max(group_size), sum(group_size), value(q.size());
    const DecodeSplit split{.cache = {.base = bytes.data(),
                                      .pages = pages.data(),
                                      .pos = pos.data(),
                                      .page_bytes = layout.bytes(),
                                      .v_offset = layout.v_offset(),
                                      .head_dim = layout.head_dim,
                                      .n_slots = n,
                                      .n_unmasked = 0},
                            .seen = {.oldest = 0, .newest = newest},
                            .k_type = TENURE_F32,
                            .v_type = TENURE_Q8_0,
                            .group_size = group_size,
                            .max = max.data(),
                            .sum = sum.data(),
                            .value = value.data(),
                            .weights = nullptr};
    kernels.decode(split, {0, n / 3}, q.data());
    kernels.decode(split, {n / 3, n}, q.data());
    for (size_t i = 0; i < value.size(); ++i) value[i] /= sum[i / layout.head_dim];
    return value;
  }

  PageLayout layout;
  uint32_t n;
  std::vector<uint8_t> bytes;
  std::vector<uint32_t> pages;
  std::vector<int32_t> pos;
};

// The same in double, over values as they are kept.
std::vector<double> expected(Head& head, const std::vector<float>& q, int32_t newest) {
  const uint32_t dim = head.layout.head_dim;
  std::vector<double> out(q.size());
  std::vector<float> key(dim), value(dim);
  for (size_t h = 0; h < q.size() / dim; ++h) {
    double total = 0;
    for (uint32_t slot = 0; slot <= static_cast<uint32_t>(newest); ++slot) {
      read_key(kAttendScalar, head.layout, head.at(slot), key.data());
      read_value(kAttendScalar, head.layout, head.at(slot), value.data());
      double score = 0;
      for (uint32_t d = 0; d < dim; ++d) score += double{q[h * dim + d]} * key[d];
      const double weight = std::exp2(score);
      total += weight;
      for (uint32_t d = 0; d < dim; ++d) out[h * dim + d] += weight * value[d];
    }
    for (uint32_t d = 0; d < dim; ++d) out[h * dim + d] /= total;
  }
  return out;
}

}  // namespace

TEST_CASE("weighed values - scales far apart, also of hidden slots, cost the others nothing") {
  for (const AttendKernels* kernels : usable_kernels())
    for (uint32_t head_dim : {32u, 64u, 96u, 256u})
      for (uint32_t group_size : {1u, 3u, 4u, 9u})
        for (uint32_t n : {3u, 70u, 256u}) {
          CAPTURE(kernels->name);
          CAPTURE(head_dim);
          CAPTURE(group_size);
          CAPTURE(n);
          Head head(head_dim, n);
          std::mt19937 random(n);
          std::normal_distribution<float> normal;
          const auto newest = static_cast<int32_t>(n * 2 / 3);
          for (uint32_t slot = 0; slot < n; ++slot) {
            std::vector<float> value = random_floats(head_dim, slot);
            const float size = slot > n * 2 / 3 ? 1e4f : std::exp(2 * normal(random));
            for (float& x : value) x *= size;
            head.write(slot, random_floats(head_dim, n + slot), value);
          }
          std::vector<float> q = random_floats(size_t{group_size} * head_dim, 7);
          for (float& x : q) x *= 4 / std::sqrt(static_cast<float>(head_dim));
          const std::vector<double> want = expected(head, q, newest);
          const std::vector<float> got = head.decode(*kernels, q, newest);
          double size = 0;
          for (double x : want) size = std::max(size, std::abs(x));
          for (size_t i = 0; i < want.size(); ++i) CHECK(std::abs(got[i] - want[i]) <= 2e-4 * size);
        }
}

TEST_CASE("weighed values - a group that is no number stays none, and alone") {
  for (const AttendKernels* kernels : usable_kernels()) {
    CAPTURE(kernels->name);
    Head head(64, 40);
    for (uint32_t slot = 0; slot < 40; ++slot) {
      std::vector<float> value = random_floats(64, slot);
      if (slot == 21) value[3] = NAN;
      head.write(slot, random_floats(64, 40 + slot), value);
    }
    const std::vector<float> q = random_floats(3 * 64, 7);
    const std::vector<double> want = expected(head, q, 39);
    const std::vector<float> got = head.decode(*kernels, q, 39);
    for (size_t i = 0; i < got.size(); ++i) {
      CAPTURE(i);
      CHECK(std::isnan(got[i]) == (i % 64 < 32));
      if (i % 64 >= 32) CHECK(std::abs(got[i] - want[i]) <= 2e-4 * 4);
    }
  }
}

}  // namespace tenure::cpu
