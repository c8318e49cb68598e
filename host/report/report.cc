#include "report/report.h"

#include <fmt/format.h>

#include <algorithm>
#include <map>
#include <set>

#include "error/error.h"
#include "record/file_io.h"
#include "report/chart.h"
#include "report/page.h"
#include "report/tables.h"

namespace tenure {
namespace {

struct Badge {
  std::string_view kind, text;
};

Badge badge_of(const RunData& run) {
  if (run.verdict == "ok") return {"good", "passed"};
  if (run.verdict == "gate_failed") return {"bad", "gate failed"};
  if (run.verdict == "errors") return {"bad", "too many errors"};
  if (run.verdict == "stopped") return {"warn", "stopped"};
  if (run.verdict == "unfinished")
    return {"warn", run.state == RunState::absent ? "not started" : "unfinished"};
  return {"bad", "failed"};
}

void add_chip(std::string& out, std::string_view label, std::string_view value) {
  if (value.empty()) return;
  out +=
      fmt::format("<li><span>{}</span><b>{}</b></li>", escape_html(label), escape_html(shorten(value, 90)));
}

// The manifest's keys are the plan's; these are looked for by how they end, and left out where a plan has
// none.
void add_manifest_chips(std::string& out, const RunData& run) {
  struct Fact {
    std::string_view label, key;
  };
  for (const Fact& fact :
       {Fact{"Model", "model.path"}, Fact{"Backend", "backend.plugin"}, Fact{"Memory", "engine.memory"},
        Fact{"Determinism", "engine.determinism"}, Fact{"Build", "build"}, Fact{"Build", "build.id"},
        Fact{"Machine", "machine.cpu"}, Fact{"Machine", "machine"}, Fact{"Started", "started"}}) {
    const auto at = std::find_if(run.manifest.begin(), run.manifest.end(), [&](const auto& entry) {
      return entry.first == fact.key || entry.first.ends_with("." + std::string(fact.key));
    });
    if (at == run.manifest.end()) continue;
    std::string_view value = at->second;
    if (fact.label == "Model")
      value.remove_prefix(value.rfind('/') == std::string_view::npos ? 0 : value.rfind('/') + 1);
    add_chip(out, fact.label, value);
  }
}

std::string header_of(const RunData& run, bool several_runs) {
  const Badge badge = badge_of(run);
  std::string out = several_runs ? "<section>" : "<header><p class=\"kind\">Tenure run report</p>";
  const std::string_view level = several_runs ? "h2" : "h1";
  out += fmt::format("<div class=\"headline\"><{0}>{1}</{0}><span class=\"pill {2}\">{3}</span></div>", level,
                     escape_html(run.name), badge.kind, badge.text);
  if (!run.reasons.empty()) {
    out += fmt::format("<ul class=\"reasons {}\">", badge.kind);
    for (const std::string& reason : run.reasons)
      out += fmt::format("<li>{}</li>", escape_html(shorten(reason, 500)));
    out += "</ul>";
  } else if (!run.has_summary) {
    out +=
        "<ul class=\"reasons warn\"><li>This run has no summary yet: the figures cover the rows written so "
        "far.</li></ul>";
  }
  out += "<ul class=\"chips\">";
  const RowCounts& n = run.totals;
  std::string rows = format_count(static_cast<double>(n.total()));
  if (n.error > 0) rows += fmt::format(", {} errors", n.error);
  if (n.limit > 0) rows += fmt::format(", {} at a limit", n.limit);
  if (n.skipped > 0) rows += fmt::format(", {} skipped", n.skipped);
  if (run.n_unreadable > 0) rows += fmt::format(", {} unreadable lines", run.n_unreadable);
  add_chip(out, "Rows", rows);
  if (run.has_summary) {
    add_chip(out, "Peak memory", format_bytes(static_cast<double>(run.rss_peak_bytes)));
    add_chip(out, "Peak KV pool", format_bytes(static_cast<double>(run.pool_peak_bytes)));
    add_chip(out, "Weights", format_bytes(static_cast<double>(run.weights_bytes)));
  }
  add_manifest_chips(out, run);
  return out + (several_runs ? "</ul></section>" : "</ul></header>");
}

std::vector<std::string> charted_metrics(const std::vector<ReportLine>& lines) {
  std::vector<std::string> metrics = {"exact_match",        "segments.token_accuracy", "score.token_accuracy",
                                      "score.ppl",          "kv.peak_bytes",           "timing.ttft_ms",
                                      "timing.prefill_tps", "timing.decode_tps",       "timing.policy_ms"};
  std::set<std::string> compared;
  for (const ReportLine& line : lines) {
    for (const auto& entry : line.cell->group.metrics) {
      if (entry.first.starts_with("compare.")) compared.insert(entry.first);
    }
  }
  metrics.insert(metrics.end(), compared.begin(), compared.end());
  return metrics;
}

LineChart context_chart(const std::string& metric, const std::vector<ReportLine>& lines) {
  const Unit unit = shown_unit(metric);
  const bool median = metric.ends_with("_ms");
  LineChart chart{
      .title = title_of(metric), .x_label = "prompt tokens, up to", .x_is_log2 = true, .unit = unit};
  chart.note = median ? "median" : "mean";
  if (unit == Unit::share) chart.note += ", 95 % interval";
  for (const ReportLine& line : lines) {
    ChartSeries series{
        .name = line.name, .index = line.index, .colour = line.colour, .dash = line.dash, .points = {}};
    for (const ContextSummary& context : line.cell->by_context) {
      const auto at = context.group.metrics.find(metric);
      if (at == context.group.metrics.end()) continue;
      const MetricSummary& m = at->second;
      const double value = median ? m.p50 : m.mean;
      ChartPoint point{.x = static_cast<double>(context.max), .y = value};
      if (unit == Unit::share) {
        point.low = m.ci95.low;
        point.high = m.ci95.high;
      }
      point.tip = fmt::format("{}\n{}–{} prompt tokens: {} (n = {})", line.name, context.min, context.max,
                              format_value(value, unit), m.n);
      series.points.push_back(std::move(point));
    }
    chart.series.push_back(std::move(series));
  }
  return chart;
}

size_t most_points(const LineChart& chart) {
  size_t most = 0;
  for (const ChartSeries& series : chart.series) most = std::max(most, series.points.size());
  return most;
}

std::string cache_chart(const std::vector<ReportLine>& lines, bool by_segment) {
  LineChart chart{.title = "KV cache while one request runs",
                  .x_label = by_segment ? "segments fed" : "tokens fed",
                  .x_is_tokens = !by_segment,
                  .unit = Unit::bytes};
  chart.note = "the request with the longest prompt";
  for (const ReportLine& line : lines) {
    for (const CacheCurve& curve : line.run->curves) {
      if (curve.cell != line.cell->cell || curve.stage != line.cell->stage || curve.by_segment != by_segment)
        continue;
      ChartSeries series{
          .name = line.name, .index = line.index, .colour = line.colour, .dash = line.dash, .points = {}};
      for (const KvPoint& p : curve.points) {
        series.points.push_back(
            {.x = static_cast<double>(p.fed_tokens),
             .y = static_cast<double>(p.bytes),
             .tip = fmt::format("{}\n{} {}: {}", line.name, format_count(static_cast<double>(p.fed_tokens)),
                                by_segment ? "segments" : "tokens",
                                format_bytes(static_cast<double>(p.bytes)))});
      }
      chart.series.push_back(std::move(series));
    }
  }
  return render(chart);
}

void add_section(std::string& out, std::string_view title, const std::string& content) {
  if (!content.empty()) out += fmt::format("<h2>{}</h2>{}", title, content);
}

std::string charts_of(const std::vector<ReportLine>& lines) {
  std::string charts;
  for (const std::string& metric : charted_metrics(lines)) {
    const LineChart chart = context_chart(metric, lines);
    charts += most_points(chart) >= 2 ? render(chart) : bar_list(metric, lines);
  }
  charts += cache_chart(lines, false) + cache_chart(lines, true);
  return charts.empty() ? charts : "<div class=\"charts\">" + charts + "</div>";
}

std::string heat_of(const std::vector<ReportLine>& lines) {
  std::string out;
  for (const char* metric :
       {"exact_match", "segments.token_accuracy", "score.token_accuracy", "compare.top1"}) {
    if (most_points(context_chart(metric, lines)) >= 2) out += heat_table(metric, lines);
  }
  return out;
}

}  // namespace

std::string make_report(const std::vector<RunData>& runs) {
  const bool several = runs.size() > 1;
  const std::vector<ReportLine> lines = lines_of(runs);
  std::string body;
  if (several)
    body +=
        fmt::format("<header><p class=\"kind\">Tenure run report</p><h1>{} runs</h1></header>", runs.size());
  for (const RunData& run : runs) body += header_of(run, several);
  add_section(body, "Gates", gate_table(runs));
  add_section(body, "Results", results_table(lines, several));
  add_section(body, "Against the reference", compare_table(lines, several));
  add_section(body, "By context length", charts_of(lines));
  add_section(body, "Accuracy map", heat_of(lines));
  add_section(body, "Requests that did not finish", failure_table(runs));
  std::string manifests;
  for (const RunData& run : runs) manifests += manifest_table(run);
  add_section(body, "How it was run", manifests);
  if (lines.empty()) body += "<h2>Results</h2><p class=\"card\">No result rows yet.</p>";
  body +=
      "<footer>Bytes are what the allocators handed out. Error rows count as 0 in accuracies. Hover a figure "
      "for its distribution.</footer>";
  return html_page(several ? "Tenure report" : runs.front().name + " – Tenure report", body);
}

std::string make_report(const std::vector<std::string>& run_paths) {
  if (run_paths.empty()) throw Error(Code::usage, "report needs at least one run directory");
  std::vector<RunData> runs;
  for (const std::string& path : run_paths) runs.push_back(read_run(path));
  return make_report(runs);
}

std::string write_report(const std::vector<std::string>& run_paths, const std::string& output) {
  const std::string html = make_report(run_paths);
  const std::string path = output.empty() ? run_paths.front() + "/report.html" : output;
  replace_file(path, html);
  return path;
}

}  // namespace tenure
