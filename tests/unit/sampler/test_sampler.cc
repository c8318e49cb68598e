#include <doctest/doctest.h>

#include <algorithm>
#include <cmath>
#include <limits>
#include <map>
#include <random>
#include <set>
#include <vector>

#include "error/error.h"
#include "sampler/sampler.h"

using namespace tenure;

namespace {

std::vector<float> random_logits(size_t n_vocab, unsigned seed, float spread) {
  std::mt19937 generator(seed);
  std::normal_distribution<float> normal(0, spread);
  std::vector<float> logits(n_vocab);
  for (float& logit : logits) logit = normal(generator);
  return logits;
}

// The distribution the header promises, in double and by brute force: every filter sorts everything again.
std::map<int32_t, double> reference(std::vector<float> logits, const SamplerConfig& config,
                                    const std::vector<int32_t>& recent) {
  const size_t window = config.repeat_window == 0 ? recent.size() : static_cast<size_t>(config.repeat_window);
  const std::set<int32_t> seen(recent.end() - static_cast<std::ptrdiff_t>(std::min(window, recent.size())),
                               recent.end());
  std::vector<std::pair<double, int32_t>> row;
  for (size_t id = 0; id < logits.size(); ++id) {
    double logit = logits[id];
    if (seen.count(static_cast<int32_t>(id))) {
      logit = logit > 0 ? logit / config.repeat_penalty : logit * config.repeat_penalty;
    }
    row.push_back({logit, static_cast<int32_t>(id)});
  }
  std::stable_sort(row.begin(), row.end(), [](auto& a, auto& b) { return a.first > b.first; });
  if (config.top_k > 0 && static_cast<size_t>(config.top_k) < row.size())
    row.resize(static_cast<size_t>(config.top_k));
  double total = 0;
  const double top = row.front().first;
  for (auto& [value, id] : row) total += value = std::exp((value - top) / config.temperature);
  double mass = 0;
  size_t n_kept = 0;
  while (n_kept < row.size() && (n_kept == 0 || config.top_p == 1 || mass < config.top_p * total)) {
    mass += row[n_kept++].first;
  }
  row.resize(n_kept);
  std::erase_if(row, [&](auto& entry) { return entry.first < config.min_p * row.front().first; });
  std::map<int32_t, double> probability;
  total = 0;
  for (auto& [value, id] : row) total += value;
  for (auto& [value, id] : row) probability[id] = value / total;
  return probability;
}

// Pearson's statistic over bins with an expectation of at least 5; the rest are pooled. Returns the excess
// over the 0.1 % quantile (Wilson-Hilferty), so <= 0 passes.
double chi_square_excess(const std::map<int32_t, double>& probability, const std::map<int32_t, int>& count,
                         int n_draws) {
  double statistic = 0;
  double pooled_expected = 0;
  int pooled = 0;
  int n_bins = 0;
  for (auto [id, p] : probability) {
    const int observed = count.count(id) ? count.at(id) : 0;
    const double expected = p * n_draws;
    if (expected < 5) {
      pooled_expected += expected;
      pooled += observed;
      continue;
    }
    statistic += (observed - expected) * (observed - expected) / expected;
    ++n_bins;
  }
  if (pooled_expected > 0.5) {
    statistic += (pooled - pooled_expected) * (pooled - pooled_expected) / pooled_expected;
    ++n_bins;
  }
  if (n_bins < 2) return statistic - 1;
  const double k = n_bins - 1;
  const double quantile = k * std::pow(1 - 2 / (9 * k) + 3.0902 * std::sqrt(2 / (9 * k)), 3);
  return statistic - quantile;
}

}  // namespace

TEST_CASE("sampler - greedy takes the highest logit, ties to the lower id, and needs no logits") {
  Sampler greedy({}, 5, 0);
  CHECK_FALSE(greedy.needs_logits());
  CHECK(greedy.sample(std::vector<float>{1, 3, 2, 3, 0}, {}) == 1);
  CHECK(greedy.sample(std::vector<float>{-5, -4, -4, -9, -4}, {}) == 1);
}

TEST_CASE("sampler - greedy with a repeat penalty needs logits and penalises a token once, both signs") {
  Sampler greedy({.repeat_penalty = 2}, 3, 0);
  CHECK(greedy.needs_logits());
  const std::vector<float> positive{4, 3, 1};
  CHECK(greedy.sample(positive, {}) == 0);
  CHECK(greedy.sample(positive, std::vector<int32_t>{0}) == 1);                              // 4 / 2 < 3
  CHECK(greedy.sample(std::vector<float>{5, 1.5f, 1}, std::vector<int32_t>{0, 0, 0}) == 0);  // 2.5, not 0.625
  CHECK(greedy.sample(std::vector<float>{-1, -1.5f, -9}, std::vector<int32_t>{0}) == 1);     // -1 * 2 < -1.5
  CHECK(greedy.sample(positive, std::vector<int32_t>{0, -7, 1000}) == 1);  // foreign ids ignored
}

TEST_CASE("sampler - only the last repeat_window tokens count as seen; 0 means all") {
  const std::vector<float> logits{4, 3};
  const std::vector<int32_t> recent{0, 1, 1};
  CHECK(Sampler({.repeat_penalty = 2, .repeat_window = 2}, 2, 0).sample(logits, recent) == 0);
  CHECK(Sampler({.repeat_penalty = 3, .repeat_window = 3}, 2, 0).sample(std::vector<float>{4, 5}, recent) ==
        1);
  CHECK(Sampler({.repeat_penalty = 2, .repeat_window = 2}, 2, 0).sample(std::vector<float>{2, 3}, recent) ==
        0);
  CHECK(Sampler({.repeat_penalty = 2, .repeat_window = 0}, 2, 0).sample(std::vector<float>{2, 3}, recent) ==
        1);
}

