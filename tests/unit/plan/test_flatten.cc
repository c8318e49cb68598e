#include <doctest/doctest.h>

#include "fixture.h"
#include "plan/flatten.h"

using namespace tenure;
using namespace tenure::test;

namespace {

std::vector<std::string> differing(const Plan& a, const Plan& b) {
  const auto x = flatten(a), y = flatten(b);
  std::vector<std::string> keys;
  for (const auto& [key, value] : x) {
    if (!y.contains(key) || y.at(key) != value) keys.push_back(key);
  }
  for (const auto& [key, value] : y) {
    if (!x.contains(key)) keys.push_back(key);
  }
  return keys;
}

using Keys = std::vector<std::string>;

}  // namespace

TEST_CASE("flatten - canonical values under dotted keys") {
  const auto flat = flatten(load(with_policy));
  CHECK(flat.at("stage.out.policy.budget") == "1/8");
  CHECK(flat.at("stage.out.policy.params.weights") == "builtin");
  CHECK(flat.at("stage.out.policy.when") == "[chunk, decode]");
  CHECK(flat.at("stage.out.max_new_tokens") == "256");
  CHECK(flat.at("engine.memory") == "4 GiB");
  CHECK(flat.at("model.path") == "/w/m.gguf");
  CHECK(flat.at("run.sync") == "1 s");
  CHECK(flat.at("cells") == "");
}

TEST_CASE("flatten - every key that is set differently differs, and nothing else") {
  const Plan base = load(with_policy);
  CHECK(differing(base, load(with_policy + "\n# a comment\n")).empty());
  const std::pair<const char*, const char*> rows[] = {
      {"policy.lo.budget=1/4", "stage.out.policy.budget"},
      {"policy.lo.n_recent=3", "stage.out.policy.n_recent"},
      {"policy.lo.n_local=3", "stage.out.policy.n_local"},
      {"policy.lo.query_prefix=3", "stage.out.policy.query_prefix"},
      {"policy.lo.slack=3", "stage.out.policy.slack"},
      {"policy.lo.v_type=f32", "stage.out.policy.v_type"},
      {"policy.lo.budget_of=peak", "stage.out.policy.budget_of"},
      {"policy.lo.budget_floor=0.5", "stage.out.policy.budget_floor"},
      {"policy.lo.decode_scoring=last", "stage.out.policy.params.decode_scoring"},
      {"stage.out.seed=1", "stage.out.seed"},
      {"stage.out.stop=x", "stage.out.stop"},
      {"stage.out.chat=true", "stage.out.chat"},
      {"stage.out.top_p=0.5", "stage.out.top_p"},
      {"stage.out.overflow=truncate_middle", "stage.out.overflow"},
      {"stage.prompts.path=/q", "stage.prompts.path"},
      {"stage.prompts.template=\"{x}\"", "stage.prompts.template"},
      {"stage.prompts.limit=1", "stage.prompts.limit"},
      {"model.path=/m", "model.path"},
      {"engine.determinism=strict", "engine.determinism"},
      {"engine.max_rebuild_rows=1", "engine.max_rebuild_rows"},
      {"run.time_limit=1s", "run.time_limit"},
      {"backend.pinned=true", "backend.params.pinned"},
      {"backend.threads=2", "backend.threads"},
      {"run.max_errors=0.5", "run.max_errors"},
  };
  for (const auto& [set, key] : rows) {
    CAPTURE(set);
    PlanOptions o = options();
    o.set = {set};
    CHECK(differing(base, load(with_policy, o)) == Keys{key});
  }
}

TEST_CASE("flatten - what differs between cells has the cell's name") {
  const auto flat = flatten(load(with_policy + "[matrix]\n\"policy.lo.budget\" = [1, 2]\n"));
  CHECK(flat.at("stage.out.policy.budget @ policy.lo.budget=1") == "1");
  CHECK(flat.at("stage.out.policy.budget @ policy.lo.budget=2") == "2");
  CHECK(flat.at("stage.out.policy.chunk") == "128");
  CHECK(flat.at("cells") == "policy.lo.budget=1\npolicy.lo.budget=2");
  CHECK_FALSE(flat.contains("stage.out.policy.budget"));
}

TEST_CASE("may_differ - what changes no row may, what changes one may not") {
  for (const char* key : {"backend.threads", "engine.in_flight", "run.max_errors", "run.retries", "run.sync",
                          "run.drain", "gate.1", "writer.view.path"}) {
    CHECK(may_differ(key));
  }
  for (const char* key : {"backend.plugin", "engine.memory", "engine.determinism", "run.time_limit",
                          "stage.out.seed", "model.path", "cells", "stage.out.policy.budget @ x"}) {
    CHECK_FALSE(may_differ(key));
  }
}

TEST_CASE("plan_text - every cell, each value once unless it changes") {
  const std::string text =
      plan_text(load(with_policy + "[[gate]]\nstage = \"out\"\nmetric = \"exact_match\"\nmin = 1\n"
                                   "[matrix]\n\"policy.lo.budget\" = [1, 2]\n"));
  const auto count = [&](std::string_view what) {
    int n = 0;
    for (size_t at = text.find(what); at != std::string::npos; at = text.find(what, at + 1)) ++n;
    return n;
  };
  CHECK(count("\ncell policy.lo.budget=1\n") == 1);
  CHECK(count("\ncell policy.lo.budget=2\n") == 1);
  CHECK(count("  stage.out.policy.budget = ") == 2);
  CHECK(count("  stage.out.policy.chunk = 128\n") == 1);
  CHECK(count("  gate.1 = out: mean exact_match >= 1\n") == 1);
}
