// The numbered errors of `tenure explain`. A code never changes its meaning; new ones are appended to their block.
#pragma once

#include <cstdint>
#include <string_view>

namespace tenure {

// Exit codes (docs/pipelines.md). When several apply the highest of: second signal, 70, 73/74, 75, 101, 100, 0.
enum ExitCode : int {
  exit_ok = 0,
  exit_usage = 64,
  exit_data = 65,
  exit_no_input = 66,
  exit_unavailable = 69,
  exit_internal = 70,
  exit_cannot_create = 73,
  exit_io = 74,
  exit_stopped = 75,
  exit_plan = 78,
  exit_gate = 100,
  exit_too_many_errors = 101,
};

enum class Code : uint16_t {
  // 00xx: ours
  internal = 1,
  // 01xx: pipeline file and plan (78)
  toml_syntax = 101,
  toml_encoding = 102,
  toml_too_large = 103,
  unknown_section = 106,
  unknown_key = 107,
  wrong_type = 108,
  out_of_range = 109,
  missing_key = 110,
  unset_variable = 111,
  duplicate_id = 112,
  unknown_reference = 113,
  graph_cycle = 114,
  port_mismatch = 115,
  matrix_too_large = 116,
  matrix_empty = 117,
  matrix_duplicate_cell = 118,
  matrix_bad_key = 119,
  bad_value = 120,
  budget_needed = 121,
  bad_gate = 122,
  memory_too_small = 123,
  run_differs = 124,
  unsupported_combination = 125,
  bad_alert = 126,
  weights_unfit = 127,
  // 02xx: plugins and backends (69; manifest errors 78 only where the pipeline is at fault)
  plugin_not_found = 201,
  plugin_manifest = 202,
  plugin_refused = 203,
  plugin_abi = 204,
  plugin_symbol = 205,
  plugin_load = 206,
  plugin_unsafe_file = 207,
  plugin_hash = 208,
  plugin_failed = 209,
  backend_unsupported = 210,
  plugin_duplicate = 211,
  // 03xx: input and model files (65, 66)
  input_missing = 301,
  input_unreadable = 302,
  bad_request_line = 303,
  duplicate_request = 304,
  model_missing = 310,
  model_malformed = 311,
  model_unsupported = 312,
  tokenizer_malformed = 320,
  template_unsupported = 321,
  template_failed = 322,
  // 04xx: output and run directory (73, 74, 75)
  cannot_create = 401,
  write_failed = 402,
  run_locked = 403,
  run_malformed = 404,
  stopped = 405,
  runs_do_not_pair = 406,
  // 05xx: command line (64)
  usage = 501,
  // 06xx: a request's row
  row_bad_request = 601,
  row_too_long = 602,
  row_memory = 603,
  row_numeric = 604,
  row_bad_plan = 605,
  row_plugin_error = 606,
  row_time_limit = 607,
};

struct CodeInfo {
  Code code;
  int exit_code;
  std::string_view title;        // a few words
  std::string_view explanation;  // what it means, why, what to do: a paragraph
};

const CodeInfo& info(Code);
// nullptr when the number names no code.
const CodeInfo* find_code(uint16_t number);

}  // namespace tenure
