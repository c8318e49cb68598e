#include <doctest/doctest.h>

#include <array>
#include <cmath>
#include <string>

#include "sampler/random.h"

using namespace tenure;

using Words = std::array<uint32_t, 4>;

// Known answers published with Random123 (kat_vectors, philox4x32 10).
TEST_CASE("philox - gives the published known answers") {
  CHECK(philox({0, 0, 0, 0}, {0, 0}) == Words{0x6627e8d5, 0xe169c58d, 0xbc57ac4c, 0x9b00dbd8});
  CHECK(philox({~0u, ~0u, ~0u, ~0u}, {~0u, ~0u}) == Words{0x408f276d, 0x41c83b0e, 0xa20bc7c6, 0x6d5451fd});
  CHECK(philox({0x243f6a88, 0x85a308d3, 0x13198a2e, 0x03707344}, {0xa4093822, 0x299f31d0}) ==
        Words{0xd16cfe09, 0x94fdcceb, 0x5001e420, 0x24126ea1});
}

// Expected values printed by tests/golden/seed_key.py.
TEST_CASE("seed_key - is the documented hash") {
  CHECK(seed_key(0, "", "", 0) == 0x3588b19303094b46u);
  CHECK(seed_key(7, "doc-1", "policy.locret.budget=1/8", 2) == 0x42eda177439d092du);
  CHECK(seed_key(~uint64_t{0}, std::string_view("\xC3\xA9\0", 3), "x", ~uint32_t{0}) == 0x325b5a22d5455018u);
}

TEST_CASE("seed_key - every field matters, and so does where one ends") {
  const uint64_t key = seed_key(1, "ab", "c", 0);
  CHECK(key != seed_key(2, "ab", "c", 0));
  CHECK(key != seed_key(1, "aB", "c", 0));
  CHECK(key != seed_key(1, "a", "bc", 0));
  CHECK(key != seed_key(1, "ab", "c", 1));
}

TEST_CASE("uniform - stays in [0, 1), fills it evenly, and depends on key and step only") {
  constexpr int n_bins = 64;
  constexpr int n_draws = 64'000;
  std::array<int, n_bins> count{};
  for (uint64_t step = 0; step < n_draws; ++step) {
    const double u = uniform(99, step);
    REQUIRE(u >= 0);
    REQUIRE(u < 1);
    ++count[static_cast<size_t>(u * n_bins)];
  }
  double chi_square = 0;
  const double expected = double{n_draws} / n_bins;
  for (int n : count) chi_square += (n - expected) * (n - expected) / expected;
  CHECK(chi_square < 103.4);  // 63 degrees of freedom, p = 0.001
  CHECK(chi_square > 33.0);   // p = 0.999: more even than chance would be wrong too
  CHECK(uniform(99, 5) == uniform(99, 5));
  CHECK(uniform(99, 5) != uniform(100, 5));
}
