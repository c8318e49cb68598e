// What the plan's tests share: manifests as plugins would ship them, and ways to load a text and look at its
// findings.
#pragma once

#include <doctest/doctest.h>

#include <map>
#include <string>
#include <vector>

#include "plan/load.h"

namespace tenure::test {

inline const std::string abi_and_binary =
    "version = \"1.0\"\n[abi]\nmajor = 1\nbuilt = 1\nmin = 1\n[binary]\nos = \"linux\"\narch = \"x86_64\"\n";

// cpu: a backend with one parameter. full: never releases. locret: releases, has defaults and parameters.
// sinks: rank only.
inline const std::map<std::string, PluginManifest>& manifests() {
  static const std::map<std::string, PluginManifest> all = [] {
    std::map<std::string, PluginManifest> out;
    const auto add = [&](const std::string& id, const std::string& kind, const std::string& rest) {
      out.emplace(id, parse_manifest("manifest = 1\nid = \"" + id + "\"\nkind = \"" + kind + "\"\n" +
                                         abi_and_binary + rest,
                                     id + ".toml"));
    };
    add("cpu", "backend", "[[param]]\nname = \"pinned\"\ntype = \"bool\"\ndefault = false\n");
    add("full", "policy", "");
    add("locret", "policy",
        "[needs]\nevidence = [\"k_post\"]\nphases = [\"chunk\", \"decode\"]\npositions = [\"original\", "
        "\"rank\"]\n"
        "[defaults]\nn_sink = 4\nn_stabilizers = \"1/4\"\nchunk = 128\nbudget_scope = \"layer\"\npositions = "
        "\"auto\"\n"
        "k_type = \"f32\"\n"
        "[[param]]\nname = \"weights\"\ntype = \"path\"\ndefault = \"builtin\"\n"
        "[[param]]\nname = \"decode_scoring\"\ntype = \"enum\"\nvalues = [\"head\", \"last\"]\ndefault = "
        "\"head\"\n");
    add("sinks", "policy", "[needs]\nphases = [\"decode\"]\npositions = [\"rank\"]\n");
    return out;
  }();
  return all;
}

inline PlanOptions options() {
  PlanOptions o;
  o.manifests = [](std::string_view id, PluginKind kind) -> const PluginManifest* {
    const size_t slash = id.rfind('/');
    const std::string name(slash == std::string_view::npos ? id : id.substr(slash + 1));
    const auto found = manifests().find(name == "liblocret.so" ? "locret" : name);
    return found != manifests().end() && found->second.kind == kind ? &found->second : nullptr;
  };
  o.environment = [](const std::string& name) -> std::optional<std::string> {
    if (name == "DATA") return "data";
    return std::nullopt;
  };
  return o;
}

// The smallest pipeline: lines 1 to 11.
inline const std::string small =
    "tenure = 1\n"
    "[model]\n"
    "path = \"m.gguf\"\n"
    "[[stage]]\n"
    "id = \"prompts\"\n"
    "kind = \"read_jsonl\"\n"
    "path = \"p.jsonl\"\n"
    "[[stage]]\n"
    "id = \"out\"\n"
    "kind = \"generate\"\n"
    "from = \"prompts\"\n";

// The small one with a policy: lines 12 to 15 are [policy.lo], and `out` uses it.
inline const std::string with_policy =
    small + "policy = \"lo\"\n[policy.lo]\nplugin = \"locret\"\nbudget = \"1/8\"\n";

inline Plan load(const std::string& text, const PlanOptions& o = options()) {
  return parse_plan(text, "exp.toml", "/w", o);
}

inline std::vector<Diagnostic> findings(const std::string& text, const PlanOptions& o = options()) {
  try {
    load(text, o);
  } catch (const Error& error) {
    return error.diagnostics();
  }
  return {};
}

inline const StagePlan& stage(const CellPlan& cell, std::string_view id) {
  for (const StagePlan& s : cell.stages) {
    if (s.id == id) return s;
  }
  FAIL("no stage ", id);
  return cell.stages.front();
}

inline const GeneratePlan& generate(const CellPlan& cell, std::string_view id = "out") {
  return std::get<GeneratePlan>(stage(cell, id).work);
}

}  // namespace tenure::test
