// The distribution of one number over any count of rows, in bounded memory.
#pragma once

#include <cstddef>
#include <cstdint>
#include <map>
#include <vector>

namespace tenure {

struct Interval {
  double low = 0, high = 0;
};

class Distribution {
 public:
  void add(double value);  // finite
  void add_zeros(uint64_t n);
  void merge(const Distribution& other);

  uint64_t n() const { return n_; }
  double mean() const;  // the rounded quotient of the sum, so 32 right of 40 is exactly 0.8
  double min() const { return min_; }
  double max() const { return max_; }
  double deviation() const;  // of the sample (n - 1); 0 below two values

  // q in 0..1, by linear interpolation between ranks. Exact up to max_exact values, then within 0.5 % of the
  // value.
  double quantile(double q) const;

  // Two-sided interval of the mean at `confidence` (0.95): Student's t, or Wilson's score interval for shares
  // in 0..1, which stays honest where every value is 1. Below two values the t interval is the mean itself.
  Interval t_interval(double confidence) const;
  Interval wilson_interval(double confidence) const;

  static constexpr size_t max_exact = 8192;

 private:
  void to_buckets();

  uint64_t n_ = 0;
  double sum_ = 0;
  double running_mean_ = 0;    // Welford's, for the squares only: it drifts in the last digits
  double sum_of_squares_ = 0;  // of deviations from the mean
  double min_ = 0;
  double max_ = 0;
  mutable std::vector<double> values_;  // sorted on demand; empty once folded into buckets
  mutable bool sorted_ = true;
  std::map<int64_t, uint64_t> buckets_;  // logarithmic; empty while exact
};

// The standard normal's quantile, and Student's with `degrees` of freedom, for p in 0.5..1.
double normal_quantile(double p);
double student_quantile(double p, double degrees);

}  // namespace tenure
