#include "reference/rope.h"

#include <cmath>
#include <complex>

namespace tenure::reference {

void rotate(const tenure_layer_info& layer, double positions, std::span<double> x) {
  const uint32_t half = layer.rope_dim / 2;
  const bool halves = layer.rope_kind == TENURE_ROPE_HALVES;
  for (uint32_t i = 0; i < half; ++i) {
    double& real = x[halves ? i : 2 * i];
    double& imaginary = x[halves ? i + half : 2 * i + 1];
    const double factor = layer.rope_factors ? static_cast<double>(layer.rope_factors[i]) : 1;
    const double frequency = std::pow(layer.rope_base, -static_cast<double>(i) / half) / factor;
    const auto turned = std::complex<double>(real, imaginary) * std::polar(1.0, positions * frequency);
    real = turned.real();
    imaginary = turned.imag();
  }
}

}  // namespace tenure::reference
