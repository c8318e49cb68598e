// Quantities as people write them: "24 MiB", "20 ms", "1/8". Pure functions, any thread; nothing = not that
// quantity.
#pragma once

#include <chrono>
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>

namespace tenure {

// An exact share in (0, 1]; 0 < numerator <= denominator once parsed.
struct Fraction {
  uint64_t numerator = 0;
  uint64_t denominator = 1;

  uint64_t rounded_up(uint64_t whole) const;
  uint64_t rounded_down(uint64_t whole) const;
  friend bool operator==(const Fraction&, const Fraction&) = default;
};

// "1/8". Syntax only: 0/4, 3/2 and 1/0 come back as written, in_range() says whether they are a share.
std::optional<Fraction> parse_fraction(std::string_view);
bool in_range(const Fraction&);

// "24 MiB", "512B", "1.5 GB": bytes, rounded down. Units B, kB MB GB TB (1000), KiB MiB GiB TiB (1024). At
// most 2^63 - 1.
std::optional<uint64_t> parse_size(std::string_view);

// "20 ms", "30s", "1.5 h", "0s". Units ns us ms s m min h d. At most 2^63 - 1 ns.
std::optional<std::chrono::nanoseconds> parse_duration(std::string_view);

// The same quantities in the shortest exact form: "1/8", "24 MiB", "20 ms".
std::string to_text(const Fraction&);
std::string size_text(uint64_t bytes);
std::string duration_text(std::chrono::nanoseconds);
// The shortest decimal that reads back as the same double.
std::string number_text(double);

}  // namespace tenure
