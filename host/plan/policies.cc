// [policy.X]: host keys over the manifest's defaults over the host's, and the plugin's own parameters.
#include <fmt/format.h>

#include <algorithm>

#include "plan/resolver.h"

namespace tenure {
namespace {

using Kind = TomlValue::Kind;

bool allows(const PluginNeeds& needs, PositionMode mode) {
  const auto has = [&](PositionMode m) {
    return std::find(needs.positions.begin(), needs.positions.end(), m) != needs.positions.end();
  };
  if (mode == PositionMode::automatic) return has(PositionMode::original) && has(PositionMode::rank);
  return has(mode);
}

template <typename E>
std::string names_of(const std::vector<E>& values) {
  std::string out;
  for (E value : values) out += fmt::format("{}\"{}\"", out.empty() ? "" : ", ", name_of(value));
  return out.empty() ? "none" : out;
}

// The value of the last layer that says something.
template <typename T>
T layered(const std::optional<T>& pipeline, const std::optional<T>& manifest, T host) {
  return pipeline ? *pipeline : manifest ? *manifest : host;
}

class PolicyReader {
 public:
  // is_inner: another policy wraps it, whose budget rules.
  PolicyReader(const TomlValue& table, std::string name, bool is_inner, const ResolveContext& context)
      : reader_(table, fmt::format("[policy.{}]", name), context.findings, NoteKeys::allowed),
        is_inner_(is_inner),
        context_(context) {
    policy_.name = std::move(name);
  }

  PolicyPlan read(std::string_view implied_plugin) {
    const TomlMember* plugin = implied_plugin.empty()
                                   ? reader_.require("plugin", "a policy's id or library path")
                                   : reader_.take("plugin");
    const Place place = plugin ? plugin->value.place : reader_.table().place;
    policy_.where = position_of(place);
    const HostKeys keys = read_host_keys(reader_);
    if (plugin && !reader_.text("plugin")) return policy_;
    if (!plugin && implied_plugin.empty()) return policy_;
    policy_.plugin = plugin ? plugin_reference(*plugin) : std::string(implied_plugin);
    const PluginManifest* manifest = find_plugin(place, policy_.plugin, PluginKind::policy, context_);
    if (!manifest) return policy_;
    policy_.plugin_id = manifest->id;
    policy_.plugin_version = manifest->version;
    policy_.needs = manifest->needs;
    resolve(keys, manifest->defaults);
    check(place);
    policy_.params = validate(manifest->params, reader_);
    finish(*manifest);
    return policy_;
  }

 private:
  void resolve(const HostKeys& mine, const HostKeys& defaults) {
    PolicyPlan& p = policy_;
    p.chunk = layered(mine.chunk, defaults.chunk, p.chunk);
    p.budget = layered(mine.budget, defaults.budget, p.budget);
    p.budget_scope = layered(mine.budget_scope, defaults.budget_scope, p.budget_scope);
    p.budget_floor = layered(mine.budget_floor, defaults.budget_floor, p.budget_floor);
    p.budget_of = layered(mine.budget_of, defaults.budget_of, p.budget_of);
    const Dtype kv = layered(mine.kv_type, defaults.kv_type, Dtype::f16);
    // A pipeline's kv_type says more about K and V than a manifest's k_type.
    const auto side = [&](const std::optional<Dtype>& own, const std::optional<Dtype>& by_default) {
      return own ? *own : mine.kv_type ? kv : by_default.value_or(kv);
    };
    p.k_type = side(mine.k_type, defaults.k_type);
    p.v_type = side(mine.v_type, defaults.v_type);
    p.positions = layered(mine.positions, defaults.positions, p.needs.positions.front());
    p.when = layered(mine.when, defaults.when, p.needs.phases);
    p.period = layered(mine.period, defaults.period, p.period);
    p.slack = layered(mine.slack, defaults.slack, p.slack);
    p.n_sink = layered(mine.n_sink, defaults.n_sink, p.n_sink);
    p.n_recent = layered(mine.n_recent, defaults.n_recent, p.n_recent);
    p.n_stabilizers = layered(mine.n_stabilizers, defaults.n_stabilizers, p.n_stabilizers);
    p.n_local = layered(mine.n_local, defaults.n_local, p.n_local);
    p.query_prefix = layered(mine.query_prefix, defaults.query_prefix, p.query_prefix);
    p.on_plugin_error = layered(mine.on_plugin_error, defaults.on_plugin_error, p.on_plugin_error);
  }

  Place place_of(std::string_view key, const Place& otherwise) {
    const TomlMember* member = reader_.take(key);
    return member ? member->value.place : otherwise;
  }

