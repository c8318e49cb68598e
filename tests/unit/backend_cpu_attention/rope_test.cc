#include <doctest/doctest.h>

#include <cmath>

#include "paged_cache.h"
#include "rope.h"

namespace tenure::cpu {
namespace {

double worst_difference(const std::vector<float>& in, const std::vector<float>& out, const RopeTable& table,
                        const std::vector<int32_t>& positions, uint32_t n_heads, uint32_t head_dim) {
  double worst = 0;
  for (size_t r = 0; r < positions.size(); ++r) {
    for (uint32_t h = 0; h < n_heads; ++h) {
      const size_t at = (r * n_heads + h) * head_dim;
      std::vector<double> x(in.begin() + at, in.begin() + at + head_dim);
      rotate_reference(table.base(), table.rope_dim(), table.kind(), positions[r], x);
      for (uint32_t d = 0; d < head_dim; ++d) worst = std::max(worst, std::abs(x[d] - out[at + d]));
    }
  }
  return worst;
}

}  // namespace

TEST_CASE("rope - both pairings turn by the position's angle at any position") {
  std::vector<int32_t> positions = ascending(20);
  for (int32_t p : {255, 256, 4095, 8191, 131072, 2000003}) positions.push_back(p);
  const auto n_rows = static_cast<uint32_t>(positions.size());
  for (uint32_t kind : {TENURE_ROPE_INTERLEAVED, TENURE_ROPE_HALVES})
    for (uint32_t rope_dim : {8u, 20u, 32u, 64u}) {
      RopeTable table(100000.0, rope_dim, kind);
      const std::vector<float> q = random_floats(n_rows * 3 * 64, 1);
      const std::vector<float> k = random_floats(n_rows * 2 * 64, 2);
      for (uint32_t reserved : {0u, 8192u}) {  // most positions are past what was reserved
        table.reserve(reserved);
        for (const AttendKernels* kernels : usable_kernels()) {
          CAPTURE(kernels->name);
          CAPTURE(rope_dim);
          std::vector<float> q_out(q.size());
          std::vector<float> k_in_place = k;
          const TestExec exec(2);
          rope(*kernels, exec.exec(), table,
               {.positions = positions.data(),
                .n_rows = n_rows,
                .head_dim = 64,
                .n_heads = 3,
                .n_kv_heads = 2,
                .q = q.data(),
                .k = k_in_place.data(),
                .q_out = q_out.data(),
                .k_out = k_in_place.data()});
          CHECK(worst_difference(q, q_out, table, positions, 3, 64) < 2e-6);
          CHECK(worst_difference(k, k_in_place, table, positions, 2, 64) < 2e-6);
        }
      }
    }
}

TEST_CASE("rope - a table gives the same bits however far it was reserved") {
  RopeTable far(10000.0, 64, TENURE_ROPE_HALVES);
  RopeTable near(10000.0, 64, TENURE_ROPE_HALVES);
  far.reserve(100000);
  alignas(64) float a[RopeTable::kBufferFloats];
  alignas(64) float b[RopeTable::kBufferFloats];
  for (int32_t p : {0, 300, 70000, -70000}) {
    const Rotation x = far.at(p, a);
    const Rotation y = near.at(p, b);
    for (uint32_t i = 0; i < 32; ++i) {
      CHECK(x.cos[i] == y.cos[i]);
      CHECK(x.sin[i] == y.sin[i]);
    }
  }
}

}  // namespace tenure::cpu
