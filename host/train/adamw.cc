#include "train/adamw.h"

#include <cmath>

namespace tenure {

void update(const AdamW& settings, uint64_t step, const AdamWTensor& tensor) {
  constexpr float epsilon = 1e-8f;
  const double correction1 = 1 - std::pow(double{settings.beta1}, static_cast<double>(step));
  const double correction2 = 1 - std::pow(double{settings.beta2}, static_cast<double>(step));
  const auto rate = static_cast<float>(settings.learning_rate / correction1);
  const auto root_scale = static_cast<float>(1 / std::sqrt(correction2));
  const float keep = 1 - settings.learning_rate * settings.weight_decay;
  const float clip = settings.value_clip, beta1 = settings.beta1, beta2 = settings.beta2;
  float* const values = tensor.values.data();
  float* const first = tensor.first.data();
  float* const second = tensor.second.data();
  const float* const gradient = tensor.gradient.data();
  for (size_t i = 0; i < tensor.values.size(); ++i) {
    float g = gradient[i];
    g = g > clip ? clip : g;
    g = g < -clip ? -clip : g;
    first[i] = beta1 * first[i] + (1 - beta1) * g;
    second[i] = beta2 * second[i] + (1 - beta2) * g * g;
    values[i] = values[i] * keep - rate * first[i] / (std::sqrt(second[i]) * root_scale + epsilon);
  }
}

}  // namespace tenure
