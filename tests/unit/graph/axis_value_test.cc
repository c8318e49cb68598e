#include "graph/axis_value.h"

#include <doctest/doctest.h>

namespace tenure {

TEST_CASE("axis_value - numbers and booleans as such, everything else as text") {
  CHECK(axis_value("true") == AxisValue(true));
  CHECK(axis_value("false") == AxisValue(false));
  CHECK(axis_value("42") == AxisValue(int64_t{42}));
  CHECK(axis_value("-3") == AxisValue(int64_t{-3}));
  CHECK(axis_value("0.25") == AxisValue(0.25));
  CHECK(axis_value("1e3") == AxisValue(1000.0));
  for (const std::string text :
       {"", "1/8", "24 MiB", " 42", "42 ", "0x10", "nan", "inf", "-inf", "infinity", "full", "+"}) {
    CAPTURE(text);
    CHECK(axis_value(text) == AxisValue(text));
  }
  CHECK(axis_value("9223372036854775807") == AxisValue(int64_t{INT64_MAX}));
  CHECK(axis_value("9223372036854775808") == AxisValue(9223372036854775808.0));
}

}  // namespace tenure
