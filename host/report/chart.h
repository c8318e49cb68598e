// Line charts as inline SVG. Colours come from the page's CSS (--s0 … --s7), so a chart follows light and
// dark.
#pragma once

#include <string>
#include <vector>

#include "report/format.h"

namespace tenure {

struct ChartPoint {
  double x = 0, y = 0;
  double low = 0, high = 0;  // an interval around y; drawn when low < high
  std::string tip;           // shown on hover
};

struct ChartSeries {
  std::string name;
  size_t index = 0;             // tells it from the chart's others
  size_t colour = 0, dash = 0;  // 0..7, --s0 … --s7; 0 = solid
  std::vector<ChartPoint> points;
};

struct LineChart {
  std::string title;
  std::string x_label;
  bool x_is_log2 = false;   // ticks at the points' own places then
  bool x_is_tokens = true;  // "4K", else plain numbers
  Unit unit = Unit::plain;
  std::vector<ChartSeries> series;
  std::string note;
};

// A <figure> with heading, SVG and legend. Empty when no series has a point.
std::string render(const LineChart& chart);

// Round numbers covering [low, high] in about `n` steps, ascending.
std::vector<double> nice_ticks(double low, double high, int n, bool binary);

}  // namespace tenure
