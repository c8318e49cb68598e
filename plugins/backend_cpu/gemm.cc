#include "gemm.h"

#include <cblas.h>

#include <algorithm>
#include <limits>

namespace tenure::cpu {
namespace {

// One call of OpenBLAS computes so many rows and columns: it packs its operands anew for each, which is 1/256 of the
// arithmetic. The cut depends on sizes alone, so the bits do not depend on threads.
constexpr uint64_t kTileSide = 256;
// OpenBLAS ends the process when more threads call it at once than it was built for, which is 64 in Debian.
constexpr uint64_t kMostCalls = 32;

uint64_t tiles_of(uint64_t n) {
  return (n + kTileSide - 1) / kTileSide;
}

void multiply_tile(const tenure_gemm& g, uint64_t row, uint64_t column) {
  const auto length = [](uint64_t n) { return static_cast<blasint>(n); };
  const auto stride = [](uint64_t n) { return static_cast<blasint>(std::max<uint64_t>(n, 1)); };
  const float* a = g.a + (g.transpose_a ? row : row * g.a_stride);
  const float* b = g.b + (g.transpose_b ? column * g.b_stride : column);
  cblas_sgemm(CblasRowMajor, g.transpose_a ? CblasTrans : CblasNoTrans, g.transpose_b ? CblasTrans : CblasNoTrans,
              length(std::min(kTileSide, g.m - row)), length(std::min(kTileSide, g.n - column)), length(g.k), g.alpha, a,
              stride(g.a_stride), b, stride(g.b_stride), g.beta, g.c + row * g.c_stride + column, stride(g.c_stride));
}

}  // namespace

void prepare_gemm() {
  openblas_set_num_threads(1);
}

std::string gemm_fault(const tenure_gemm& g) {
  constexpr uint64_t most = std::numeric_limits<blasint>::max();
  for (uint64_t size : {g.m, g.n, g.k, g.a_stride, g.b_stride, g.c_stride}) {
    if (size > most) return "sizes and strides go up to " + std::to_string(most);
  }
  if (g.a_stride < (g.transpose_a ? g.m : g.k)) return "a_stride is less than a row of a";
  if (g.b_stride < (g.transpose_b ? g.k : g.n)) return "b_stride is less than a row of b";
  if (g.c_stride < g.n) return "c_stride is less than a row of c";
  return {};
}

void gemm(const Exec& exec, const tenure_gemm& g) {
  const uint64_t n_across = tiles_of(g.n);
  const uint64_t n_tiles = tiles_of(g.m) * n_across;
  const auto n_tasks = static_cast<uint32_t>(std::min(n_tiles, kMostCalls));
  exec.for_each(n_tasks, [&](uint32_t task, uint32_t) {
    for (uint64_t tile = task; tile < n_tiles; tile += n_tasks)
      multiply_tile(g, tile / n_across * kTileSide, tile % n_across * kTileSide);
  });
}

}  // namespace tenure::cpu
