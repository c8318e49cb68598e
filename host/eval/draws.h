// Seeded draws, one after another: the same key gives the same draws on every machine.
#pragma once

#include <cstddef>
#include <cstdint>
#include <utility>
#include <vector>

#include "sampler/random.h"

namespace tenure {

class Draws {
 public:
  explicit Draws(uint64_t key) : key_(key) {}

  double next() { return uniform(key_, step_++); }  // in [0, 1)
  size_t below(size_t n) { return static_cast<size_t>(next() * static_cast<double>(n)); }

  template <typename T>
  void shuffle(std::vector<T>& values) {
    for (size_t n = values.size(); n > 1; --n) std::swap(values[n - 1], values[below(n)]);
  }

 private:
  uint64_t key_;
  uint64_t step_ = 0;
};

}  // namespace tenure
