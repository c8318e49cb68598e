#include "report/tables.h"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <map>
#include <set>

#include "report/format.h"

namespace tenure {
namespace {

std::string axis_text(const AxisValue& value) {
  if (const auto* text = std::get_if<std::string>(&value)) return *text;
  if (const auto* integer = std::get_if<int64_t>(&value)) return fmt::format("{}", *integer);
  if (const auto* number = std::get_if<double>(&value)) return fmt::format("{}", *number);
  return std::get<bool>(value) ? "true" : "false";
}

const MetricSummary* metric_in(const GroupSummary& group, const std::string& path) {
  const auto at = group.metrics.find(path);
  return at == group.metrics.end() ? nullptr : &at->second;
}

// Times are told by their median: one slow request says nothing about the others.
bool told_by_median(std::string_view metric) {
  return metric.ends_with("_ms");
}
double told(const MetricSummary& m, std::string_view metric) {
  return told_by_median(metric) ? m.p50 : m.mean;
}

std::string swatch(const ReportLine& line) {
  return fmt::format("<i class=\"swatch\" style=\"--c:var(--s{})\"></i>", line.colour);
}

std::string cell_of(double sort_value, const std::string& html, std::string_view tip = {}) {
  const std::string title = tip.empty() ? std::string() : fmt::format(" title=\"{}\"", escape_html(tip));
  return fmt::format("<td class=\"n\" data-v=\"{}\"{}>{}</td>", sort_value, title, html);
}

std::string metric_cell(const GroupSummary& group, const std::string& metric, double column_max) {
  const MetricSummary* m = metric_in(group, metric);
  if (!m) return "<td class=\"n none\" data-v=\"\">–</td>";
  const Unit unit = shown_unit(metric);
  const double value = told(*m, metric);
  const std::string tip = fmt::format(
      "mean {} (95 %: {} to {}), p50 {}, p90 {}, p99 {}, max {}, n = {}", format_value(m->mean, unit),
      format_value(m->ci95.low, unit), format_value(m->ci95.high, unit), format_value(m->p50, unit),
      format_value(m->p90, unit), format_value(m->p99, unit), format_value(m->max, unit), m->n);
  std::string html = format_value(value, unit);
  if (unit == Unit::share || unit == Unit::bytes) {
    const double whole = unit == Unit::share ? 1 : column_max;
    html += fmt::format("<span class=\"meter\"><i style=\"width:{:.1f}%\"></i></span>",
                        whole > 0 ? 100 * value / whole : 0);
  }
  return cell_of(value, html, tip);
}

std::string head(std::string_view text, bool number) {
  return fmt::format("<th{} tabindex=\"0\">{}</th>", number ? " class=\"n\"" : "", escape_html(text));
}

std::string line_heads(bool several_runs) {
  return (several_runs ? head("Run", false) : "") + head("Stage", false) + head("Policy", false) +
         head("Cell", false) + head("Rows", true) + head("Errors", true);
}

std::string line_cells(const ReportLine& line, bool several_runs) {
  const CellSummary& cell = *line.cell;
  const RowCounts& n = cell.group.n;
  std::string html;
  if (several_runs) html += fmt::format("<td>{}</td>", escape_html(line.run->name));
  html += fmt::format("<td>{}{}</td><td>{}</td>", swatch(line), escape_html(cell.stage),
                      escape_html(cell.policy));
  html += fmt::format("<td title=\"{}\">{}</td>", escape_html(cell.cell), escape_html(short_cell(cell)));
  html += cell_of(static_cast<double>(n.total()), format_count(static_cast<double>(n.total())),
                  fmt::format("ok {}, error {}, limit {}, skipped {}", n.ok, n.error, n.limit, n.skipped));
  const uint64_t n_bad = n.error + n.limit;
  return html + cell_of(static_cast<double>(n_bad),
                        n_bad == 0 ? "0" : fmt::format("<b class=\"bad\">{}</b>", n_bad),
                        fmt::format("error {}, limit {}", n.error, n.limit));
}

std::string table(std::string_view heads, std::string_view body) {
  return fmt::format(
      "<div class=\"card wide\"><table "
      "class=\"sortable\"><thead><tr>{}</tr></thead><tbody>{}</tbody></table></div>",
      heads, body);
}

bool is_compare(const CellSummary& cell) {
  return std::any_of(cell.group.metrics.begin(), cell.group.metrics.end(),
                     [](const auto& m) { return m.first.starts_with("compare."); });
}

std::string metric_table(const std::vector<const ReportLine*>& lines, const std::vector<std::string>& metrics,
                         bool several_runs) {
  std::vector<std::string> shown;
  std::map<std::string, double> column_max;
  for (const std::string& metric : metrics) {
    bool any = false;
    for (const ReportLine* line : lines) {
      if (const MetricSummary* m = metric_in(line->cell->group, metric)) {
        any = true;
        column_max[metric] = std::max(column_max[metric], told(*m, metric));
      }
    }
    if (any) shown.push_back(metric);
  }
  std::string heads = line_heads(several_runs), body;
  for (const std::string& metric : shown) heads += head(title_of(metric), true);
  for (const ReportLine* line : lines) {
    body += "<tr>" + line_cells(*line, several_runs);
    for (const std::string& metric : shown)
      body += metric_cell(line->cell->group, metric, column_max[metric]);
    body += "</tr>";
  }
  return table(heads, body);
}

}  // namespace

std::string short_cell(const CellSummary& cell) {
  if (cell.axes.empty()) return cell.cell;
  std::map<std::string, int> uses;
  const auto last = [](const std::string& key) {
    return key.substr(key.rfind('.') == std::string::npos ? 0 : key.rfind('.') + 1);
  };
  for (const auto& axis : cell.axes) ++uses[last(axis.first)];
  std::string text;
  for (const auto& [key, value] : cell.axes) {
    if (!text.empty()) text += ' ';
    text += (uses[last(key)] == 1 ? last(key) : key) + "=" + axis_text(value);
  }
  return text;
}

std::vector<ReportLine> lines_of(const std::vector<RunData>& runs) {
  constexpr size_t n_colours = 8;
  std::vector<ReportLine> lines;
  std::map<std::pair<std::string, std::string>, size_t>
      colours;  // the same (cell, stage) of two runs shares one
  for (size_t i = 0; i < runs.size(); ++i) {
    for (const CellSummary& cell : runs[i].cells) {
      std::string name = cell.stage;
      if (!cell.cell.empty()) name += " · " + short_cell(cell);
      if (runs.size() > 1) name = runs[i].name + " · " + name;
      const size_t colour = colours.try_emplace({cell.cell, cell.stage}, colours.size()).first->second;
      lines.push_back({.run = &runs[i],
                       .cell = &cell,
                       .name = std::move(name),
                       .index = lines.size(),
                       .colour = colour % n_colours,
                       .dash = runs.size() > 1 ? i : colour / n_colours});
    }
  }
  return lines;
}

std::string results_table(const std::vector<ReportLine>& lines, bool several_runs) {
  std::vector<const ReportLine*> chosen;
  for (const ReportLine& line : lines) {
    if (!is_compare(*line.cell)) chosen.push_back(&line);
  }
  if (chosen.empty()) return {};
  return metric_table(chosen,
                      {"exact_match", "segments.token_accuracy", "score.token_accuracy", "score.ppl",
                       "kv.peak_bytes", "timing.ttft_ms", "timing.prefill_tps", "timing.decode_tps",
                       "timing.policy_ms", "events.released", "events.rebuilt"},
                      several_runs);
}

std::string compare_table(const std::vector<ReportLine>& lines, bool several_runs) {
  std::vector<const ReportLine*> chosen;
  std::set<std::string> metrics;
  for (const ReportLine& line : lines) {
    if (!is_compare(*line.cell)) continue;
    chosen.push_back(&line);
    for (const auto& entry : line.cell->group.metrics) {
      if (entry.first.starts_with("compare.")) metrics.insert(entry.first);
    }
  }
  if (chosen.empty()) return {};
  return metric_table(chosen, {metrics.begin(), metrics.end()}, several_runs);
}

std::string bar_list(const std::string& metric, const std::vector<ReportLine>& lines) {
  const Unit unit = shown_unit(metric);
  double most = 0;
  for (const ReportLine& line : lines) {
    if (const MetricSummary* m = metric_in(line.cell->group, metric))
      most = std::max(most, std::fabs(told(*m, metric)));
  }
  if (unit == Unit::share) most = 1;
  std::string bars;
  for (const ReportLine& line : lines) {
    const MetricSummary* m = metric_in(line.cell->group, metric);
    if (!m) continue;
    const double value = told(*m, metric);
    bars += fmt::format(
        "<li style=\"--c:var(--s{})\"><span>{}</span><i><b style=\"width:{:.1f}%\"></b></i><em>{}</em></li>",
        line.colour, escape_html(line.name), most > 0 ? 100 * std::fabs(value) / most : 0,
        format_value(value, unit));
  }
  if (bars.empty()) return {};
  return fmt::format(
      "<figure class=\"card\"><figcaption>{}<small>{}</small></figcaption><ul "
      "class=\"bars\">{}</ul></figure>",
      escape_html(title_of(metric)), told_by_median(metric) ? "median" : "mean", bars);
}

std::string heat_table(const std::string& metric, const std::vector<ReportLine>& lines) {
  const Unit unit = shown_unit(metric);
  std::set<int64_t> contexts;
  for (const ReportLine& line : lines) {
    for (const ContextSummary& c : line.cell->by_context) {
      if (metric_in(c.group, metric)) contexts.insert(c.max);
    }
  }
  std::string heads = "<th></th>", body;
  for (int64_t context : contexts) heads += fmt::format("<th class=\"n\">≤ {}</th>", format_tokens(context));
  for (const ReportLine& line : lines) {
    if (!metric_in(line.cell->group, metric)) continue;
    body += fmt::format("<tr><th>{}{}</th>", swatch(line), escape_html(line.name));
    for (int64_t context : contexts) {
      const auto at = std::find_if(line.cell->by_context.begin(), line.cell->by_context.end(),
                                   [&](const ContextSummary& c) { return c.max == context; });
      const MetricSummary* m = at == line.cell->by_context.end() ? nullptr : metric_in(at->group, metric);
      if (!m) {
        body += "<td class=\"none\">–</td>";
        continue;
      }
      body += fmt::format("<td class=\"heat\" style=\"--h:{:.0f}%\" title=\"n = {}, 95 %: {} to {}\">{}</td>",
                          100 * std::clamp(m->mean, 0.0, 1.0), m->n, format_value(m->ci95.low, unit),
                          format_value(m->ci95.high, unit), format_value(m->mean, unit));
    }
    body += "</tr>";
  }
  return fmt::format(
      "<div class=\"card wide\"><table class=\"heatmap\"><caption>{} by prompt "
      "tokens</caption><thead><tr>{}</tr></thead><tbody>{}</tbody></table></div>",
      escape_html(title_of(metric)), heads, body);
}

std::string gate_table(const std::vector<RunData>& runs) {
  const bool several = runs.size() > 1;
  std::string body;
  for (const RunData& run : runs) {
    for (const GateLine& gate : run.gates) {
      const std::string_view kind = gate.status == "ok" ? "good" : "bad";
      body += fmt::format("<tr><td><b class=\"pill {}\">{}</b></td>", kind, escape_html(gate.status));
      if (several) body += fmt::format("<td>{}</td>", escape_html(run.name));
      body += fmt::format("<td>{}</td><td>{}</td><td class=\"free\">{}</td></tr>", escape_html(gate.stage),
                          escape_html(gate.cell), escape_html(gate.text));
    }
  }
  if (body.empty()) return {};
  std::string heads = head("Gate", false) + (several ? head("Run", false) : "");
  heads += head("Stage", false) + head("Cell", false) + head("Judged", false);
  return table(heads, body);
}

std::string failure_table(const std::vector<RunData>& runs) {
  constexpr size_t text_shown = 400;
  std::string body;
  for (const RunData& run : runs) {
    for (const FailedRow& row : run.failures) {
      std::string message = escape_html(shorten(row.message, text_shown));
      if (!row.plugin.empty()) message += fmt::format(" <small>plugin {}</small>", escape_html(row.plugin));
      if (!row.text.empty()) {
        message += fmt::format("<details><summary>text</summary><pre>{}</pre></details>",
                               escape_html(shorten(row.text, text_shown)));
      }
      body += fmt::format(
          "<tr><td>{}</td><td>{}</td><td>{}</td><td><code>{}</code></td><td class=\"free\">{}</td></tr>",
          escape_html(shorten(row.id, 80)), escape_html(row.stage), escape_html(row.cell),
          escape_html(row.code), message);
    }
  }
  if (body.empty()) return {};
  return table(head("Request", false) + head("Stage", false) + head("Cell", false) + head("Code", false) +
                   head("What happened", false),
               body);
}

std::string manifest_table(const RunData& run) {
  std::string body;
  for (const auto& [key, value] : run.manifest) {
    body +=
        fmt::format("<tr><th>{}</th><td>{}</td></tr>", escape_html(key), escape_html(shorten(value, 300)));
  }
  if (body.empty()) return {};
  return fmt::format(
      "<details class=\"card wide\"><summary>Manifest of {}</summary><table "
      "class=\"facts\">{}</table></details>",
      escape_html(run.name), body);
}

}  // namespace tenure
