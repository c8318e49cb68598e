#include "report/chart.h"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <set>

namespace tenure {
namespace {

constexpr double width = 560, height = 300;
constexpr double left = 70, right = 16, top = 14, bottom = 46;

struct Range {
  double low = 0, high = 1;
  double part(double v) const { return high > low ? (v - low) / (high - low) : 0.5; }
};

class Plot {
 public:
  explicit Plot(const LineChart& chart) : chart_(chart) {
    bool first = true;
    double y_high = 0, y_low = 0;
    for (const ChartSeries& series : chart.series) {
      for (const ChartPoint& point : series.points) {
        const double x = place(point.x);
        x_ = first ? Range{x, x} : Range{std::min(x_.low, x), std::max(x_.high, x)};
        y_high = first ? point.y : std::max({y_high, point.y, std::min(point.high, 1e300)});
        y_low = std::min(y_low, point.y);
        xs_.insert(point.x);
        first = false;
      }
    }
    if (chart.unit == Unit::share) y_high = 1;
    if (!(y_high > y_low)) y_high = y_low + 1;
    ticks_ = nice_ticks(y_low, y_high, 5, chart.unit == Unit::bytes);
    y_ = {ticks_.front(), ticks_.back()};
  }

  std::string svg() const {
    std::string out = fmt::format("<svg viewBox=\"0 0 {} {}\" role=\"img\" aria-label=\"{}\">", width, height,
                                  escape_html(chart_.title));
    axes(out);
    for (const ChartSeries& series : chart_.series) draw(out, series);
    return out + "</svg>";
  }

 private:
  double place(double x) const { return chart_.x_is_log2 ? std::log2(std::max(1.0, x)) : x; }
  double px(double x) const {
    const double inset = chart_.x_is_log2 ? 14 : 0;
    return left + inset + x_.part(place(x)) * (width - left - right - 2 * inset);
  }
  double py(double y) const { return height - bottom - y_.part(y) * (height - top - bottom); }

  void axes(std::string& out) const {
    for (double tick : ticks_) {
      out += fmt::format("<line class=\"grid\" x1=\"{}\" x2=\"{}\" y1=\"{:.1f}\" y2=\"{:.1f}\"/>", left,
                         width - right, py(tick), py(tick));
      out += fmt::format("<text class=\"tick\" x=\"{}\" y=\"{:.1f}\" text-anchor=\"end\">{}</text>", left - 8,
                         py(tick) + 4, tick_text(tick));
    }
    std::vector<double> xs(xs_.begin(), xs_.end());
    if (!chart_.x_is_log2) {
      xs = nice_ticks(x_.low, x_.high, 6, chart_.x_is_tokens && x_.high > 1024);
      std::erase_if(xs, [&](double x) { return x < x_.low || x > x_.high || x != std::floor(x); });
    }
    for (double x : xs) {
      const std::string label = chart_.x_is_tokens ? format_tokens(static_cast<int64_t>(x)) : format_count(x);
      out += fmt::format("<text class=\"tick\" x=\"{:.1f}\" y=\"{}\" text-anchor=\"middle\">{}</text>", px(x),
                         height - bottom + 18, label);
    }
    out += fmt::format("<text class=\"axis\" x=\"{}\" y=\"{}\" text-anchor=\"middle\">{}</text>",
                       (left + width - right) / 2, height - 8, escape_html(chart_.x_label));
  }

  std::string tick_text(double tick) const {
    if (chart_.unit == Unit::share) return fmt::format("{:.0f} %", 100 * tick);
    return tick == 0 ? "0" : format_value(tick, chart_.unit);
  }

  void draw(std::string& out, const ChartSeries& series) const {
    out += fmt::format("<g class=\"series\" data-s=\"{}\" style=\"--c:var(--s{})\">", series.index,
                       series.colour);
    std::string path;
    for (const ChartPoint& p : series.points) {
      path += fmt::format("{}{:.1f},{:.1f}", path.empty() ? "M" : " L", px(p.x), py(p.y));
      if (p.low < p.high) {
        out += fmt::format("<line class=\"ci\" x1=\"{0:.1f}\" x2=\"{0:.1f}\" y1=\"{1:.1f}\" y2=\"{2:.1f}\"/>",
                           px(p.x), py(std::max(p.low, y_.low)), py(std::min(p.high, y_.high)));
      }
    }
    const std::string pattern =
        series.dash == 0 ? "" : fmt::format(" stroke-dasharray=\"{} 4\"", 8 / series.dash + 1);
    out += fmt::format("<path class=\"line\" d=\"{}\"{}/>", path, pattern);
    for (const ChartPoint& p : series.points) {
      out += fmt::format("<circle class=\"dot\" cx=\"{:.1f}\" cy=\"{:.1f}\" r=\"{}\" data-tip=\"{}\"/>",
                         px(p.x), py(p.y), series.points.size() > 24 ? 2 : 3.5, escape_html(p.tip));
    }
    out += "</g>";
  }

  const LineChart& chart_;
  Range x_, y_;
  std::set<double> xs_;
  std::vector<double> ticks_;
};

}  // namespace

std::vector<double> nice_ticks(double low, double high, int n, bool binary) {
  const double raw = (high - low) / n;
  const double base =
      binary ? std::exp2(std::ceil(std::log2(raw))) : std::pow(10, std::floor(std::log10(raw)));
  double step = base;
  if (!binary) {
    for (double factor : {1.0, 2.0, 5.0, 10.0}) {
      step = factor * base;
      if (step >= raw * 0.999) break;
    }
  }
  std::vector<double> ticks;
  const double first = std::floor(low / step + 1e-9);
  for (int i = 0; i <= 2 * n + 2; ++i) {
    ticks.push_back((first + i) * step);
    if (ticks.back() >= high - step * 1e-9) break;
  }
  return ticks;
}

std::string render(const LineChart& chart) {
  const bool empty =
      std::all_of(chart.series.begin(), chart.series.end(), [](const auto& s) { return s.points.empty(); });
  if (empty) return {};
  std::string out = fmt::format("<figure class=\"card chart\"><figcaption>{}", escape_html(chart.title));
  if (!chart.note.empty()) out += fmt::format("<small>{}</small>", escape_html(chart.note));
  out += "</figcaption>" + Plot(chart).svg() + "<ul class=\"legend\">";
  for (const ChartSeries& series : chart.series) {
    if (series.points.empty()) continue;
    out += fmt::format("<li data-s=\"{}\" tabindex=\"0\"><i{} style=\"--c:var(--s{})\"></i>{}</li>",
                       series.index, series.dash > 0 ? " class=\"dashed\"" : "", series.colour,
                       escape_html(series.name));
  }
  return out + "</ul></figure>";
}

}  // namespace tenure
