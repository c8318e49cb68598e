#include "report/chart.h"

#include <doctest/doctest.h>

#include <cmath>
#include <random>

using namespace tenure;

// Ranges as charts have them: around or above zero.
TEST_CASE("ticks - are evenly spaced round numbers that cover the range with few steps") {
  std::mt19937 random(1);
  for (int i = 0; i < 2000; ++i) {
    const double low = random() % 3 == 0 ? -std::pow(10, static_cast<int>(random() % 8)) : 0;
    const double high = -low / 2 + std::pow(10, std::uniform_real_distribution<double>(-6, 12)(random));
    const bool binary = random() % 2 == 0;
    const auto ticks = nice_ticks(low, high, 5, binary);
    REQUIRE(ticks.size() >= 2);
    CHECK(ticks.size() <= 13);
    const double step = ticks[1] - ticks[0];
    CHECK(ticks.front() <= low + 1e-6 * step);
    CHECK(ticks.back() >= high - 1e-6 * step);
    for (size_t t = 1; t < ticks.size(); ++t)
      CHECK(ticks[t] - ticks[t - 1] == doctest::Approx(step).epsilon(1e-5));
  }
}

TEST_CASE("chart - puts every point inside its frame and higher values higher") {
  LineChart chart{.title = "t",
                  .x_label = "x",
                  .x_is_log2 = true,
                  .series = {{.name = "a<b", .points = {{512, 1}, {1024, 5}, {8192, 30}}}}};
  const std::string svg = render(chart);
  CHECK(svg.find("a&lt;b") != std::string::npos);
  CHECK(svg.find("a<b") == std::string::npos);
  double last_x = 0, last_y = 1e9;
  int n_dots = 0;
  for (size_t at = svg.find("<circle"); at != std::string::npos; at = svg.find("<circle", at + 1)) {
    const double x = std::stod(svg.substr(svg.find("cx=\"", at) + 4)),
                 y = std::stod(svg.substr(svg.find("cy=\"", at) + 4));
    CHECK(x > last_x);
    CHECK(y < last_y);
    CHECK(x < 560);
    CHECK(y > 0);
    last_x = x;
    last_y = y;
    ++n_dots;
  }
  CHECK(n_dots == 3);
}

TEST_CASE("chart - without points is nothing") {
  CHECK(render(LineChart{.title = "t", .series = {{.name = "a"}}}).empty());
}

TEST_CASE("format - units follow the row path") {
  CHECK(format_value(0.9234, shown_unit("exact_match")) == "92.3 %");
  CHECK(format_value(3 * 1024 * 1024, shown_unit("kv.peak_bytes")) == "3.00 MiB");
  CHECK(format_value(0.125, shown_unit("compare.kv.peak_bytes")) == "×0.125");
  CHECK(format_value(12.34, shown_unit("timing.ttft_ms")) == "12.3 ms");
  CHECK(format_count(1234567) == "1,234,567");
  CHECK(format_count(123) == "123");
  CHECK(format_tokens(8192) == "8K");
  CHECK(shorten("漢字仮名", 2) == "漢字…");
  CHECK(escape_html("<a href=\"x\">&'\x01") == "&lt;a href=&quot;x&quot;&gt;&amp;&#39;\xef\xbf\xbd");
}
