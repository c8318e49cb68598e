#include "sampler/sampler.h"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <limits>

#include "error/error.h"
#include "sampler/random.h"

namespace tenure {
namespace {

void check(bool in_range, const char* key, double value, const char* allowed) {
  if (!in_range) throw Error(Code::out_of_range, fmt::format("{} = {} is not in {}", key, value, allowed));
}

void check(const SamplerConfig& config) {
  check(config.temperature >= 0 && std::isfinite(config.temperature), "temperature", config.temperature,
        "[0, inf)");
  check(config.top_k >= 0, "top_k", config.top_k, "[0, inf)");
  check(config.top_p > 0 && config.top_p <= 1, "top_p", config.top_p, "(0, 1]");
  check(config.min_p >= 0 && config.min_p <= 1, "min_p", config.min_p, "[0, 1]");
  check(config.repeat_penalty > 0 && std::isfinite(config.repeat_penalty), "repeat_penalty",
        config.repeat_penalty, "(0, inf)");
  check(config.repeat_window >= 0, "repeat_window", config.repeat_window, "[0, inf)");
}

}  // namespace

Sampler::Sampler(const SamplerConfig& config, int32_t n_vocab, uint64_t key)
    : config_(config), n_vocab_(n_vocab), key_(key) {
  check(config);
  check(n_vocab > 0, "n_vocab", n_vocab, "[1, 2^31)");
  if (needs_logits()) candidates_.resize(static_cast<size_t>(n_vocab));
}

std::optional<int32_t> Sampler::sample(std::span<const float> logits, std::span<const int32_t> recent) {
  if (logits.size() != static_cast<size_t>(n_vocab_)) {
    throw Error(Code::internal,
                fmt::format("sampler for {} tokens was given {} logits", n_vocab_, logits.size()));
  }
  if (!needs_logits()) {
    if (!std::all_of(logits.begin(), logits.end(), [](float x) { return std::isfinite(x); }))
      return std::nullopt;
    return static_cast<int32_t>(std::max_element(logits.begin(), logits.end()) - logits.begin());
  }
  if (!load(logits)) return std::nullopt;
  penalise(logits, recent);
  if (config_.temperature == 0)
    return std::max_element(candidates_.begin(), candidates_.end(), ranks_lower)->id;
  keep_top_k();
  weigh();
  keep_top_p_min_p();
  return draw();
}

bool Sampler::load(std::span<const float> logits) {
  n_candidates_ = logits.size();
  for (size_t id = 0; id < logits.size(); ++id) {
    if (!std::isfinite(logits[id])) return false;
    candidates_[id] = {logits[id], static_cast<int32_t>(id)};
  }
  return true;
}

void Sampler::penalise(std::span<const float> logits, std::span<const int32_t> recent) {
  if (config_.repeat_penalty == 1) return;
  const size_t window = static_cast<size_t>(config_.repeat_window);
  if (window > 0 && recent.size() > window) recent = recent.last(window);
  constexpr float largest = std::numeric_limits<float>::max();
  for (int32_t id : recent) {
    if (id < 0 || id >= n_vocab_) continue;
    // From the untouched logit, so that a token seen twice is penalised once.
    const float logit = logits[static_cast<size_t>(id)];
    const float penalised = logit > 0 ? logit / config_.repeat_penalty : logit * config_.repeat_penalty;
    candidates_[static_cast<size_t>(id)].value = std::clamp(penalised, -largest, largest);
  }
}

// Before the weights: equal weights of different logits (a huge temperature) must not decide who stays.
void Sampler::keep_top_k() {
  const size_t k = static_cast<size_t>(config_.top_k);
  if (k == 0 || k >= n_candidates_) return;
  const auto first = candidates_.begin();
  std::nth_element(first, first + static_cast<std::ptrdiff_t>(k - 1),
                   first + static_cast<std::ptrdiff_t>(n_candidates_),
                   [](const Candidate& a, const Candidate& b) { return ranks_lower(b, a); });
  n_candidates_ = k;
}

// Weights relative to the top one: 1 at the top, no overflow, however small the temperature is.
void Sampler::weigh() {
  const std::span<Candidate> left(candidates_.data(), n_candidates_);
  const double top = std::max_element(left.begin(), left.end(), ranks_lower)->value;
  for (Candidate& candidate : left) {
    candidate.value = static_cast<float>(std::exp((candidate.value - top) / config_.temperature));
  }
}

// Takes candidates off a heap, most probable first, until one of the two limits is met: usually a few dozen,
// so a sort of the whole vocabulary would be waste. The most probable one always stays.
void Sampler::keep_top_p_min_p() {
  if (config_.top_p == 1 && config_.min_p == 0) return;
  const auto first = candidates_.begin();
  const auto end = first + static_cast<std::ptrdiff_t>(n_candidates_);
  double total = 0;
  for (auto it = first; it != end; ++it) total += it->value;
  const double enough = config_.top_p == 1 ? std::numeric_limits<double>::infinity() : config_.top_p * total;
  std::make_heap(first, end, ranks_lower);
  double mass = 0;
  auto kept = end;  // [kept, end) ascending
  while (kept != first && mass < enough && (kept == end || first->value >= config_.min_p)) {
    mass += first->value;
    std::pop_heap(first, kept--, ranks_lower);
  }
  n_candidates_ = static_cast<size_t>(end - kept);
  std::reverse(first, end);
}

int32_t Sampler::draw() {
  const std::span<const Candidate> left(candidates_.data(), n_candidates_);
  double total = 0;
  for (const Candidate& candidate : left) total += candidate.value;
  const double target = uniform(key_, step_++) * total;
  double mass = 0;
  int32_t last_possible = left.front().id;
  for (const Candidate& candidate : left) {
    if (candidate.value == 0) continue;
    mass += candidate.value;
    if (mass > target) return candidate.id;
    last_possible = candidate.id;
  }
  return last_possible;  // target rounded up to the total
}

bool Sampler::ranks_lower(const Candidate& a, const Candidate& b) {
  return a.value < b.value || (a.value == b.value && a.id > b.id);
}

}  // namespace tenure
