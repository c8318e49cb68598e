#include "manifest/manifest.h"

#include <fmt/format.h>

#include <algorithm>
#include <limits>
#include <set>

#include "manifest/table_reader.h"

namespace tenure {
namespace {

using Kind = TomlValue::Kind;

bool is_id(std::string_view id) {
  const auto is_letter = [](char c) { return c >= 'a' && c <= 'z'; };
  const auto is_rest = [&](char c) { return is_letter(c) || (c >= '0' && c <= '9') || c == '_' || c == '-'; };
  return !id.empty() && is_letter(id.front()) && std::all_of(id.begin(), id.end(), is_rest);
}

bool is_sha256(std::string_view s) {
  const auto is_hex = [](char c) { return (c >= '0' && c <= '9') || (c >= 'a' && c <= 'f'); };
  return s.size() == 64 && std::all_of(s.begin(), s.end(), is_hex);
}

class ManifestReader {
 public:
  ManifestReader(const TomlDocument& document, Findings& findings)
      : top_(document.root, "the manifest", findings), findings_(findings) {
    manifest_.file = document.source->file();
  }

  PluginManifest read() {
    read_top();
    read_abi();
    read_binary();
    read_needs();
    read_defaults();
    manifest_.params = read_params("param");
    read_training();
    top_.finish();
    return std::move(manifest_);
  }

 private:
  const TomlValue* section(std::string_view key, bool required) {
    const TomlMember* member = required ? top_.require(key, "a table") : top_.take(key);
    if (!member) return nullptr;
    if (member->value.is(Kind::table)) return &member->value;
    top_.wrong_type(*member, "a table");
    return nullptr;
  }

  void read_top() {
    top_.require("manifest", "1, the version of this format");
    top_.integer("manifest", 1, 1);
    if (const TomlMember* id = top_.require("id", "the plugin's name"); id && top_.text("id")) {
      manifest_.id = id->value.string;
      if (!is_id(manifest_.id)) top_.bad_value(*id, "lower-case letters, digits, _ and -, a letter first");
    }
    top_.require("kind", "\"policy\" or \"backend\"");
    if (const auto kind = top_.choice<PluginKind>("kind")) manifest_.kind = *kind;
    top_.require("version", "the plugin's own version");
    manifest_.version = top_.text("version").value_or("");
    manifest_.vendor = top_.text("vendor").value_or("");
    manifest_.license = top_.text("license").value_or("");
    manifest_.summary = top_.text("summary").value_or("");
  }

  void read_abi() {
    const TomlValue* table = section("abi", true);
    if (!table) return;
    TableReader abi(*table, "[abi]", findings_);
    constexpr uint32_t most = 65535;
    for (const auto& [key, target, what] :
         {std::tuple{"major", &manifest_.abi_major, "the ABI's major version"},
          std::tuple{"built", &manifest_.abi_built, "the minor it was built against"},
          std::tuple{"min", &manifest_.abi_min, "the oldest minor it runs on"}}) {
      abi.require(key, what);
      *target = abi.count(key, 1, most).value_or(0);
    }
    if (manifest_.abi_min > manifest_.abi_built) {
      abi.out_of_range(*abi.take("min"), fmt::format("{}", manifest_.abi_min), "at most `built`");
    }
    abi.finish();
  }

  void read_binary() {
    const TomlValue* table = section("binary", true);
    if (!table) return;
    TableReader binary(*table, "[binary]", findings_);
    binary.require("os", "\"linux\"");
    manifest_.os = binary.text("os").value_or("");
    binary.require("arch", "\"x86_64\" or \"aarch64\"");
    manifest_.arch = binary.text("arch").value_or("");
    const TomlMember* sha = binary.take("sha256");
    if (sha && !sha->value.is(Kind::string)) {
      binary.wrong_type(*sha, "64 hex digits");
    } else if (sha && !sha->value.string.empty()) {
      manifest_.sha256 = sha->value.string;
      if (!is_sha256(manifest_.sha256)) binary.bad_value(*sha, "64 lower-case hex digits, or \"\"");
    }
    binary.finish();
  }

