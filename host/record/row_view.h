// write_jsonl: a stage's rows in another shape, rebuilt from results.jsonl at any time.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

namespace tenure {

struct RowView {
  enum class Format : uint8_t { tenure, openai };

  std::vector<std::string> stages;  // whose rows; empty = all
  std::vector<std::string>
      fields;  // dotted paths ("text", "kv.peak_bytes"); empty = whole rows. For Format::tenure
  Format format = Format::tenure;
};

// One row's line in the view, without its newline. `line` must be a row's JSON. A field that the row lacks is
// null; fields keep their nesting: "kv.peak_bytes" becomes {"kv":{"peak_bytes":…}}. The OpenAI shape is a
// chat completion: choices[0].index is the sample, an error row has `error` and no response.
std::string view_line(const RowView& view, std::string_view line);

// Writes the current rows atomically. Throws Error(bad_value) when `path` is the results file itself, else as
// replace_file. Returns the number of lines.
uint64_t write_view(const RowView& view, const std::string& results_path, const std::string& path);

}  // namespace tenure
