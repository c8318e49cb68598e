// `tenure bench`: how fast a model is with a policy on this machine, and how far from what its memory allows.
#pragma once

#include <cstdint>
#include <functional>
#include <map>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "bench/bandwidth.h"
#include "bench/bench_plan.h"
#include "bench/machine.h"
#include "bench/op_times.h"
#include "plugin/host_services.h"

namespace tenure {

// Of the repeats.
struct Spread {
  double median = 0, p10 = 0, p90 = 0;
};

struct PrefillReport {
  Spread tps;       // tokens a second
  double gops = 0;  // of matrix products, a second; as the median
};

struct DecodeReport {
  Spread tps;             // of all sequences together
  uint64_t n_passes = 0;  // of one repeat
  // The policy's part of a pass of all sequences: hooks, evidence read for them, decisions, moves.
  double pass_ms = 0;
  Spread policy_ms;
  // What the passes had to read, over their tokens: rows of one pass share the weights.
  double weight_bytes_per_token = 0;
  double kv_bytes_per_token = 0;

  double policy_share() const { return pass_ms > 0 ? policy_ms.median / pass_ms : 0; }
  double gbps() const { return (weight_bytes_per_token + kv_bytes_per_token) * tps.median / 1e9; }
};

struct WorkloadReport {
  std::string policy;  // plugin id
  std::string budget;  // empty = none
  uint32_t prompt = 0, generate = 0, sequences = 0;
  std::optional<PrefillReport> prefill;  // a single token is no prefill
  std::optional<DecodeReport> decode;    // absent when the sequences never decoded all at once
  uint64_t n_at_once = 0;                // as in Round
  uint64_t kv_peak_bytes = 0;
  uint64_t kv_end_bytes = 0;
  uint64_t released = 0;  // slots
  // Of the process until then, loading included; nothing where the kernel cannot leave out the probe.
  std::optional<uint64_t> peak_resident_bytes;
  std::optional<double> other_cpu;  // share of all CPUs
};

struct BenchReport {
  Processor processor;
  std::string backend, device, code_path;
  std::string model_file, model_name, architecture;
  std::map<Dtype, uint64_t> bytes_by_type;  // of the weights in the file
  uint64_t weights_bytes = 0;               // as packed
  std::string kv_type;
  uint32_t threads = 0;
  uint32_t repeat = 0;
  double load_seconds = 0;  // from opening the file to packed weights
  bool knows_peak_resident = false;
  Bandwidth before, after;
  std::vector<WorkloadReport> workloads;
  std::vector<PassTimes> passes;  // when ops were asked for

  double probe_gbps() const { return (before.all_threads + after.all_threads) / 2; }
};

enum class BenchKind : uint8_t { workloads, ops };

// `say` is told what goes on, a line at a time. Throws Error. Main thread.
BenchReport measure(PluginSearch search, const BenchSettings& settings, BenchKind kind,
                    const std::function<void(std::string_view)>& say);

}  // namespace tenure