  void read_needs() {
    const TomlValue* table = section("needs", false);
    if (!table) return;
    TableReader needs(*table, "[needs]", findings_);
    PluginNeeds& n = manifest_.needs;
    if (const auto v = needs.choice<Concurrency>("concurrency")) n.concurrency = *v;
    if (manifest_.kind == PluginKind::policy) read_policy_needs(needs, n);
    needs.finish();
  }

  static void read_policy_needs(TableReader& needs, PluginNeeds& n) {
    if (auto v = needs.choice_list<Evidence>("evidence")) n.evidence = std::move(*v);
    if (const auto v = needs.choice<Location>("location")) n.location = *v;
    if (const auto v = needs.choice<Granularity>("granularity")) n.granularity = *v;
    if (const auto v = needs.boolean("rebuild")) n.rebuild = *v;
    if (const auto v = needs.boolean("chunk_invariant")) n.chunk_invariant = *v;
    if (auto v = needs.choice_list<Phase>("phases")) n.phases = std::move(*v);
    if (auto v = needs.choice_list<PositionMode>("positions")) {
      n.positions = std::move(*v);
      const TomlMember& member = *needs.take("positions");
      const bool has_auto =
          std::find(n.positions.begin(), n.positions.end(), PositionMode::automatic) != n.positions.end();
      if (has_auto || n.positions.empty()) {
        needs.out_of_range(member, has_auto ? "\"auto\"" : "empty", "\"original\", \"rank\" or both");
      }
    }
    if (auto v = needs.choice_list<BudgetScope>("scopes")) {
      n.scopes = std::move(*v);
      if (n.scopes.empty()) needs.out_of_range(*needs.take("scopes"), "empty", "\"head\", \"layer\", \"global\" or some of them");
    }
    if (const auto v = needs.boolean("inner")) n.inner = *v;
    constexpr int64_t most = int64_t{1} << 30;
    for (const auto& [key, target] : {std::pair{"state_bytes_per_sequence", &n.state_bytes_per_sequence},
                                      std::pair{"state_floats_per_slot", &n.state_floats_per_slot},
                                      std::pair{"state_floats_per_token", &n.state_floats_per_token}}) {
      if (const auto v = needs.integer(key, 0, most)) *target = static_cast<uint64_t>(*v);
    }
  }

  void read_defaults() {
    const TomlMember* member = manifest_.kind == PluginKind::policy ? top_.take("defaults") : nullptr;
    if (!member) return;
    if (!member->value.is(Kind::table)) {
      top_.wrong_type(*member, "a table");
      return;
    }
    TableReader defaults(member->value, "[defaults]", findings_);
    manifest_.defaults = read_host_keys(defaults);
    defaults.finish("host keys of a policy: " + joined(defaults.known()));
  }

  // The [[KEY]] tables, those that are tables.
  std::vector<const TomlValue*> tables(const std::string& key) {
    std::vector<const TomlValue*> found;
    const TomlMember* member = top_.take(key);
    if (member && !member->value.is(Kind::array)) top_.wrong_type(*member, fmt::format("[[{}]] tables", key));
    if (!member || !member->value.is(Kind::array)) return found;
    for (const TomlValue& item : member->value.items) {
      if (item.is(Kind::table)) {
        found.push_back(&item);
      } else {
        findings_.add(item.place, Code::wrong_type, fmt::format("\"{0}\" holds something else than [[{0}]] tables", key));
      }
    }
    return found;
  }

