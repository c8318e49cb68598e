// Products that a backend lends to policies, against the same arithmetic in double. A backend that lends none passes.
#include <doctest/doctest.h>

#include <algorithm>
#include <cmath>
#include <cstdio>
#include <limits>

#include "conformance/subject.h"

namespace tenure::conformance {
namespace {

// A matrix as it is stored: rows of `stride` elements, of which the first count. The rest is NaN, so that who reads it shows.
struct Stored {
  Stored(uint64_t rows, uint64_t columns, uint64_t gap, uint32_t seed)
      : stride(columns + gap), values(rows * stride, std::numeric_limits<float>::quiet_NaN()) {
    const std::vector<float> numbers = random_floats(rows * columns, seed);
    for (uint64_t i = 0; i < numbers.size(); ++i) values[i / columns * stride + i % columns] = numbers[i];
  }
  double at(uint64_t row, uint64_t column, bool transposed) const {
    return transposed ? values[column * stride + row] : values[row * stride + column];
  }
  uint64_t stride;
  std::vector<float> values;
};

struct Shape {
  uint64_t m, n, k;
};
// One tile and several, ragged ones, a vector in each place, nothing to add up, nothing at all.
constexpr Shape shapes[] = {{1, 1, 1},    {3, 5, 7},    {1, 300, 40}, {300, 1, 40}, {17, 19, 1},  {256, 256, 64},
                            {257, 70, 33}, {70, 515, 9}, {300, 290, 130}, {6, 4, 0},    {0, 4, 3},    {4, 0, 3}};

struct Case {
  Shape shape;
  bool transpose_a, transpose_b;
  float alpha, beta;
  uint64_t gap;  // between a row's end and the next one
};

struct Operands {
  explicit Operands(const Case& of)
      : a(of.transpose_a ? of.shape.k : of.shape.m, of.transpose_a ? of.shape.m : of.shape.k, of.gap, 1),
        b(of.transpose_b ? of.shape.n : of.shape.k, of.transpose_b ? of.shape.k : of.shape.n, of.gap, 2),
        c(of.shape.m, of.shape.n, of.gap, 3) {}
  Stored a, b, c;
};

tenure_gemm product_of(const Case& c, Operands& operands) {
  return {.head = {.struct_size = sizeof(tenure_gemm)},
          .transpose_a = c.transpose_a,
          .transpose_b = c.transpose_b,
          .m = c.shape.m,
          .n = c.shape.n,
          .k = c.shape.k,
          .alpha = c.alpha,
          .beta = c.beta,
          .a = operands.a.values.data(),
          .a_stride = operands.a.stride,
          .b = operands.b.values.data(),
          .b_stride = operands.b.stride,
          .c = operands.c.values.data(),
          .c_stride = operands.c.stride};
}

// The worst error of c as a share of what rounding allows; what lies between rows must be as it was.
double excess(const Case& c, const Operands& before, const Stored& got) {
  double worst = 0;
  for (uint64_t row = 0; row < c.shape.m; ++row) {
    for (uint64_t column = 0; column < c.shape.n; ++column) {
      double sum = 0, magnitude = 0;
      for (uint64_t i = 0; i < c.shape.k; ++i) {
        const double term = before.a.at(row, i, c.transpose_a) * before.b.at(i, column, c.transpose_b);
        sum += term;
        magnitude += std::abs(term);
      }
      const double added = c.beta == 0 ? 0 : double{c.beta} * before.c.at(row, column, false);
      const double allowed = 2e-6 * (std::abs(c.alpha) * magnitude + std::abs(added)) + 1e-30;
      const double share = std::abs(got.at(row, column, false) - (c.alpha * sum + added)) / allowed;
      if (!(share <= worst)) worst = share;
    }
    for (uint64_t i = c.shape.n; i < got.stride; ++i) CHECK(std::isnan(got.values[row * got.stride + i]));
  }
  return worst;
}

template <typename Body>
void for_every_case(Body&& body) {
  for (const Shape& shape : shapes) {
    for (const auto& [alpha, beta] : {std::pair{1.0f, 0.0f}, std::pair{-0.5f, 1.0f}, std::pair{2.0f, 0.25f}}) {
      for (uint32_t bits = 0; bits < 8; ++bits) {
        const Case c{.shape = shape,
                     .transpose_a = (bits & 1) != 0,
                     .transpose_b = (bits & 2) != 0,
                     .alpha = alpha,
                     .beta = beta,
                     .gap = (bits & 4) != 0 ? 5u : 0u};
        CAPTURE(shape.m);
        CAPTURE(shape.n);
        CAPTURE(shape.k);
        CAPTURE(bits);
        CAPTURE(alpha);
        body(c);
      }
    }
  }
}

}  // namespace

TEST_CASE("gemm - multiplies any shape, stored either way, into c or over it") {
  if (!backend().lends_gemm()) return;
  for_every_case([](const Case& c) {
    const Operands before(c);
    Operands operands = before;
    // What is overwritten may be anything.
    if (c.beta == 0) std::fill(operands.c.values.begin(), operands.c.values.end(), std::numeric_limits<float>::quiet_NaN());
    const tenure_gemm product = product_of(c, operands);
    REQUIRE(backend().gemm(&product, nullptr) == TENURE_OK);
    CHECK(excess(c, before, operands.c) <= 1);
  });
}

TEST_CASE("gemm - the same bits again and on any number of threads") {
  if (!backend().lends_gemm()) return;
  const Case c{.shape = {700, 600, 90}, .transpose_a = true, .transpose_b = false, .alpha = 1, .beta = 1, .gap = 3};
  std::vector<float> first;
  for (uint32_t n_threads : {1u, 2u, 4u, 2u}) {
    Operands operands(c);
    const tenure_gemm product = product_of(c, operands);
    REQUIRE(backend(n_threads).gemm(&product, nullptr) == TENURE_OK);
    if (first.empty()) first = operands.c.values;
    CHECK(same_bits(operands.c.values, first));
  }
}

TEST_CASE("gemm - refuses rows that do not fit their stride, and members it does not know") {
  if (!backend().lends_gemm()) return;
  const Case c{.shape = {4, 5, 6}, .transpose_a = false, .transpose_b = true, .alpha = 1, .beta = 0, .gap = 0};
  Operands operands(c);
  const tenure_gemm good = product_of(c, operands);
  for (uint64_t tenure_gemm::*stride : {&tenure_gemm::a_stride, &tenure_gemm::b_stride, &tenure_gemm::c_stride}) {
    tenure_gemm bad = good;
    --(bad.*stride);
    tenure_error error{.head = {.struct_size = sizeof error}};
    CHECK(backend().gemm(&bad, &error) == TENURE_UNSUPPORTED);
    CHECK(std::string(error.text).find("stride") != std::string::npos);
  }
  struct Newer {
    tenure_gemm known;
    uint64_t more;
  } newer{.known = good, .more = 0};
  newer.known.head.struct_size = sizeof newer;
  CHECK(backend().gemm(&newer.known, nullptr) == TENURE_OK);
  newer.more = 1;
  CHECK(backend().gemm(&newer.known, nullptr) == TENURE_TOO_NEW);
}

}  // namespace tenure::conformance
