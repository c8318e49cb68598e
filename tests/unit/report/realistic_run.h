// A run directory such as a needle sweep leaves: two stages and a compare stage, three budgets, five context
// lengths.
#pragma once

#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <random>
#include <string>
#include <vector>

#include "record/gate.h"
#include "record/run_directory.h"
#include "record/summary.h"

struct RealisticRun {
  int64_t n_requests = 120;
  std::vector<std::string> budgets = {"1/2", "1/4", "1/8"};
  std::vector<int64_t> contexts = {512, 1024, 2048, 4096, 8192};
  std::string prompt_text;  // ends up in answers, ids and errors
  bool finish = true;
  uint32_t seed = 1;
  double slower = 1;

  void write(const std::string& path) const {
    using namespace tenure;
    const RunDirectory run = RunDirectory::open({.path = path, .manifest = std::string(manifest)});
    RowWriter rows = run.open_rows({});
    Summarizer summarizer;
    GateSpec gate{.stage = "evicted", .metric = "exact_match", .min = 0.8};
    GateJudge gates({gate});
    std::mt19937 random(seed);
    std::vector<Cell> cells;
    const auto write_row = [&](const ResultRow& row) {
      rows.write(row);
      summarizer.add(row);
      gates.add(row);
    };
    for (int64_t i = 0; i < n_requests; ++i) write_row(generated(i, "", random));
    for (const std::string& budget : budgets) {
      cells.push_back({"policy.locret.budget=" + budget, {{"policy.locret.budget", budget}}});
      for (int64_t i = 0; i < n_requests; ++i) {
        const ResultRow row = generated(i, budget, random);
        write_row(row);
        write_row(compared(row, random));
      }
    }
    if (!finish) return;
    Summary summary{
        .rss_peak_bytes = 1'912'602'624, .pool_peak_bytes = 402'653'184, .weights_bytes = 269'060'552};
    summary.cells = summarizer.cells();
    summary.gate_specs = {gate};
    summary.gates = gates.judge(cells);
    summary.verdict = judge({.rows = summarizer.totals(), .allowed = {.count = 100}, .gates = summary.gates});
    run.write_summary(to_json(summary));
    run.write_done(rows.n_rows(), rows.n_bytes());
  }

 private:
  static constexpr std::string_view manifest = R"json({
    "pipeline": "needles.toml",
    "model": {"path": "models/smollm2-135m-instruct-f16.gguf", "sha256": "5f2c"},
    "backend": {"plugin": "cpu", "threads": 16},
    "engine": {"memory": "4 GiB", "determinism": "strict"},
    "policy": {"locret": {"plugin": "locret", "budget": "1/8", "n_sink": 4}},
    "build": "0.1.0 (8d653c4)",
    "machine": "AMD EPYC 9354, 32 cores"})json";

  static double share_of(const std::string& budget) {
    return budget.empty() ? 1 : 1 / static_cast<double>(std::stoi(budget.substr(2)));
  }

  tenure::ResultRow head(int64_t i, const std::string& budget) const {
    tenure::ResultRow row;
    row.id = fmt::format("needle-{}{}", i, prompt_text);
    if (!budget.empty()) {
      row.cell = "policy.locret.budget=" + budget;
      row.axes = {{"policy.locret.budget", budget}};
    }
    return row;
  }

  tenure::ResultRow generated(int64_t i, const std::string& budget, std::mt19937& random) const {
    using namespace tenure;
    ResultRow row = head(i, budget);
    const double share = share_of(budget);
    const int64_t context = contexts[static_cast<size_t>(i) % contexts.size()];
    const int64_t n = context - 1 - static_cast<int64_t>(random() % (static_cast<uint32_t>(context) / 10));
    const double depth = std::log2(static_cast<double>(context) / 512);
    row.stage = budget.empty() ? "standard" : "evicted";
    row.policy = budget.empty() ? "full" : "locret";
    row.answer = {"741906"};
    if (!budget.empty() && i % 41 == 40) {
      row.status = RowStatus::error;
      row.error =
          RowError{RowCode::bad_plan, "layer 7: 3 slots over the budget of 512" + prompt_text, "locret"};
      return row;
    }
    const double right = 0.97 - 0.02 * depth - (1 - share) * 0.05 * depth * (0.6 + 0.4 / (8 * share));
    row.exact_match = std::uniform_real_distribution<double>(0, 1)(random) < right ? 1 : 0;
    row.text = (*row.exact_match == 1 ? "741906." : "I am not sure.") + prompt_text;
    row.finish = Finish::eos;
    const double noise = std::uniform_real_distribution<double>(0.9, 1.1)(random) * slower;
    constexpr int64_t bytes_per_token = 23'040;
    const auto budget_slots =
        std::max<int64_t>(64, static_cast<int64_t>(std::ceil(static_cast<double>(n) * share)));
    row.usage = RowUsage{n, 9};
    row.timing = RowTiming{.queue_ms = 3,
                           .ttft_ms = static_cast<double>(n) / 4.1 * noise * (0.7 + 0.3 * share),
                           .tpot_ms = (4 + static_cast<double>(n) * share / 900) * noise,
                           .total_ms = static_cast<double>(n) / 3.9 * noise,
                           .prefill_tps = 4100 / noise / (0.7 + 0.3 * share),
                           .decode_tps = 1000 / ((4 + static_cast<double>(n) * share / 900) * noise),
                           .policy_ms = budget.empty() ? 0 : static_cast<double>(n) / 210};
    row.kv = RowKv{.peak_bytes = std::min(n, budget_slots + 256) * bytes_per_token,
                   .end_bytes = std::min(n, budget_slots) * bytes_per_token,
                   .full_bytes = n * bytes_per_token,
                   .bytes_per_token = static_cast<double>(bytes_per_token) * share};
    if (!budget.empty()) row.kv->budget_slots = budget_slots;
    for (int64_t fed = n / 32; fed <= n; fed += std::max<int64_t>(1, n / 32)) {
      row.kv_curve.push_back({fed, std::min(fed, budget_slots + fed % 256) * bytes_per_token});
    }
    row.events = RowEvents{.released = std::max<int64_t>(0, n - budget_slots) * 90};
    return row;
  }

  tenure::ResultRow compared(const tenure::ResultRow& of, std::mt19937& random) const {
    using namespace tenure;
    ResultRow row;
    row.id = of.id;
    row.cell = of.cell;
    row.axes = of.axes;
    row.stage = "delta";
    row.usage = of.usage;
    if (of.status != RowStatus::ok) {
      row.status = RowStatus::skipped;
      return row;
    }
    const double kl = std::exponential_distribution<double>(1.0)(random) * 0.02 *
                      static_cast<double>(of.kv->full_bytes) / static_cast<double>(of.kv->end_bytes);
    row.compare = {
        {"kl", kl},
        {"top1", 1 / (1 + kl)},
        {"exact_match", *of.exact_match},
        {"kv.peak_bytes", static_cast<double>(of.kv->peak_bytes) / static_cast<double>(of.kv->full_bytes)}};
    return row;
  }
};
