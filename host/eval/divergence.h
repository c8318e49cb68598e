// How far one next-token distribution is from another.
#pragma once

#include <span>

namespace tenure {

// Kullback-Leibler divergence of softmax(logits) from softmax(reference_logits), in nats: what is lost by
// expecting the former where the latter is true. Both (n_vocab), finite.
double kl_divergence(std::span<const float> reference_logits, std::span<const float> logits);

}  // namespace tenure
