// tests/data/training.json: what PyTorch made of the same numbers (tests/golden/training_goldens.py).
#pragma once

#include <nlohmann/json.hpp>
#include <vector>

namespace tenure::test {

const nlohmann::json& training_goldens();

inline std::vector<float> floats(const nlohmann::json& list) {
  return list.get<std::vector<float>>();
}

// The largest difference over 1 + the size of what is expected.
double largest_error(const std::vector<float>& found, const std::vector<float>& expected);

}  // namespace tenure::test
