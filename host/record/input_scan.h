// A look over the input before a run starts: how much there is, and whether ids are unique. One pass, 16
// bytes an id.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "record/line_reader.h"
#include "record/request.h"

namespace tenure {

struct InputScan {
  uint64_t n_requests = 0;  // good lines
  uint64_t n_bad = 0;       // lines that will become error rows
  uint64_t n_bytes = 0;
};

// Throws Error(input_missing | input_unreadable), and Error(duplicate_request) naming the first duplicates
// with both lines: two rows under one key would hide each other.
InputScan scan_input(const std::vector<std::string>& paths, const LineMapping& mapping = {},
                     size_t line_cap = default_line_cap);

}  // namespace tenure
