// `tenure report`: run directories in, one self-contained HTML file out. Works offline, in mail and on paper,
// and for runs that failed or are still going.
#pragma once

#include <string>
#include <vector>

#include "report/run_data.h"

namespace tenure {

// Throws Error(input_missing) for a path that is no directory, Error(usage) without any.
std::string make_report(const std::vector<std::string>& run_paths);
std::string make_report(const std::vector<RunData>& runs);

// Writes it atomically; returns the path. An empty `output` is report.html in the first run.
std::string write_report(const std::vector<std::string>& run_paths, const std::string& output = {});

}  // namespace tenure
