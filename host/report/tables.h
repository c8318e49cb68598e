// The report's parts that are HTML rather than SVG: result tables, bars, heat tables, gates, failures.
#pragma once

#include <string>
#include <vector>

#include "report/run_data.h"

namespace tenure {

// One (run, cell, stage) of the report: what a table's row and a chart's line show.
struct ReportLine {
  const RunData* run = nullptr;
  const CellSummary* cell = nullptr;
  std::string name;  // "evicted · budget=1/8"
  size_t index = 0;  // among the lines
  size_t colour = 0, dash = 0;
};

// Readable names, unique among the lines; the run's own name only where there are several.
std::vector<ReportLine> lines_of(const std::vector<RunData>& runs);

// "budget=1/8 path=a.jsonl": the axes by the last parts of their keys.
std::string short_cell(const CellSummary& cell);

std::string results_table(const std::vector<ReportLine>& lines, bool several_runs);
std::string compare_table(const std::vector<ReportLine>& lines, bool several_runs);
// One bar a line for a metric, where there are too few context lengths for a line chart.
std::string bar_list(const std::string& metric, const std::vector<ReportLine>& lines);
// Lines × context lengths, coloured by value.
std::string heat_table(const std::string& metric, const std::vector<ReportLine>& lines);
std::string gate_table(const std::vector<RunData>& runs);
std::string failure_table(const std::vector<RunData>& runs);
std::string manifest_table(const RunData& run);

}  // namespace tenure
