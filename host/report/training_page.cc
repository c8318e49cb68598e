#include "report/training_page.h"

#include <fmt/format.h>

#include <algorithm>

#include "report/chart.h"
#include "report/format.h"
#include "report/page.h"

namespace tenure {
namespace {

// A curve is drawn through the means of so many stretches of it.
constexpr size_t most_points = 24;

std::vector<ChartPoint> smoothed(const std::vector<float>& losses) {
  std::vector<ChartPoint> points;
  const size_t n = std::min(most_points, losses.size());
  for (size_t i = 0; i < n; ++i) {
    const size_t begin = losses.size() * i / n, end = losses.size() * (i + 1) / n;
    double sum = 0;
    for (size_t s = begin; s < end; ++s) sum += losses[s];
    const double mean = sum / static_cast<double>(end - begin);
    points.push_back({.x = static_cast<double>(end), .y = mean, .tip = fmt::format("step {}\nloss {:.3f}", end, mean)});
  }
  return points;
}

std::vector<ChartPoint> held_out_points(const TrainingPage::Layer& layer) {
  std::vector<ChartPoint> points;
  for (const auto& judged : layer.held_out) {
    points.push_back({.x = static_cast<double>(judged.step),
                      .y = judged.loss,
                      .tip = fmt::format("step {}\nheld-out loss {:.3f}\ntop 12.5 % overlap {:.3f}", judged.step, judged.loss, judged.overlap)});
  }
  return points;
}

std::string chart_of(const TrainingPage::Layer& layer) {
  return render({.title = fmt::format("layer {}", layer.layer),
                 .x_label = "steps",
                 .x_is_tokens = false,
                 .series = {{.name = "loss", .index = 0, .colour = 0, .points = smoothed(layer.losses)},
                            {.name = "held-out loss", .index = 1, .colour = 1, .points = held_out_points(layer)}}});
}

// One value a layer.
template <typename Value>
std::string chart_by_layer(const TrainingPage& page, std::string title, Unit unit, Value value) {
  ChartSeries series{.name = title};
  for (const auto& layer : page.layers) {
    if (layer.held_out.empty()) continue;
    const double y = value(layer.held_out.back());
    series.points.push_back({.x = static_cast<double>(layer.layer), .y = y, .tip = fmt::format("layer {}\n{:.3f}", layer.layer, y)});
  }
  return render({.title = std::move(title), .x_label = "layer", .x_is_tokens = false, .unit = unit, .series = {std::move(series)}});
}

double mean_of(const std::vector<float>& losses, bool of_last) {
  const size_t n = std::max<size_t>(1, losses.size() / 10);
  const auto begin = of_last ? losses.end() - static_cast<ptrdiff_t>(std::min(n, losses.size())) : losses.begin();
  double sum = 0;
  for (size_t i = 0; i < std::min(n, losses.size()); ++i) sum += begin[static_cast<ptrdiff_t>(i)];
  return losses.empty() ? 0 : sum / static_cast<double>(std::min(n, losses.size()));
}

std::string table_of(const TrainingPage& page) {
  std::string table =
      "<div class=\"card wide\"><table class=\"sortable\"><thead><tr><th class=\"n\" tabindex=\"0\">layer</th><th class=\"n\" tabindex=\"0\">loss, first "
      "tenth</th><th class=\"n\" tabindex=\"0\">last tenth</th><th class=\"n\" tabindex=\"0\">held-out loss</th><th class=\"n\" tabindex=\"0\">top 12.5 % "
      "overlap</th></tr></thead><tbody>";
  for (const auto& layer : page.layers) {
    table += fmt::format("<tr><td class=\"n\">{}</td><td class=\"n\">{:.3f}</td><td class=\"n\">{:.3f}</td>", layer.layer, mean_of(layer.losses, false),
                         mean_of(layer.losses, true));
    if (layer.held_out.empty()) {
      table += "<td class=\"none\">–</td><td class=\"none\">–</td></tr>";
    } else {
      table += fmt::format("<td class=\"n\">{:.3f}</td><td class=\"n\">{:.3f}</td></tr>", layer.held_out.back().loss, layer.held_out.back().overlap);
    }
  }
  return table + "</tbody></table></div>";
}

}  // namespace

std::string render(const TrainingPage& page) {
  std::string body = fmt::format("<header><p class=\"kind\">Tenure training</p><h1>{}</h1><ul class=\"chips\">", escape_html(page.title));
  for (const auto& [label, value] : page.facts) {
    body += fmt::format("<li><span>{}</span><b>{}</b></li>", escape_html(label), escape_html(shorten(value, 90)));
  }
  body += "</ul></header><section><h2>By layer</h2><div class=\"charts\">";
  body += chart_by_layer(page, "held-out loss", Unit::plain, [](const auto& judged) { return judged.loss; });
  body += chart_by_layer(page, "top 12.5 % overlap, held out", Unit::share, [](const auto& judged) { return judged.overlap; });
  body += "</div></section><section>" + table_of(page) + "</section><section><h2>Loss curves</h2><div class=\"charts\">";
  for (const auto& layer : page.layers) body += chart_of(layer);
  return html_page(page.title, body + "</div></section>");
}

}  // namespace tenure
