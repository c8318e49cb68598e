#include <doctest/doctest.h>

#include <cmath>

#include "manifest/quantities.h"

using namespace tenure;
using namespace std::chrono_literals;

TEST_CASE("parse_size - units of 1000 and 1024, decimals, spaces") {
  CHECK(parse_size("24 MiB") == 24u * 1024 * 1024);
  CHECK(parse_size("24MiB") == 24u * 1024 * 1024);
  CHECK(parse_size("512B") == 512u);
  CHECK(parse_size("0 B") == 0u);
  CHECK(parse_size("1.5 GB") == 1'500'000'000u);
  CHECK(parse_size("0.5 KiB") == 512u);
  CHECK(parse_size("1.9999 B") == 1u);
  CHECK(parse_size("4 GiB") == uint64_t{4} << 30);
  CHECK(parse_size("8388607 TiB") == uint64_t{8388607} << 40);
}

TEST_CASE("parse_size - everything else is no size") {
  for (const char* bad : {"", "24", "MiB", "-1 B", "1,5 GB", "1. GB", ".5 GB", "1e3 B", "24 mib", "24 MiB ",
                          " 24 MiB", "0x10 B", "1.2.3 B", "8388608 TiB", "9999999999999999999 B"}) {
    CAPTURE(bad);
    CHECK_FALSE(parse_size(bad));
  }
}

TEST_CASE("parse_duration - units, exact") {
  CHECK(parse_duration("20 ms") == 20ms);
  CHECK(parse_duration("30s") == 30s);
  CHECK(parse_duration("0s") == 0s);
  CHECK(parse_duration("1.5 h") == 90min);
  CHECK(parse_duration("0.1 us") == 100ns);
  CHECK(parse_duration("2 min") == 2min);
  CHECK(parse_duration("1 d") == 24h);
  for (const char* bad : {"", "20", "ms", "-1 s", "1 year", "300000 d", "1 S"}) {
    CAPTURE(bad);
    CHECK_FALSE(parse_duration(bad));
  }
}

TEST_CASE("fractions - exact rounding, also where doubles would err") {
  CHECK(parse_fraction("1/8") == Fraction{1, 8});
  for (const char* bad : {"", "1", "/8", "1/", "1/8/2", "-1/8", "1 / 8", "0.5/1", "1111111111111111111/2"}) {
    CAPTURE(bad);
    CHECK_FALSE(parse_fraction(bad));
  }
  CHECK(Fraction{1, 8}.rounded_up(4096) == 512);
  CHECK(Fraction{1, 8}.rounded_up(4097) == 513);
  CHECK(Fraction{1, 8}.rounded_down(4103) == 512);
  CHECK(Fraction{1, 3}.rounded_up(uint64_t{3} << 60) == uint64_t{1} << 60);
  CHECK(in_range(Fraction{1, 1}));
  CHECK_FALSE(in_range(Fraction{0, 4}));
  CHECK_FALSE(in_range(Fraction{3, 2}));
  CHECK_FALSE(in_range(Fraction{1, 0}));
}

TEST_CASE("texts - the shortest exact form, which reads back") {
  CHECK(size_text(24u << 20) == "24 MiB");
  CHECK(size_text(1000) == "1000 B");
  CHECK(size_text(0) == "0 B");
  CHECK(duration_text(20ms) == "20 ms");
  CHECK(duration_text(90s) == "90 s");
  CHECK(duration_text(0s) == "0 s");
  CHECK(number_text(0.1) == "0.1");
  CHECK(number_text(3) == "3");
  for (uint64_t bytes : {uint64_t{1}, uint64_t{1023}, uint64_t{1024}, uint64_t{3} << 20, uint64_t{5} << 40}) {
    CHECK(parse_size(size_text(bytes)) == bytes);
  }
  for (auto time : {1ns, 1500ns, 36'000'000'000'000ns, 86'400'000'000'001ns})
    CHECK(parse_duration(duration_text(time)) == time);
}
