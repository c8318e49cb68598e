// A benchmark's report, for people and for programs. The JSON is described in docs/benchmarks.md.
#pragma once

#include <string>

#include "bench/measure.h"

namespace tenure {

std::string report_text(const BenchReport&);
std::string report_json(const BenchReport&);  // one object and a newline

}  // namespace tenure
