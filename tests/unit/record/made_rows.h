// Rows made from a seed, with every optional part now present, now absent.
#pragma once

#include <random>
#include <string>

#include "record/row.h"

class MadeRows {
 public:
  explicit MadeRows(uint32_t seed) : random_(seed) {}

  tenure::ResultRow row() {
    using namespace tenure;
    ResultRow r;
    r.id = text(12) + "i";
    r.cell = coin() ? "policy.locret.budget=1/8" : "";
    r.axes = {{"policy.locret.budget", std::string("1/8")}, {"n", int64_t{7}}, {"x", 0.125}, {"on", coin()}};
    r.stage = "evicted";
    r.policy = coin() ? "locret" : "";
    r.sample = pick(5);
    r.attempt = 1 + pick(3);
    r.status = static_cast<RowStatus>(pick(4));
    if (r.status == RowStatus::error)
      r.error = RowError{static_cast<RowCode>(pick(9)), text(40), coin() ? "locret" : ""};
    r.text = text(200);
    for (int64_t i = pick(20); i > 0; --i) r.tokens.push_back(static_cast<int32_t>(pick(49152)));
    r.finish = static_cast<Finish>(pick(5));
    if (coin()) r.answer = {text(5), text(5)};
    r.exact_match = number();
    for (int64_t i = pick(4); i > 0; --i)
      r.segments.push_back(segment(static_cast<int64_t>(r.segments.size())));
    r.seed = (static_cast<uint64_t>(random_()) << 32) | random_();
    r.determinism = coin() ? "strict" : "fast";
    r.label = coin() ? "far" : "";
    r.metadata = coin() ? R"({"big":123456789012345678901234567890,"a":[1,null,"é"]})" : "";
    if (coin()) r.usage = RowUsage{pick(100000), pick(500)};
    if (coin())
      r.timing = RowTiming{number(), number(), number(), number(), number(), number(), number(), number()};
    if (coin()) {
      r.kv = RowKv{
          coin() ? std::optional<int64_t>(pick(4096)) : std::nullopt, pick(1 << 30), 1, 2, 3, 4, number()};
      r.kv_curve = {{256, 10}, {512, 20}};
    }
    if (coin()) r.events = RowEvents{pick(1000), pick(1000), pick(1000), pick(1000)};
    if (coin()) r.score = RowScore{number(), number(), number()};
    if (coin()) r.fidelity = {{"kl", 0.25}, {"top1", 1.0 / 3}};
    if (coin()) r.alerts = {{"rebuild_rate", 0.3, 0.2, 77}};
    if (coin()) r.compare = {{"exact_match", 1}, {"kv.peak_bytes", 0.1251}};
    return r;
  }

  bool coin() { return random_() % 2 == 0; }
  int64_t pick(int64_t below) { return static_cast<int64_t>(random_() % static_cast<uint32_t>(below)); }
  std::optional<double> number() {
    if (coin()) return std::nullopt;
    return std::uniform_real_distribution<double>(-1e3, 1e6)(random_);
  }
  // Well-formed UTF-8 with everything JSON must escape.
  std::string text(int64_t most) {
    static const std::string pieces[] = {"a",    "B",   " ",  "\n", "\"",        "\\",
                                         "\t",   "é",   "漢", "😀",  "</script>", std::string(1, '\0'),
                                         "\x1f", "\x7f"};
    std::string out;
    for (int64_t i = pick(most + 1); i > 0; --i) out += pieces[pick(14)];
    return out;
  }

 private:
  tenure::RowSegment segment(int64_t index) {
    using namespace tenure;
    return {.index = index,
            .label = text(4),
            .text = text(30),
            .tokens = {1, 2},
            .finish = static_cast<Finish>(pick(5)),
            .exact_match = coin() ? std::optional<bool>(coin()) : std::nullopt,
            .logprob = number(),
            .token_accuracy = number(),
            .ttft_ms = number(),
            .released = pick(100),
            .rebuilt = pick(100),
            .kv_bytes = pick(1 << 20)};
  }

  std::mt19937 random_;
};
