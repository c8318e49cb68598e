#include "reference/linear.h"

#include <tenure/model.h>

#include <algorithm>
#include <cmath>
#include <numbers>

namespace tenure::reference {

Row rms_norm(std::span<const double> x, std::span<const double> gain, double epsilon) {
  double squares = 0;
  for (double v : x) squares += v * v;
  const double scale = 1 / std::sqrt(squares / static_cast<double>(x.size()) + epsilon);
  Row y(x.size());
  for (size_t i = 0; i < x.size(); ++i) y[i] = x[i] * scale * gain[i];
  return y;
}

Products rms_norm(const Products& x, std::span<const double> gain, double epsilon) {
  const auto mean_square = [](const Row& row) {
    double squares = 0;
    for (double v : row) squares += v * v;
    return squares / static_cast<double>(row.size());
  };
  const double scale = 1 / std::sqrt(mean_square(x.values) + epsilon);
  // An error of one element moves the scale of all.
  const double spread = std::sqrt(mean_square(x.magnitudes)) * scale;
  Products y{.values = rms_norm(x.values, gain, epsilon), .magnitudes = Row(x.values.size())};
  for (size_t i = 0; i < gain.size(); ++i)
    y.magnitudes[i] = std::abs(gain[i]) * scale * (x.magnitudes[i] + std::abs(x.values[i]) * spread);
  return y;
}

Products add(std::span<const double> x, const Products& more) {
  Products sum = more;
  for (size_t i = 0; i < x.size(); ++i) {
    sum.values[i] += x[i];
    sum.magnitudes[i] += std::abs(x[i]);
  }
  return sum;
}

double activated(uint32_t activation, double x) {
  if (activation == TENURE_ACTIVATION_SILU) return x / (1 + std::exp(-x));
  const double u = std::sqrt(2 / std::numbers::pi) * (x + 0.044715 * x * x * x);
  return x / 2 * (1 + std::tanh(u));
}

Products multiply(const Matrix& matrix, std::span<const double> x, std::span<const double> bias) {
  Products out;
  for (size_t o = 0; o < matrix.n_out; ++o) {
    double sum = bias.empty() ? 0 : bias[o];
    double magnitude = std::abs(sum);
    for (size_t i = 0; i < matrix.n_in; ++i) {
      const double product = matrix.values[o * matrix.n_in + i] * x[i];
      sum += product;
      magnitude += std::abs(product);
    }
    out.values.push_back(sum);
    out.magnitudes.push_back(magnitude);
  }
  return out;
}

Row gated(uint32_t activation, const Matrix& gate, const Matrix& up, std::span<const double> h) {
  Row y = multiply(gate, h).values;
  const Row u = multiply(up, h).values;
  for (size_t i = 0; i < y.size(); ++i) y[i] = activated(activation, y[i]) * u[i];
  return y;
}

Head head(const Matrix& output, std::span<const double> h) {
  Head result{.logits = multiply(output, h).values};
  const auto top = std::max_element(result.logits.begin(), result.logits.end());
  result.argmax = static_cast<uint32_t>(top - result.logits.begin());
  double sum = 0;
  for (double logit : result.logits) sum += std::exp(logit - *top);
  result.logsumexp = *top + std::log(sum);
  return result;
}

}  // namespace tenure::reference