TEST_CASE("sampler - draws follow the brute-force distribution for every combination of filters") {
  constexpr int n_draws = 20'000;
  constexpr size_t n_vocab = 60;
  const std::vector<int32_t> recent{3, 9, 9, 41, 7};
  unsigned seed = 0;
  for (float temperature : {0.3f, 1.0f, 2.5f}) {
    for (int32_t top_k : {0, 1, 7, 60}) {
      for (float top_p : {1.0f, 0.9f, 0.2f}) {
        for (float min_p : {0.0f, 0.05f, 0.6f}) {
          const SamplerConfig config{.temperature = temperature,
                                     .top_k = top_k,
                                     .top_p = top_p,
                                     .min_p = min_p,
                                     .repeat_penalty = seed % 2 ? 1.3f : 1.0f,
                                     .repeat_window = 4};
          const auto logits = random_logits(n_vocab, ++seed, 1.5f);
          const auto probability = reference(logits, config, recent);
          Sampler sampler(config, n_vocab, 1000 + seed);
          std::map<int32_t, int> count;
          for (int i = 0; i < n_draws; ++i) ++count[sampler.sample(logits, recent).value()];
          CAPTURE(temperature);
          CAPTURE(top_k);
          CAPTURE(top_p);
          CAPTURE(min_p);
          for (auto [id, n] : count) CHECK(probability.count(id) == 1);
          // 108 combinations at 0.1 % each: one over is expected in ten seeds; a wrong filter is over by
          // thousands.
          CHECK(chi_square_excess(probability, count, n_draws) < 15);
          for (auto [id, p] : probability) {
            if (p * n_draws > 30) CHECK(count[id] > 0);
          }
        }
      }
    }
  }
}

TEST_CASE("sampler - top_k and top_p break ties by the lower id") {
  const std::vector<float> logits{1, 5, 5, 5, 0};
  Sampler top_k({.temperature = 1, .top_k = 2}, 5, 1);
  Sampler top_p({.temperature = 1, .top_p = 0.6f}, 5, 1);
  std::set<int32_t> from_k;
  std::set<int32_t> from_p;
  for (int i = 0; i < 200; ++i) {
    from_k.insert(*top_k.sample(logits, {}));
    from_p.insert(*top_p.sample(logits, {}));
  }
  CHECK(from_k == std::set<int32_t>{1, 2});
  CHECK(from_p == std::set<int32_t>{1, 2});
}

TEST_CASE("sampler - extreme temperatures and logits stay finite") {
  const std::vector<float> logits{-3e38f, 3e38f, 2.9e38f};
  Sampler cold({.temperature = 1e-30f}, 3, 5);
  Sampler hot({.temperature = 3e38f, .top_k = 1, .top_p = 0.5f, .min_p = 1}, 3, 5);
  for (int i = 0; i < 50; ++i) {
    CHECK(cold.sample(logits, {}) == 1);
    CHECK(hot.sample(logits, {}) == 1);
  }
  CHECK(Sampler({.repeat_penalty = 1e30f}, 3, 0).sample(logits, std::vector<int32_t>{0, 1}) == 2);
}

TEST_CASE("sampler - a NaN or an infinity is reported and costs no step") {
  const float nan = std::numeric_limits<float>::quiet_NaN();
  const float infinity = std::numeric_limits<float>::infinity();
  for (float bad : {nan, infinity, -infinity}) {
    for (const SamplerConfig& config :
         {SamplerConfig{}, SamplerConfig{.temperature = 1}, SamplerConfig{.temperature = 1, .top_k = 1},
          SamplerConfig{.repeat_penalty = 1.1f}}) {
      Sampler sampler(config, 4, 0);
      CHECK(sampler.sample(std::vector<float>{1, 2, bad, 0}, {}) == std::nullopt);
      CHECK(sampler.step() == 0);
      CHECK(sampler.sample(std::vector<float>{1, 900, 0, 0}, {}) == 1);
    }
  }
}

TEST_CASE("sampler - the same key gives the same tokens, another key others, a copy goes on alike") {
  const auto logits = random_logits(1000, 4, 1);
  const SamplerConfig config{.temperature = 1, .top_p = 0.95f};
  const auto draw = [&](Sampler& sampler, int n) {
    std::vector<int32_t> tokens;
    for (int i = 0; i < n; ++i) tokens.push_back(*sampler.sample(logits, {}));
    return tokens;
  };
  Sampler first(config, 1000, 17);
  Sampler same(config, 1000, 17);
  Sampler other(config, 1000, 18);
  const auto tokens = draw(first, 40);
  CHECK(tokens == draw(same, 40));
  CHECK(tokens != draw(other, 40));
  CHECK(first.step() == 40);
  Sampler fork = first;
  CHECK(draw(first, 20) == draw(fork, 20));
}

TEST_CASE("sampler - a config outside its range is refused") {
  const float nan = std::numeric_limits<float>::quiet_NaN();
  for (const SamplerConfig& bad :
       {SamplerConfig{.temperature = -1}, SamplerConfig{.temperature = nan}, SamplerConfig{.top_k = -1},
        SamplerConfig{.top_p = 0}, SamplerConfig{.top_p = 1.5f}, SamplerConfig{.top_p = nan},
        SamplerConfig{.min_p = -0.1f}, SamplerConfig{.min_p = 1.1f}, SamplerConfig{.repeat_penalty = 0},
        SamplerConfig{.repeat_window = -1}}) {
    CHECK_THROWS_AS(Sampler(bad, 10, 0), Error);
  }
  CHECK_THROWS_AS(Sampler({}, 0, 0), Error);
}
