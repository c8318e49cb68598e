#include "error/codes.h"

#include <array>

namespace tenure {
namespace {

constexpr CodeInfo table[] = {
    {Code::internal, exit_internal, "internal error",
     "Tenure broke one of its own rules. Nothing you did should cause this: please report the command and the message."},
    {Code::toml_syntax, exit_plan, "TOML syntax error",
     "The pipeline file is not TOML at this place. Nothing after it was read, so further errors may follow."},
    {Code::toml_encoding, exit_plan, "not UTF-8 text",
     "A pipeline file is UTF-8 without NUL bytes. A byte order mark and CRLF line ends are accepted."},
    {Code::toml_too_large, exit_plan, "pipeline file refused before parsing",
     "A pipeline file is at most 1 MiB, a key has at most 64 dotted parts and values nest at most 64 deep."},
    {Code::unknown_section, exit_plan, "unknown section", "This section is not part of schema 1. Names under x- are free."},
    {Code::unknown_key, exit_plan, "unknown key",
     "This key is not known here; a mistyped key would otherwise be ignored silently. Keys under x- are free for notes."},
    {Code::wrong_type, exit_plan, "wrong type", "The value has another type than the key takes."},
    {Code::out_of_range, exit_plan, "value out of range", "The value is outside what the key allows."},
    {Code::missing_key, exit_plan, "missing key", "A key without a default is absent."},
    {Code::unset_variable, exit_plan, "unset variable",
     "A string uses ${NAME}, and NAME is not in the environment. Give it, or write ${NAME:-default}."},
    {Code::duplicate_id, exit_plan, "duplicate id", "Two stages, policies or plugins share a name."},
    {Code::unknown_reference, exit_plan, "unknown reference", "A stage, gate or matrix key names something that is not defined."},
    {Code::graph_cycle, exit_plan, "cycle in the stages", "Stages feed each other in a circle, so none could start."},
    {Code::port_mismatch, exit_plan, "stages do not fit", "The stage named in `from` does not give what this kind of stage takes."},
    {Code::matrix_too_large, exit_plan, "matrix too large", "A matrix has at most 10,000 cells."},
    {Code::matrix_empty, exit_plan, "empty matrix", "An axis has no values, or every cell is excluded."},
    {Code::matrix_duplicate_cell, exit_plan, "duplicate cell", "Two cells of the matrix have the same values."},
    {Code::matrix_bad_key, exit_plan, "bad matrix key", "A matrix or --set key does not address a value of the plan."},
    {Code::bad_value, exit_plan, "bad value", "The value cannot be read as what the key means."},
    {Code::budget_needed, exit_plan, "budget missing", "This policy releases slots, so it needs a budget; there is no default."},
    {Code::bad_gate, exit_plan, "bad gate", "A gate names no limit, or a metric that its stage does not produce."},
    {Code::memory_too_small, exit_plan, "memory too small", "Not even one chunk fits into [engine] memory."},
    {Code::run_differs, exit_plan, "another plan in this run directory",
     "The run directory was started with a different plan, model, plugin or input. Use another --out, or restore what changed."},
    {Code::unsupported_combination, exit_plan, "combination not supported", "These values cannot be used together."},
    {Code::bad_alert, exit_plan, "bad alert", "An alert names no limit, or a figure that running requests do not have."},
    {Code::weights_unfit, exit_plan, "no weights for this model",
     "The file that a policy's parameter of type \"weights\" names is absent, or was trained for another model or policy."},
    {Code::plugin_not_found, exit_unavailable, "plugin not found", "No plugin of that id in any searched folder; `tenure plugin doctor` shows the search."},
    {Code::plugin_manifest, exit_unavailable, "bad plugin manifest", "The manifest beside the library is absent or malformed."},
    {Code::plugin_refused, exit_unavailable, "plugin refused", "The plugin declined the model, the configuration or the machine."},
    {Code::plugin_abi, exit_unavailable, "plugin ABI does not fit", "The plugin was built for another major version, or needs a newer host."},
    {Code::plugin_symbol, exit_unavailable, "not a Tenure plugin", "The library does not export tenure_library_v1."},
    {Code::plugin_load, exit_unavailable, "plugin does not load", "The dynamic loader refused the file: wrong architecture, truncated, or a missing dependency."},
    {Code::plugin_unsafe_file, exit_unavailable, "plugin file is not safe", "The library or its folder can be written by others, or has another owner."},
    {Code::plugin_hash, exit_unavailable, "plugin hash mismatch", "The library's sha256 is not the one its manifest or the pipeline gives."},
    {Code::plugin_failed, exit_unavailable, "plugin failed", "The plugin returned an error while it was set up."},
    {Code::backend_unsupported, exit_unavailable, "backend cannot do this", "The backend lacks a type, an op or an evidence bit that the plan needs."},
    {Code::plugin_duplicate, exit_plan, "two plugins with one id", "Two libraries in one search folder declare the same id."},
    {Code::input_missing, exit_no_input, "input missing", "An input file does not exist, or is a directory."},
    {Code::input_unreadable, exit_no_input, "input unreadable", "An input file cannot be opened for reading."},
    {Code::bad_request_line, exit_data, "bad request line", "A line is not a JSON object of the request schema."},
    {Code::duplicate_request, exit_data, "duplicate request id", "An id occurs twice in the input."},
    {Code::model_missing, exit_no_input, "model missing", "The model file does not exist; scripts/fetch_model.sh fetches the model of record."},
    {Code::model_malformed, exit_data, "model file malformed", "The model file breaks a rule of its format. Nothing of it was used."},
    {Code::model_unsupported, exit_data, "model not supported", "The file is well formed, but holds an architecture, type or option that Tenure does not run."},
    {Code::tokenizer_malformed, exit_data, "tokenizer malformed", "The tokenizer's data contradict each other."},
    {Code::template_unsupported, exit_data, "chat template not supported", "The template uses a construct outside the supported subset of Jinja."},
    {Code::template_failed, exit_data, "chat template failed", "The template raised an error for these messages."},
    {Code::cannot_create, exit_cannot_create, "cannot create", "A file or directory cannot be created."},
    {Code::write_failed, exit_io, "write failed", "Writing failed; what was acknowledged before is intact and the run can be resumed."},
    {Code::run_locked, exit_stopped, "run directory locked", "Another process works on this run directory."},
    {Code::run_malformed, exit_data, "run directory malformed", "A file of the run directory cannot be read."},
    {Code::stopped, exit_stopped, "stopped", "The run was stopped before its end; run the same command again to go on."},
    {Code::runs_do_not_pair, exit_data, "runs do not pair",
     "Two runs are compared row by row, and one lacks rows of the other, or no pair has what a --fail-if limit asks for."},
    {Code::usage, exit_usage, "usage", "The command line cannot be understood; --help shows what is allowed."},
    {Code::row_bad_request, exit_too_many_errors, "bad request", "This request cannot be run; the others go on."},
    {Code::row_too_long, exit_too_many_errors, "too long", "The prompt and its answer do not fit the model's context."},
    {Code::row_memory, exit_ok, "memory limit", "The request alone needs more than [engine] memory."},
    {Code::row_numeric, exit_too_many_errors, "not a number", "The forward pass produced NaN or infinity."},
    {Code::row_bad_plan, exit_too_many_errors, "bad KeepSet", "The policy asked for something outside its rules; the cache is as it was."},
    {Code::row_plugin_error, exit_too_many_errors, "plugin error", "The policy returned an error for this request."},
    {Code::row_time_limit, exit_ok, "time limit", "The request ran longer than [run] time_limit."},
};

}  // namespace

const CodeInfo* find_code(uint16_t number) {
  for (const CodeInfo& entry : table) {
    if (static_cast<uint16_t>(entry.code) == number) return &entry;
  }
  return nullptr;
}

const CodeInfo& info(Code code) {
  const CodeInfo* entry = find_code(static_cast<uint16_t>(code));
  return entry ? *entry : table[0];
}

}  // namespace tenure
