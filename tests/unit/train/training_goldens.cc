#include "unit/train/training_goldens.h"

#include <doctest/doctest.h>

#include <algorithm>
#include <cmath>
#include <fstream>

namespace tenure::test {

const nlohmann::json& training_goldens() {
  static const nlohmann::json goldens = nlohmann::json::parse(std::ifstream("tests/data/training.json"));
  return goldens;
}

double largest_error(const std::vector<float>& found, const std::vector<float>& expected) {
  REQUIRE(found.size() == expected.size());
  double largest = 0;
  for (size_t i = 0; i < found.size(); ++i) {
    REQUIRE(std::isfinite(found[i]));
    largest = std::max(largest, std::fabs(double{found[i]} - expected[i]) / (1 + std::fabs(double{expected[i]})));
  }
  return largest;
}

}  // namespace tenure::test
