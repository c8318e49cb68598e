#include "plugin/describe.h"

#include <fmt/format.h>

#include <algorithm>

#include "error/error.h"
#include "plugin/library.h"

namespace tenure {
namespace {

template <typename E>
std::string names(const std::vector<E>& values) {
  std::string text;
  for (const E value : values) text += fmt::format("{}{}", text.empty() ? "" : ", ", name_of(value));
  return text.empty() ? "none" : text;
}

template <typename T>
std::string value_text(const T& value) {
  if constexpr (std::is_enum_v<T>) {
    return std::string(name_of(value));
  } else if constexpr (std::is_arithmetic_v<T>) {
    return fmt::format("{}", value);
  } else if constexpr (std::is_same_v<T, std::vector<Phase>>) {
    return names(value);
  } else {
    return to_text(value);
  }
}

std::string defaults_text(const HostKeys& keys) {
  std::string text;
  const auto add = [&](const char* name, const auto& key) {
    if (key) text += fmt::format("  {:<22}{}\n", name, value_text(*key));
  };
  add("chunk", keys.chunk);
  add("budget", keys.budget);
  add("budget_scope", keys.budget_scope);
  add("budget_floor", keys.budget_floor);
  add("budget_of", keys.budget_of);
  add("kv_type", keys.kv_type);
  add("k_type", keys.k_type);
  add("v_type", keys.v_type);
  add("positions", keys.positions);
  add("when", keys.when);
  add("period", keys.period);
  add("slack", keys.slack);
  add("n_sink", keys.n_sink);
  add("n_recent", keys.n_recent);
  add("n_stabilizers", keys.n_stabilizers);
  add("n_local", keys.n_local);
  add("query_prefix", keys.query_prefix);
  add("on_plugin_error", keys.on_plugin_error);
  return text;
}

std::string needs_text(const PluginNeeds& needs) {
  const std::pair<const char*, std::string> lines[] = {
      {"evidence", names(needs.evidence)},
      {"granularity", std::string(name_of(needs.granularity))},
      {"decides", names(needs.phases)},
      {"positions", names(needs.positions)},
      {"rebuild", needs.rebuild ? "yes" : "no"},
      {"chunk invariant", needs.chunk_invariant ? "yes" : "no"},
      {"layers at once", needs.concurrency == Concurrency::per_layer ? "yes" : "no"},
      {"state a sequence", fmt::format("{} bytes", needs.state_bytes_per_sequence)},
      {"state a slot", fmt::format("{} x f32", needs.state_floats_per_slot)},
      {"state a token", fmt::format("{} x f32", needs.state_floats_per_token)}};
  std::string text = "needs\n";
  for (const auto& [name, value] : lines) text += fmt::format("  {:<22}{}\n", name, value);
  return text;
}

std::string param_text(const ParamSpec& param) {
  std::string text = fmt::format("  {:<22}{}", param.name, name_of(param.type));
  text += param.default_value ? fmt::format(", default {}", to_text(*param.default_value)) : ", required";
  if (param.min) text += fmt::format(", at least {}", number_text(*param.min));
  if (param.max) text += fmt::format(", at most {}", number_text(*param.max));
  if (!param.values.empty()) text += fmt::format(", one of {}", fmt::join(param.values, " "));
  if (!param.doc.empty()) text += fmt::format(": {}", param.doc);
  return text + "\n";
}

std::string recipe_text(const Recipe& recipe) {
  std::string text = fmt::format("recipe \"{}\"{}{}\n", recipe.name, recipe.doc.empty() ? "" : ": ", recipe.doc);
  for (const auto& [name, value] : settings_of(recipe)) text += fmt::format("  {:<22}{}\n", name, value);
  return text;
}

void add_verdict(PluginHealth& health, const Candidate& candidate) {
  const std::string library = candidate.library.string();
  if (candidate.verdict != CandidateVerdict::taken) {
    health.text += fmt::format("skipped  {}: {}\n", library, candidate.reason);
    // A plugin that another one shadows is how people override; the rest is not as its owner meant it.
    if (candidate.verdict != CandidateVerdict::shadowed) health.is_healthy = false;
    return;
  }
  const PluginManifest& manifest = candidate.file->manifest;
  try {
    const std::string sha256 = verify_plugin(*candidate.file);
    health.text += fmt::format("ok       {} {} {}, sha256 {}\n", name_of(manifest.kind), manifest.id,
                               manifest.version, sha256.substr(0, 16));
  } catch (const Error& error) {
    const Diagnostic& first = error.diagnostics().front();
    health.is_healthy = false;
    health.text += fmt::format("refused  {} {}: {}\n", name_of(manifest.kind), manifest.id, first.text);
    if (!first.help.empty()) health.text += fmt::format("         fix: {}\n", first.help);
  }
}

}  // namespace

std::string list_text(const PluginSearch& search) {
  std::string text;
  for (const Candidate& candidate : search.candidates) {
    if (candidate.verdict != CandidateVerdict::taken) continue;
    const PluginManifest& manifest = candidate.file->manifest;
    text += fmt::format("{:<16} {:<8} {:<8} {}\n", manifest.id, name_of(manifest.kind), manifest.version,
                        manifest.summary);
  }
  return text;
}

std::string show_text(const PluginFile& file) {
  const PluginManifest& manifest = file.manifest;
  std::string text =
      fmt::format("{} \"{}\" {}, {}\n{}\n{}\nABI {}, built against minor {}, runs on {} and later\n",
                  name_of(manifest.kind), manifest.id, manifest.version, manifest.vendor, manifest.summary,
                  file.library.string(), manifest.abi_major, manifest.abi_built, manifest.abi_min);
  if (manifest.kind == PluginKind::policy) text += needs_text(manifest.needs);
  if (const std::string defaults = defaults_text(manifest.defaults); !defaults.empty())
    text += "defaults\n" + defaults;
  if (!manifest.params.empty()) text += "parameters\n";
  for (const ParamSpec& param : manifest.params) text += param_text(param);
  if (!manifest.training.empty()) text += "training parameters\n";
  for (const ParamSpec& param : manifest.training) text += param_text(param);
  for (const Recipe& recipe : manifest.recipes) text += recipe_text(recipe);
  return text;
}

PluginHealth doctor(const PluginSearch& search) {
  PluginHealth health;
  for (size_t i = 0; i < search.folders.size(); ++i) {
    const SearchFolder& folder = search.folders[i];
    const std::string& note = search.folder_notes[i];
    health.text += fmt::format("searched {} ({}){}{}\n", folder.path.string(), folder.origin,
                               note.empty() ? "" : ": ", note);
    for (const Candidate& candidate : search.candidates) {
      if (candidate.folder == i) add_verdict(health, candidate);
    }
  }
  return health;
}

}  // namespace tenure
