#include "record/distribution.h"

#include <algorithm>
#include <cmath>

namespace tenure {
namespace {

constexpr double bucket_growth = 1.01;   // a bucket's middle is within 0.5 % of what fell into it
constexpr double smallest = 1e-12;       // nearer to zero is zero
constexpr int64_t key_offset = 100'000;  // keeps keys of positive values above 0 and of negative ones below

int64_t bucket_of(double value) {
  const double size = std::fabs(value);
  if (size < smallest) return 0;
  const auto exponent = static_cast<int64_t>(std::ceil(std::log(size) / std::log(bucket_growth)));
  return value > 0 ? exponent + key_offset : -(exponent + key_offset);
}

double bucket_middle(int64_t key) {
  if (key == 0) return 0;
  const auto exponent = static_cast<double>(std::abs(key) - key_offset);
  const double size = 2 * std::pow(bucket_growth, exponent) / (1 + bucket_growth);
  return key > 0 ? size : -size;
}

}  // namespace

void Distribution::add(double value) {
  ++n_;
  sum_ += value;
  const double delta = value - running_mean_;
  running_mean_ += delta / static_cast<double>(n_);
  sum_of_squares_ += delta * (value - running_mean_);
  min_ = n_ == 1 ? value : std::min(min_, value);
  max_ = n_ == 1 ? value : std::max(max_, value);
  if (!buckets_.empty()) {
    ++buckets_[bucket_of(value)];
    return;
  }
  values_.push_back(value);
  sorted_ = false;
  if (values_.size() > max_exact) to_buckets();
}

void Distribution::add_zeros(uint64_t n) {
  for (uint64_t i = 0; i < n; ++i) add(0);
}

void Distribution::merge(const Distribution& other) {
  if (other.n_ == 0) return;
  if (n_ == 0) {
    *this = other;
    return;
  }
  const auto n = static_cast<double>(n_), m = static_cast<double>(other.n_);
  const double delta = other.running_mean_ - running_mean_;
  sum_ += other.sum_;
  running_mean_ += delta * m / (n + m);
  sum_of_squares_ += other.sum_of_squares_ + delta * delta * n * m / (n + m);
  n_ += other.n_;
  min_ = std::min(min_, other.min_);
  max_ = std::max(max_, other.max_);
  if (buckets_.empty() && other.buckets_.empty() && values_.size() + other.values_.size() <= max_exact) {
    values_.insert(values_.end(), other.values_.begin(), other.values_.end());
    sorted_ = false;
    return;
  }
  to_buckets();
  for (const auto& [key, count] : other.buckets_) buckets_[key] += count;
  for (double value : other.values_) ++buckets_[bucket_of(value)];
}

void Distribution::to_buckets() {
  for (double value : values_) ++buckets_[bucket_of(value)];
  values_.clear();
  values_.shrink_to_fit();
}

double Distribution::mean() const {
  return n_ == 0 ? 0 : sum_ / static_cast<double>(n_);
}

double Distribution::deviation() const {
  return n_ < 2 ? 0 : std::sqrt(sum_of_squares_ / static_cast<double>(n_ - 1));
}

double Distribution::quantile(double q) const {
  if (n_ == 0) return 0;
  const double rank = q * static_cast<double>(n_ - 1);
  if (buckets_.empty()) {
    if (!sorted_) std::sort(values_.begin(), values_.end());
    sorted_ = true;
    const auto below = static_cast<size_t>(rank);
    const size_t above = std::min(below + 1, values_.size() - 1);
    return values_[below] + (rank - std::floor(rank)) * (values_[above] - values_[below]);
  }
  uint64_t seen = 0;
  for (const auto& [key, count] : buckets_) {
    seen += count;
    if (static_cast<double>(seen) > rank) return std::clamp(bucket_middle(key), min_, max_);
  }
  return max_;
}

Interval Distribution::t_interval(double confidence) const {
  if (n_ < 2) return {mean(), mean()};
  const auto n = static_cast<double>(n_);
  const double half = student_quantile(0.5 + confidence / 2, n - 1) * deviation() / std::sqrt(n);
  return {mean() - half, mean() + half};
}

Interval Distribution::wilson_interval(double confidence) const {
  if (n_ == 0) return {0, 1};
  const auto n = static_cast<double>(n_);
  const double z = normal_quantile(0.5 + confidence / 2);
  const double centre = (mean() + z * z / (2 * n)) / (1 + z * z / n);
  const double half =
      z / (1 + z * z / n) * std::sqrt(std::max(0.0, mean() * (1 - mean())) / n + z * z / (4 * n * n));
  return {std::max(0.0, centre - half), std::min(1.0, centre + half)};
}

double normal_quantile(double p) {
  double low = 0, high = 40;
  for (int i = 0; i < 100; ++i) {
    const double middle = (low + high) / 2;
    (1 - 0.5 * std::erfc(middle / std::sqrt(2.0)) < p ? low : high) = middle;
  }
  return (low + high) / 2;
}

double student_quantile(double p, double degrees) {
  constexpr double pi = 3.14159265358979323846;
  if (degrees <= 1) return std::tan(pi * (p - 0.5));
  if (degrees <= 2) return (2 * p - 1) * std::sqrt(2 / (4 * p * (1 - p)));
  // Cornish-Fisher: below 1 % off at 3 degrees, far less above.
  const double z = normal_quantile(p), z2 = z * z, v = degrees;
  const double g1 = z * (z2 + 1) / 4;
  const double g2 = z * ((5 * z2 + 16) * z2 + 3) / 96;
  const double g3 = z * (((3 * z2 + 19) * z2 + 17) * z2 - 15) / 384;
  const double g4 = z * ((((79 * z2 + 776) * z2 + 1482) * z2 - 1920) * z2 - 945) / 92160;
  return z + g1 / v + g2 / (v * v) + g3 / (v * v * v) + g4 / (v * v * v * v);
}

}  // namespace tenure