  // [[param]], or [[training]] of `tenure train`.
  std::vector<ParamSpec> read_params(const std::string& key) {
    std::vector<ParamSpec> specs;
    std::set<std::string> names;
    const bool is_training = key == "training";
    const auto& host_names = is_training                              ? recipe_keys()
                             : manifest_.kind == PluginKind::policy ? host_key_names()
                                                                      : backend_keys();
    for (const TomlValue* item : tables(key)) {
      TableReader table(*item, fmt::format("[[{}]]", key), findings_);
      ParamSpec spec = read_param_spec(table);
      if (is_training) table.require("default", "the value of a recipe that says nothing of it");
      table.finish();
      check_name(spec, table, host_names, names);
      check_weights(spec, table, is_training || manifest_.kind != PluginKind::policy, specs);
      specs.push_back(std::move(spec));
    }
    return specs;
  }

  void check_weights(const ParamSpec& spec, TableReader& table, bool takes_none, const std::vector<ParamSpec>& before) {
    if (spec.type != ParamType::weights) return;
    const auto is_weights = [](const ParamSpec& other) { return other.type == ParamType::weights; };
    if (takes_none || std::any_of(before.begin(), before.end(), is_weights))
      table.bad_value(*table.take("type"), "another type: a policy takes one file of weights, and nothing else does");
  }

  void check_name(const ParamSpec& spec, TableReader& table, const std::vector<std::string>& host_names,
                  std::set<std::string>& names) {
    const TomlMember* name = table.take("name");
    if (!name || spec.name.empty()) return;
    if (std::find(host_names.begin(), host_names.end(), spec.name) != host_names.end()) {
      findings_.add(name->value.place, Code::duplicate_id,
                    fmt::format("parameter \"{}\" has the name of a host key", spec.name),
                    "set its default in [defaults]");
    } else if (!names.insert(spec.name).second) {
      findings_.add(name->value.place, Code::duplicate_id,
                    fmt::format("two parameters named \"{}\"", spec.name));
    } else if (!is_id(spec.name)) {
      table.bad_value(*name, "lower-case letters, digits, _ and -, a letter first");
    }
  }

  void read_training() {
    if (manifest_.kind != PluginKind::policy) return;
    manifest_.training = read_params("training");
    std::set<std::string> names;
    for (const TomlValue* item : tables("recipe")) {
      TableReader table(*item, "[[recipe]]", findings_);
      const TomlMember* name = table.require("name", "what --recipe calls it");
      Recipe recipe = read_recipe(table, {}, manifest_.training);
      recipe.name = table.text("name").value_or("");
      table.finish();
      if (name && !recipe.name.empty() && !names.insert(recipe.name).second) {
        findings_.add(name->value.place, Code::duplicate_id, fmt::format("two recipes named \"{}\"", recipe.name));
      }
      manifest_.recipes.push_back(std::move(recipe));
    }
  }

  static const std::vector<std::string>& backend_keys() {
    static const std::vector<std::string> names = {"plugin", "threads"};
    return names;
  }

  PluginManifest manifest_;
  TableReader top_;
  Findings& findings_;
};

// Whatever is wrong with a manifest is the plugin's fault, not the pipeline's.
[[noreturn]] void rethrow_as_manifest_error(const Error& error) {
  std::vector<Diagnostic> diagnostics = error.diagnostics();
  for (Diagnostic& d : diagnostics) d.code = Code::plugin_manifest;
  throw Error(std::move(diagnostics));
}

PluginManifest manifest_of(const TomlDocument& document) {
  Findings findings;
  PluginManifest manifest = ManifestReader(document, findings).read();
  findings.throw_if_any();
  return manifest;
}

}  // namespace

PluginManifest read_manifest(const std::filesystem::path& file) try {
  return manifest_of(read_toml_file(file));
} catch (const Error& error) {
  rethrow_as_manifest_error(error);
}

PluginManifest parse_manifest(std::string text, std::string file) try {
  return manifest_of(parse_toml(std::move(text), std::move(file), {}));
} catch (const Error& error) {
  rethrow_as_manifest_error(error);
}

}  // namespace tenure
