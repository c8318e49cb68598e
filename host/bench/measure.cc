#include "bench/measure.h"

#include <fmt/format.h>

#include <algorithm>
#include <chrono>

#include "bench/round.h"
#include "engine/threads.h"
#include "error/error.h"
#include "graph/runtime.h"
#include "record/distribution.h"

namespace tenure {
namespace {

using Say = std::function<void(std::string_view)>;

// What attention costs shows only beside a long cache; a prefill is one full batch.
constexpr uint32_t decode_slots[] = {1024, 8192};
constexpr uint32_t max_prefill_rows = 512;

Spread spread_of(const Distribution& values) {
  return {.median = values.quantile(0.5), .p10 = values.quantile(0.1), .p90 = values.quantile(0.9)};
}

PrefillReport prefill_report(const std::vector<Round>& rounds) {
  Distribution tps, gops;
  for (const Round& round : rounds) {
    tps.add(static_cast<double>(round.n_prefilled) / round.prefill_seconds);
    gops.add(static_cast<double>(round.prefill_ops) / round.prefill_seconds / 1e9);
  }
  return {.tps = spread_of(tps), .gops = gops.quantile(0.5)};
}

std::optional<DecodeReport> decode_report(const std::vector<Round>& rounds) {
  const Round& last = rounds.back();
  Distribution tps, pass_ms, policy_ms;
  for (const Round& round : rounds) {
    if (round.n_decoded == 0) return std::nullopt;
    tps.add(static_cast<double>(round.n_decoded) / round.decode_seconds);
    const auto n_passes = static_cast<double>(round.n_decode_passes);
    pass_ms.add(1e3 * round.decode_seconds / n_passes);
    policy_ms.add(1e3 * round.decode_policy_seconds / n_passes);
  }
  const auto n = static_cast<double>(last.n_decoded);
  return DecodeReport{.tps = spread_of(tps),
                      .n_passes = last.n_decode_passes,
                      .pass_ms = pass_ms.quantile(0.5),
                      .policy_ms = spread_of(policy_ms),
                      .weight_bytes_per_token = static_cast<double>(last.decode_weight_bytes) / n,
                      .kv_bytes_per_token = static_cast<double>(last.decode_kv_bytes) / n};
}

WorkloadReport run_workload(Runtime& runtime, const PolicyPlan& plan, Workload workload, uint32_t repeat) {
  workload.policy = &runtime.policy(plan);
  const OtherCpu others;
  std::vector<Round> rounds;
  for (uint32_t i = 0; i < repeat; ++i)
    rounds.push_back(run_round(runtime.engine(), workload, runtime.model().config().n_vocab));
  WorkloadReport report{.policy = plan.plugin_id,
                        .budget = plan.budget.kind == BudgetKind::none ? "" : to_text(plan.budget),
                        .prompt = workload.prompt,
                        .generate = workload.generate,
                        .sequences = workload.sequences,
                        .decode = decode_report(rounds),
                        .n_at_once = rounds.back().n_at_once,
                        .kv_peak_bytes = rounds.back().kv_peak_bytes,
                        .kv_end_bytes = rounds.back().kv_end_bytes,
                        .released = rounds.back().released,
                        .other_cpu = others.share()};
  if (workload.prompt > 1) report.prefill = prefill_report(rounds);
  return report;
}

void check_context(const BenchSettings& settings, const ModelConfig& config) {
  const uint32_t longest = *std::max_element(settings.prompts.begin(), settings.prompts.end());
  const uint64_t n_total = uint64_t{longest} + settings.generate;
  if (n_total <= config.n_ctx) return;
  throw Error(Diagnostic{
      .code = Code::usage,
      .text = fmt::format("a prompt of {} tokens and {} generated ones are {}; the model's context is {}",
                          longest, settings.generate, n_total, config.n_ctx),
      .help = "a shorter --prompt or --generate"});
}

void run_workloads(Runtime& runtime, const Plan& plan, const BenchSettings& settings, const Say& say,
                   BenchReport& report) {
  check_context(settings, runtime.model().config());
  for (const PolicyPlan* policy : bench_policies(plan)) {
    // First touch of buffers and pages is nobody's speed.
    const uint32_t warm_prompt = std::min(64u, settings.prompts.back());
    run_workload(runtime, *policy, {.prompt = warm_prompt, .generate = std::min(8u, settings.generate)}, 1);
    for (const uint32_t prompt : settings.prompts) {
      for (const uint32_t sequences : settings.sequences) {
        say(fmt::format("{}: {} {} of {} + {} tokens, {} times", policy->plugin_id, sequences,
                        sequences == 1 ? "sequence" : "sequences", prompt, settings.generate,
                        settings.repeat));
        const Workload workload{.prompt = prompt, .generate = settings.generate, .sequences = sequences};
        report.workloads.push_back(run_workload(runtime, *policy, workload, settings.repeat));
        if (report.knows_peak_resident) report.workloads.back().peak_resident_bytes = peak_resident_bytes();
      }
    }
  }
}

void run_ops(Runtime& runtime, const Plan& plan, const BenchSettings& settings, const Say& say,
             BenchReport& report) {
  const Dtype kv_type = runtime.policy(*bench_policies(plan).front()).k_type;
  runtime.stop_engine();
  Backend& backend = runtime.backend();
  for (const uint32_t n_slots : decode_slots) {
    say(fmt::format("ops of a decode pass over {} slots", n_slots));
    const PassShape shape{.decode = true, .n_rows = 1, .n_slots = n_slots};
    report.passes.push_back(time_ops(backend, runtime.model(), shape, kv_type, settings.repeat));
  }
  const uint32_t n_rows = std::clamp(backend.properties().batch_rows, 1u, max_prefill_rows);
  say(fmt::format("ops of a prefill pass of {} rows", n_rows));
  report.passes.push_back(
      time_ops(backend, runtime.model(), {.n_rows = n_rows, .n_slots = n_rows}, kv_type, settings.repeat));
}

void describe(const Runtime& runtime, Backend& backend, const BenchSettings& settings, BenchReport& report) {
  const Model& model = runtime.model();
  report.backend = backend.id();
  report.device = backend.properties().device;
  report.code_path = backend.properties().code_path;
  report.model_file = settings.model;
  report.model_name = model.config().name;
  report.architecture = model.config().architecture;
  report.bytes_by_type = model.given_weights().bytes_by_type;
  report.weights_bytes = model.weights_bytes();
  report.kv_type = settings.kv_type;
}

}  // namespace

BenchReport measure(PluginSearch search, const BenchSettings& settings, BenchKind kind, const Say& say) {
  const Plan plan = bench_plan(settings, search);
  BenchReport report{.processor = processor(),
                     .threads = settings.threads > 0 ? settings.threads : usable_threads(),
                     .repeat = settings.repeat};
  say("probing the memory's bandwidth");
  report.before = read_bandwidth(report.threads);
  report.knows_peak_resident = forget_peak_resident();  // the probe's buffer is not the model's
  {
    Runtime runtime(std::move(search), [&](uint32_t, std::string_view id, std::string_view text) {
      say(fmt::format("{}: {}", id, text));
    });
    say(fmt::format("loading {}", settings.model));
    const auto began = std::chrono::steady_clock::now();
    runtime.load(plan.cells.front());
    report.load_seconds = std::chrono::duration<double>(std::chrono::steady_clock::now() - began).count();
    describe(runtime, runtime.backend(), settings, report);
    if (kind == BenchKind::workloads) run_workloads(runtime, plan, settings, say, report);
    if (kind == BenchKind::ops) run_ops(runtime, plan, settings, say, report);
  }
  report.after = read_bandwidth(report.threads);
  return report;
}

}  // namespace tenure
