// Products, norms and what is made of logits, one row at a time, in double.
#pragma once

#include <cstdint>
#include <span>
#include <vector>

namespace tenure::reference {

using Row = std::vector<double>;

// (n_out, n_in) row-major.
struct Matrix {
  uint32_t n_out = 0;
  uint32_t n_in = 0;
  std::vector<double> values;
};

// A computed number and the sum of the magnitudes it was added up from: rounding errors grow with the latter.
struct Products {
  Row values;
  Row magnitudes;
};

Row rms_norm(std::span<const double> x, std::span<const double> gain, double epsilon);
// The norm of a computed row: what its errors become.
Products rms_norm(const Products& x, std::span<const double> gain, double epsilon);
// matrix * x [+ bias]
Products multiply(const Matrix& matrix, std::span<const double> x, std::span<const double> bias = {});
Products add(std::span<const double> x, const Products& more);
// TENURE_ACTIVATION_*
double activated(uint32_t activation, double x);
// activated(gate h) * (up h)
Row gated(uint32_t activation, const Matrix& gate, const Matrix& up, std::span<const double> h);

struct Head {
  Row logits;
  uint32_t argmax = 0;  // ties to the lower id
  double logsumexp = 0;
};
Head head(const Matrix& output, std::span<const double> h);

}  // namespace tenure::reference