  void check(const Place& plugin_place) {
    Findings& findings = context_.findings;
    const PluginNeeds& needs = policy_.needs;
    if (!allows(needs, policy_.positions)) {
      findings.add(place_of("positions", plugin_place), Code::unsupported_combination,
                   fmt::format("policy \"{}\" does not run in positions \"{}\"; its manifest says {}",
                               policy_.plugin_id, name_of(policy_.positions), names_of(needs.positions)));
    }
    if (std::find(needs.scopes.begin(), needs.scopes.end(), policy_.budget_scope) == needs.scopes.end()) {
      findings.add(place_of("budget_scope", plugin_place), Code::unsupported_combination,
                   fmt::format("policy \"{}\" does not rank under budget_scope \"{}\"; its manifest says {}",
                               policy_.plugin_id, name_of(policy_.budget_scope), names_of(needs.scopes)));
    }
    if (needs.inner && !is_inner_ && !reader_.take("inner")) {
      findings.add(plugin_place, Code::missing_key,
                   fmt::format("{} needs \"inner\": policy \"{}\" wraps the scores of another", reader_.title(),
                               policy_.plugin_id),
                   "inner = \"snapkv\", or the name of a [policy.NAME]");
    }
    for (Phase phase : policy_.when) {
      if (std::find(needs.phases.begin(), needs.phases.end(), phase) != needs.phases.end()) continue;
      findings.add(place_of("when", plugin_place), Code::unsupported_combination,
                   fmt::format("policy \"{}\" does not select at \"{}\"; its manifest says {}",
                               policy_.plugin_id, name_of(phase), names_of(needs.phases)));
    }
    if (!is_inner_ && !policy_.when.empty() && policy_.budget.kind == BudgetKind::none && !budget_was_tried()) {
      findings.add(
          plugin_place, Code::budget_needed,
          fmt::format("{} needs a budget: policy \"{}\" releases slots", reader_.title(), policy_.plugin_id),
          "budget = 512, \"1/8\" or \"24 MiB\"");
    }
  }

  // A budget that is malformed or misspelt is a finding already; that it is missing would be a second one for
  // one mistake.
  bool budget_was_tried() {
    const auto& known = reader_.known();
    return std::any_of(reader_.table().members.begin(), reader_.table().members.end(),
                       [&](const TomlMember& member) {
                         if (member.key == "budget") return true;
                         return std::find(known.begin(), known.end(), member.key) == known.end() &&
                                !nearest(member.key, {"budget"}).empty();
                       });
  }

  void finish(const PluginManifest& manifest) {
    std::vector<std::string> own;
    for (const ParamSpec& spec : manifest.params) own.push_back(spec.name);
    reader_.finish(fmt::format("host keys: {}; keys of policy \"{}\" {}: {}", joined(host_key_names()),
                               manifest.id, manifest.version, own.empty() ? "none" : joined(own)));
  }

  PolicyPlan policy_;
  TableReader reader_;
  bool is_inner_;
  const ResolveContext& context_;
};

// Whether some stage stands on the policy that nobody wrote down.
bool default_is_used(const TomlValue& root) {
  const TomlMember* stages = root.find("stage");
  if (!stages) return false;
  for (const TomlValue& stage : stages->value.items) {
    const TomlMember* kind = stage.find("kind");
    const TomlMember* policy = stage.find("policy");
    const bool runs = kind && (kind->value.string == "generate" || kind->value.string == "score");
    if (runs && (!policy || policy->value.string == default_policy)) return true;
  }
  return false;
}

// The value of `inner` in a section, or nullptr.
const TomlValue* inner_of(const TomlValue& section) {
  const TomlMember* inner = section.is(Kind::table) ? section.find("inner") : nullptr;
  return inner && inner->value.is(Kind::string) ? &inner->value : nullptr;
}

// A section of that name, else a plugin with its defaults.
void read_inner(const TomlValue& name, PolicyPlan& outer, const std::map<std::string, PolicyPlan>& policies,
                const TomlValue& sections, const ResolveContext& context) {
  const auto found = policies.find(name.string);
  if (found == policies.end()) {
    TomlValue nothing;
    nothing.place = name.place;
    outer.inner = std::make_shared<PolicyPlan>(PolicyReader(nothing, name.string, true, context).read(name.string));
    return;
  }
  const TomlMember* section = sections.find(name.string);
  if (section && inner_of(section->value)) {
    context.findings.add(name.place, Code::unsupported_combination,
                         fmt::format("\"inner\" of [policy.{}] is \"{}\", which has an \"inner\" itself: one policy wraps one other",
                                     outer.name, name.string));
    return;
  }
  outer.inner = std::make_shared<PolicyPlan>(found->second);
}

}  // namespace

std::map<std::string, PolicyPlan> read_policies(const TomlValue& root, const ResolveContext& context) {
  std::map<std::string, PolicyPlan> policies;
  const TomlMember* section = root.find("policy");
  if (section && !section->value.is(Kind::table)) {
    context.findings.add(section->value.place, Code::wrong_type, "\"policy\" is not a section",
                         "write [policy.NAME]");
    return policies;
  }
  if (section) {
    for (const TomlMember& member : section->value.members) {
      if (member.key.starts_with("x-")) continue;
      if (!member.value.is(Kind::table)) {
        context.findings.add(member.key_place, Code::wrong_type,
                             fmt::format("\"{}\" in [policy] is {}; wanted a section [policy.{}]", member.key,
                                         kind_name(member.value.kind), member.key));
        continue;
      }
      const bool is_inner = std::any_of(section->value.members.begin(), section->value.members.end(), [&](const TomlMember& other) {
        const TomlValue* inner = inner_of(other.value);
        return inner && inner->string == member.key;
      });
      policies.emplace(member.key, PolicyReader(member.value, member.key, is_inner, context).read({}));
    }
    for (auto& [name, policy] : policies) {
      const TomlMember* member = section->value.find(name);
      if (const TomlValue* inner = inner_of(member->value)) read_inner(*inner, policy, policies, section->value, context);
    }
  }
  const std::string implied(default_policy);
  if (!policies.contains(implied) && default_is_used(root)) {
    TomlValue nothing;
    nothing.place = root.place;
    policies.emplace(implied, PolicyReader(nothing, implied, false, context).read(default_policy));
  }
  return policies;
}

}  // namespace tenure
