// What <tenure/scorer.h> offers policies, against its definition.
#include <doctest/doctest.h>
#include <tenure/scorer.h>

#include <algorithm>
#include <limits>
#include <random>
#include <vector>

namespace tenure {
namespace {

std::vector<float> close(const std::vector<float>& in, const std::vector<int32_t>& pos, int32_t length) {
  std::vector<float> out(in.size(), -1);
  tenure_close_1d(in.data(), pos.data(), static_cast<uint32_t>(in.size()), length, out.data());
  return out;
}

// The largest of every window of `length` positions, then the least of all windows that hold a position.
std::vector<float> dilate_and_erode(const std::vector<float>& in, const std::vector<int32_t>& pos, int32_t length) {
  const int32_t n_line = pos.back() + 1;
  std::vector<float> line(n_line, -std::numeric_limits<float>::infinity());
  for (size_t i = 0; i < in.size(); ++i) line[pos[i]] = in[i];
  std::vector<float> out;
  for (const int32_t p : pos) {
    float least = std::numeric_limits<float>::infinity();
    for (int32_t first = p - length + 1; first <= p; ++first) {
      float largest = -std::numeric_limits<float>::infinity();
      for (int32_t q = std::max(first, 0); q < std::min(first + length, n_line); ++q) largest = std::max(largest, line[q]);
      least = std::min(least, largest);
    }
    out.push_back(least);
  }
  return out;
}

}  // namespace

TEST_CASE("scorer - closing is a dilation and an erosion, with positions missing") {
  std::mt19937 random(5);
  for (const int32_t length : {1, 2, 6, 64}) {
    std::vector<float> in;
    std::vector<int32_t> pos;
    for (int32_t p = 0; p < 400; ++p) {
      if (random() % 10 < 3) continue;
      pos.push_back(p);
      in.push_back(static_cast<float>(random()));
    }
    CAPTURE(length);
    const std::vector<float> closed = close(in, pos, length);
    CHECK(closed == dilate_and_erode(in, pos, length));
    CHECK(close(closed, pos, length) == closed);
    CHECK((closed == in) == (length == 1));
  }
}

TEST_CASE("scorer - closing does not look past slots that are out of order") {
  // In decode a slot is moved into a hole: position 9 lies between 2 and 3.
  CHECK(close({5, 1, 5}, {2, 9, 3}, 8) == std::vector<float>{5, 1, 5});
  CHECK(close({5, 1, 9, 5}, {2, 3, 40, 4}, 8) == std::vector<float>{5, 1, 9, 5});
  CHECK(close({5, 1, 4}, {2, 3, 4}, 2) == std::vector<float>{5, 4, 4});
}

}  // namespace tenure
