// What a policy is made of and what it holds: needs, parameters, memory.
#include <fmt/format.h>

#include <algorithm>

#include "check/checks.h"
#include "check/heap.h"
#include "error/error.h"
#include "graph/policy_weights.h"
#include "plan/load.h"

namespace tenure {
namespace {

constexpr int64_t generous = 8192;  // bytes of heap that may come and go without meaning anything

std::string toml_of(const ParamValue& value) {
  const std::string text = to_text(value);
  const bool is_text = value.type == ParamType::enumeration || value.type == ParamType::size ||
                       value.type == ParamType::duration;
  if (is_text) return toml_string(text);
  const bool looks_whole = value.type == ParamType::real && text.find_first_of(".en") == std::string::npos;
  return looks_whole ? text + ".0" : text;
}

// The ends of a parameter's range, or all of a short list.
std::vector<ParamValue> extremes_of(const ParamSpec& spec) {
  std::vector<ParamValue> values;
  const auto add = [&](auto value) {
    values.push_back({.name = spec.name, .type = spec.type, .value = value});
  };
  if (spec.type == ParamType::boolean) {
    add(false);
    add(true);
  }
  if (spec.type == ParamType::enumeration) {
    for (const std::string& value : spec.values) add(value);
  }
  for (const std::optional<double>& end : {spec.min, spec.max}) {
    if (!end || spec.type == ParamType::list) continue;
    if (spec.type == ParamType::real) {
      add(*end);
    } else {
      add(static_cast<int64_t>(*end));
    }
  }
  return values;
}

std::vector<SessionScript> four(const Subject& subject, const LoadedPolicy& policy) {
  return {subject.script(policy, 1, 100, 12), subject.script(policy, 2, 41, 20),
          subject.script(policy, 3, 75, 8), subject.script(policy, 4, 60, 4)};
}

}  // namespace

Verdict check_needs(Subject& subject) {
  uint32_t n_asked = 1;
  const LoadedPolicy policy = subject.load(usual_variant());
  for (const ParamSpec& spec : subject.manifest().params) {
    for (const ParamValue& value : extremes_of(spec)) {
      try {
        subject.load(usual_variant({{value.name, toml_of(value)}}));
      } catch (const Error& error) {
        if (error.code() == Code::plugin_abi)
          return Verdict::failed(
              fmt::format("with {} = {}: {}", value.name, to_text(value), error.diagnostics().front().text));
      }
      ++n_asked;
    }
  }
  const PolicyNeeds& needs = policy.settings->policy->needs();
  return Verdict::ok(fmt::format("asked {} times; evidence bits {:#x}", n_asked, needs.evidence));
}

Verdict check_create(Subject& subject) {
  subject.load(usual_variant());
  subject.unload();
  subject.load(usual_variant());
  return Verdict::ok();
}

Verdict check_parameters(Subject& subject) {
  const LoadedPolicy usual = subject.load(usual_variant());
  if (const auto stop = trouble(usual, subject.run(four(subject, usual)))) return *stop;
  std::string tried;
  for (const ParamSpec& spec : subject.manifest().params) {
    for (const ParamValue& value : extremes_of(spec)) {
      const std::string setting = fmt::format("{} = {}", value.name, to_text(value));
      try {
        const LoadedPolicy policy = subject.load(usual_variant({{value.name, toml_of(value)}}));
        if (const auto stop = trouble(policy, subject.run(four(subject, policy))))
          return Verdict::failed(fmt::format("with {}: {}", setting, stop->text));
      } catch (const Error& error) {
        return Verdict::failed(fmt::format("with {}: {}", setting, error.diagnostics().front().text));
      }
      tried += fmt::format("{}{}", tried.empty() ? "" : ", ", setting);
    }
  }
  return tried.empty() ? Verdict::skipped("it has no parameter with an end to its range")
                       : Verdict::ok(tried);
}

Verdict check_leaks(Subject& subject) {
  LoadedPolicy policy = subject.load(usual_variant());
  const Library& library = policy.settings->policy->library();
  const HostServices& services = library.services();
  subject.unload();
  const uint64_t at_rest = services.memory_bytes();

  // Sequences: after the first round, whatever is kept for the next is there.
  policy = subject.load(usual_variant());
  policy.referee->measure_heap(true);
  policy.referee->keep_trace(false);
  if (const auto stop = trouble(policy, subject.run(four(subject, policy)))) return *stop;
  const int64_t heap_once = policy.referee->heap_bytes();
  const uint64_t lent_once = services.memory_bytes();
  constexpr int n_rounds = 16;
  for (int round = 0; round < n_rounds; ++round) {
    if (const auto stop = trouble(policy, subject.run(four(subject, policy)))) return *stop;
  }
  if (const uint64_t lent = services.memory_bytes(); lent > lent_once) {
    return Verdict::failed(
        fmt::format("{} sequences left {} bytes of tenure.mem/1 behind", 4 * n_rounds, lent - lent_once));
  }
  if (const int64_t grown = policy.referee->heap_bytes() - heap_once; grown > generous) {
    return Verdict::failed(fmt::format("{} sequences left {} bytes on the heap", 4 * n_rounds, grown));
  }
  subject.unload();
  if (services.memory_bytes() > at_rest) {
    return Verdict::failed(
        fmt::format("destroy left {} bytes of tenure.mem/1 behind", services.memory_bytes() - at_rest));
  }

  // Policies.
  constexpr int n_warm = 32, n_created = 256;
  int64_t heap_warm = 0;
  const auto weights = PolicyWeights::open(library.file(), subject.params(), subject.model_config());
  const PolicyLoan loan{.backend = &subject.backend(), .weights = weights ? &weights->tensors() : nullptr};
  for (int i = 0; i < n_created; ++i) {
    if (i == n_warm) heap_warm = heap_in_use();
    const Policy again(library, subject.model_info(), subject.params(), loan);
  }
  if (services.memory_bytes() > at_rest) {
    return Verdict::failed(fmt::format("{} times create and destroy left {} bytes of tenure.mem/1 behind",
                                       n_created, services.memory_bytes() - at_rest));
  }
  if (const int64_t grown = heap_in_use() - heap_warm; grown > generous) {
    return Verdict::failed(
        fmt::format("{} times create and destroy left {} bytes on the heap", n_created - n_warm, grown));
  }
  return Verdict::ok(fmt::format("{} sequences, {} policies", 4 * (n_rounds + 1), n_created));
}

Verdict check_heap(Subject& subject) {
  constexpr uint32_t n_short = 1024, n_long = 4096;
  constexpr int64_t bytes_per_token = 2;
  const LoadedPolicy policy = subject.load(usual_variant({{"chunk", "64"}, {"budget", "64"}}));
  policy.referee->measure_heap(true);
  policy.referee->keep_trace(false);
  const std::vector<SessionResult> results = subject.run({subject.script(policy, 1, n_long, 16)});
  if (const auto stop = trouble(policy, results)) return *stop;
  const std::optional<int64_t> early = policy.referee->heap_bytes_at(n_short);
  const std::optional<int64_t> late = policy.referee->heap_bytes_at(n_long);
  if (!early || !late) return Verdict::skipped("no hook was called so late");
  if (const int64_t grown = *late - *early; grown > bytes_per_token * (n_long - n_short)) {
    return Verdict::failed(fmt::format(
        "its hooks took {} bytes more while {} tokens grew to {}: what grows belongs into declared state",
        grown, n_short, n_long));
  }
  return Verdict::ok(fmt::format("{} bytes at {} tokens, {} at {}", *early, n_short, *late, n_long));
}

}  // namespace tenure
