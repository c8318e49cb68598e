// The names of a row's fields (docs/pipelines.md): what a gate may judge and what write_jsonl may select.
#pragma once

#include <string>
#include <string_view>
#include <vector>

namespace tenure {

// Numbers a gate may judge; "segments.…" are those of a request's segments.
const std::vector<std::string>& metric_names();
// Everything write_jsonl's `fields` may name: top-level fields, and the paths of the grouped ones.
const std::vector<std::string>& row_field_names();

enum class MetricUnit { number, bytes, milliseconds };
MetricUnit unit_of(std::string_view metric);

// The nearest name: by spelling, or because `word` is the last part of one ("ttft_ms").
std::string metric_hint(std::string_view word, const std::vector<std::string>& names);

}  // namespace tenure
