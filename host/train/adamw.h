// AdamW: Loshchilov, Hutter, "Decoupled Weight Decay Regularization", ICLR 2019, arXiv 1711.05101, algorithm 2, with
// epsilon 1e-8, and each element of the gradient clipped first.
#pragma once

#include <cstdint>
#include <span>

namespace tenure {

struct AdamW {
  float learning_rate = 0;
  float beta1 = 0, beta2 = 0;
  float weight_decay = 0;
  float value_clip = 0;
};

// One tensor and its moments, all of one length.
struct AdamWTensor {
  std::span<float> values;
  std::span<float> first;   // moment
  std::span<float> second;  // moment
  std::span<const float> gradient;
};

// step counts from 1.
void update(const AdamW& settings, uint64_t step, const AdamWTensor& tensor);

}  // namespace tenure
