// How near two next-token distributions are. Pure functions, any thread.
#pragma once

#include <cstddef>
#include <span>

namespace tenure {

// KL(p || q) in nats of the distributions that two rows of logits stand for; rows of one length, finite.
double kl_divergence(std::span<const float> p, std::span<const float> q);

// The lowest index of the greatest logit.
size_t top_token(std::span<const float> logits);

}  // namespace tenure
