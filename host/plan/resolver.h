// One pipeline tree, with the values of one cell in it, turned into plan values. Internal to this room.
#pragma once

#include <map>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "manifest/table_reader.h"
#include "plan/load.h"
#include "plan/plan.h"

namespace tenure {

// The only ids the host knows: what an absent [backend] and a stage without `policy` mean.
constexpr std::string_view default_backend = "cpu";
constexpr std::string_view default_policy = "full";

// What the resolvers of sections share.
struct ResolveContext {
  Findings& findings;
  const ManifestLookup& manifests;
  std::optional<uint64_t> limit;
};

// Paths become absolute by the folder of the text that names them.
std::string absolute_path(const Place&, std::string_view path);

// Each reads its section from the root; an absent one gives the defaults, wrong values leave them and a
// finding.
RunPlan read_run(const TomlValue& root, Findings&);
ModelPlan read_model(const TomlValue& root, Findings&);
BackendPlan read_backend(const TomlValue& root, const ResolveContext&);
EnginePlan read_engine(const TomlValue& root, Findings&);

// By name, every [policy.X] and the implied default one. A policy with findings may be incomplete.
std::map<std::string, PolicyPlan> read_policies(const TomlValue& root, const ResolveContext&);

// All stages, each after those it takes from; checked as a graph.
std::vector<StagePlan> read_stages(const TomlValue& root, const std::map<std::string, PolicyPlan>&,
                                   const ResolveContext&);

// A plugin by id or path for a section; null and a finding when there is none.
const PluginManifest* find_plugin(const Place&, const std::string& plugin, PluginKind, const ResolveContext&);
// The plugin named by the section: its id as written, or an absolute path.
std::string plugin_reference(const TomlMember&);

bool gives_rows(StageKind);      // generate, score, compare
bool takes_requests(StageKind);  // generate, score
bool gives_requests(StageKind);  // read_jsonl, read_text

}  // namespace tenure
