// The checked, immutable form of a pipeline. Plain values: everything is resolved, defaulted and converted
// here, once; nobody after this asks what a key means. Thread: written by load_plan(), then read by anyone.
#pragma once

#include <chrono>
#include <cstdint>
#include <map>
#include <memory>
#include <optional>
#include <string>
#include <utility>
#include <variant>
#include <vector>

#include "error/error.h"
#include "manifest/manifest.h"

namespace tenure {

enum class SyncMode { record, interval, none };

struct RunPlan {
  // More error rows than this end the run with 101: a share of the requests, or else a count.
  std::optional<double> max_error_share;
  uint64_t max_errors = 0;
  uint32_t retries = 0;                    // of a failed request
  std::chrono::nanoseconds time_limit{0};  // a request; 0 = none
  SyncMode sync = SyncMode::interval;
  std::chrono::nanoseconds sync_interval{std::chrono::seconds{1}};  // only in SyncMode::interval
  std::chrono::nanoseconds drain{std::chrono::seconds{30}};
};

struct ModelPlan {
  std::string path;  // absolute
  SourcePosition where;
};

struct BackendPlan {
  std::string plugin;     // id, or an absolute library path
  std::string plugin_id;  // from its manifest
  std::string plugin_version;
  uint32_t threads = 0;            // 0 = what the process may use
  std::vector<ParamValue> params;  // in the order of the plugin's schema, every one present
  SourcePosition where;
};

enum class Determinism { fast, strict };
template <>
inline constexpr Choice<Determinism> choices<Determinism>[] = {{"fast", Determinism::fast},
                                                               {"strict", Determinism::strict}};

struct EnginePlan {
  uint32_t batch_rows = 0;              // 0 = the backend's choice
  uint32_t in_flight = 0;               // 0 = as many sessions as memory allows
  uint64_t memory = uint64_t{4} << 30;  // bytes of KV pages
  uint32_t max_rebuild_rows = 96;       // a session, a decision
  Determinism determinism = Determinism::fast;
};

// [policy.X], with the manifest's defaults filled in.
struct PolicyPlan {
  std::string name;       // X
  std::string plugin;     // id, or an absolute library path
  std::string plugin_id;  // from its manifest
  std::string plugin_version;
  PluginNeeds needs;  // from its manifest
  uint32_t chunk = 256;
  Budget budget;
  BudgetScope budget_scope = BudgetScope::head;
  double budget_floor = 0.2;
  BudgetOf budget_of = BudgetOf::end;
  Dtype k_type = Dtype::f16, v_type = Dtype::f16;
  PositionMode positions = PositionMode::original;
  std::vector<Phase> when;  // subset of needs.phases, in enum order; empty: never
  uint32_t period = 1;
  uint32_t slack = 0;
  SlotShare n_sink, n_recent, n_stabilizers, n_local;
  uint32_t query_prefix = 0;
  OnPluginError on_plugin_error = OnPluginError::fail;
  std::vector<ParamValue> params;  // in the order of the plugin's schema, every one present
  std::shared_ptr<const PolicyPlan> inner;  // whose scores this one wraps; of its host keys none count
  SourcePosition where;
};

enum class StageKind { read_jsonl, read_text, generate, score, compare, write_jsonl };
template <>
inline constexpr Choice<StageKind> choices<StageKind>[] = {{"read_jsonl", StageKind::read_jsonl},
                                                           {"read_text", StageKind::read_text},
                                                           {"generate", StageKind::generate},
                                                           {"score", StageKind::score},
                                                           {"compare", StageKind::compare},
                                                           {"write_jsonl", StageKind::write_jsonl}};

// A prompt template cut at its {fields}; "{{" and "}}" were braces.
struct TemplatePart {
  bool is_field = false;
  std::string text;  // literal text, or the field's name
};

// read_jsonl, read_text. Globs are expanded, and missing files found (66), when the run opens them.
struct ReadPlan {
  std::vector<std::string>
      paths;                      // absolute files or globs, in order; "-" = standard input (read_jsonl only)
  std::optional<uint64_t> limit;  // requests
  std::optional<uint64_t> split;  // bytes of a request, in whole lines; none = a request a file. read_text only
  std::map<std::string, std::string> map;  // request field → the line's field; read_jsonl only
  // Makes `prompt`; empty = none. Fields: of the line (read_jsonl); `text` and `name` of the file
  // (read_text).
  std::vector<TemplatePart> prompt_template;
};

// What is done when the prompt and its answer exceed what can be addressed.
enum class Overflow { error, truncate_middle };
template <>
inline constexpr Choice<Overflow> choices<Overflow>[] = {{"error", Overflow::error},
                                                         {"truncate_middle", Overflow::truncate_middle}};

// Values of a request line win over these.
struct GeneratePlan {
  PolicyPlan policy;
  uint32_t max_new_tokens = 256;
  double temperature = 0.0;     // 0 = greedy
  uint32_t top_k = 0;           // 0 = off
  double top_p = 1.0;           // 1 = off
  double min_p = 0.0;           // 0 = off
  double repeat_penalty = 1.0;  // 1 = off
  std::vector<std::string> stop;
  uint64_t seed = 0;
  uint32_t samples = 1;
  bool chat = false;
  bool ignore_eos = false;
  bool parse_special = false;
  Overflow overflow = Overflow::error;
};

struct ScorePlan {
  PolicyPlan policy;
  uint32_t window = 2048;  // tokens; the second half of each is scored
};

// Joins the rows of the stages in `from` by id and sample; the first is the reference of the others.
struct ComparePlan {
  std::vector<std::string> metrics;  // text metrics (exact_match, agree_tokens, …), kl, top1, row paths; no repeats
  // The logits behind the reference's tokens are wanted.
  bool needs_logits() const;
};

enum class RowFormat { tenure, openai };
template <>
inline constexpr Choice<RowFormat> choices<RowFormat>[] = {{"tenure", RowFormat::tenure},
                                                           {"openai", RowFormat::openai}};

// A view rebuilt from results.jsonl: the rows of the stages in `from`, of every cell.
struct WritePlan {
  std::string path;                 // relative to the run directory, without ".."
  std::vector<std::string> fields;  // row fields and paths ("kv.peak_bytes"); empty = all
  RowFormat format = RowFormat::tenure;
};

struct StagePlan {
  std::string id;
  StageKind kind = StageKind::read_jsonl;
  std::vector<std::string>
      from;  // generate, score: one read stage; compare: the reference, then others; write_jsonl: stages with
             // rows; read: none
  std::variant<ReadPlan, GeneratePlan, ScorePlan, ComparePlan, WritePlan> work;
  SourcePosition where;  // of its id
};

// One set of values of the matrix's axes. Without a matrix there is one cell, named "".
struct CellPlan {
  std::string name;  // "policy.locret.budget=1/8"; several axes joined by "," in key order
  std::map<std::string, std::string> axes;  // path → value text
  ModelPlan model;
  BackendPlan backend;
  EnginePlan engine;
  // What runs in this cell: generate and score stages, after the read stages that feed them, and compare
  // stages last. A stage that no axis touches is only in the first cell, which is then named "" and has no
  // axes; its reader may be in other cells as well. A compare stage may take from that cell and its own.
  std::vector<StagePlan> stages;
};

enum class Aggregate { mean, p50, p90, p99, max };
template <>
inline constexpr Choice<Aggregate> choices<Aggregate>[] = {{"mean", Aggregate::mean},
                                                           {"p50", Aggregate::p50},
                                                           {"p90", Aggregate::p90},
                                                           {"p99", Aggregate::p99},
                                                           {"max", Aggregate::max}};

enum class GatePer { cell, all };
template <>
inline constexpr Choice<GatePer> choices<GatePer>[] = {{"cell", GatePer::cell}, {"all", GatePer::all}};

struct GatePlan {
  std::string stage;
  std::string metric;  // a path of the row: "exact_match", "kv.peak_bytes", "segments.exact_match"
  Aggregate aggregate = Aggregate::mean;
  // In the metric's own unit (bytes, ms, tokens, tokens/s, shares); with `versus` a ratio. At least one is
  // present.
  std::optional<double> min, max;
  std::map<std::string, std::string> where_axes;  // axis → value text, as in CellPlan::axes
  std::string where_label;                        // of a segment; empty = any
  std::optional<std::pair<uint64_t, uint64_t>> where_prompt_tokens;  // inclusive
  GatePer per = GatePer::cell;
  std::string versus;                // a stage; empty = none
  std::optional<double> confidence;  // in (0, 1): the bound of the mean's interval must hold the limit too
  std::string text;                  // as a person reads it: "evicted: mean exact_match >= 0.9"
  SourcePosition where;
};

// Told of a running request when its figure leaves the limits; changes nothing.
struct AlertPlan {
  std::string stage;   // generate or score
  std::string metric;  // released, rebuilt, rebuild_rate or kv_bytes
  Aggregate aggregate = Aggregate::mean;  // of the steps in the window
  uint32_t window = 50;                   // steps of the request
  std::optional<double> min, max;         // at least one is present; bytes as plain numbers
  bool versus_median = false;             // limits are ratios to the median over requests that are done
  std::string text;                       // as a person reads it: "evicted: mean rebuild_rate over 50 steps > 0.2"
  SourcePosition where;
};

struct Plan {
  std::string file;  // the pipeline, absolute; empty when it came as text
  std::string name;  // the file's stem
  RunPlan run;
  std::vector<CellPlan> cells;     // in the order they run; never empty
  std::vector<StagePlan> writers;  // the write_jsonl stages, once for all cells
  std::vector<GatePlan> gates;
  std::vector<AlertPlan> alerts;
};

}  // namespace tenure
