// The one way from TOML to a Plan; validate, plan, graph and run share it.
#pragma once

#include <cstdint>
#include <filesystem>
#include <functional>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "plan/plan.h"

namespace tenure {

// The manifest of a plugin by id or absolute library path; null when there is none of that kind. May throw
// Error, which is shown with the rest. The manifest must live until load_plan() returns.
using ManifestLookup = std::function<const PluginManifest*(std::string_view id_or_path, PluginKind kind)>;
using Environment = std::function<std::optional<std::string>(const std::string& name)>;

std::optional<std::string> process_environment(const std::string& name);

struct PlanOptions {
  ManifestLookup manifests;
  Environment environment = process_environment;
  // "policy.locret.budget=1/8": the value is TOML, or else a string. Wins over the file and over a matrix
  // axis of that key.
  std::vector<std::string> set;
  std::optional<uint64_t> limit;  // requests a read stage gives at most
};

// Throws Error with every finding (78; 66 when the file is missing; 69 when a plugin is). Main thread only.
Plan load_plan(const std::filesystem::path& file, const PlanOptions&);
// The same for a text that is not a file. Relative paths in it are relative to `folder`.
Plan parse_plan(std::string text, std::string name, const std::filesystem::path& folder, const PlanOptions&);

// The text as a TOML string, quotes included: for pipelines that a command makes of its options.
std::string toml_string(std::string_view text);

}  // namespace tenure
