// [run], [model], [backend], [engine].
#include <fmt/format.h>

#include <algorithm>
#include <limits>

#include "plan/resolver.h"

namespace tenure {
namespace {

using Kind = TomlValue::Kind;

// The section's table; null when absent or, with a finding, no table.
const TomlValue* section(const TomlValue& root, std::string_view name, Findings& findings) {
  const TomlMember* member = root.find(name);
  if (!member) return nullptr;
  if (member->value.is(Kind::table)) return &member->value;
  findings.add(member->value.place, Code::wrong_type,
               fmt::format("\"{}\" is {}; wanted a section [{}]", name, kind_name(member->value.kind), name));
  return nullptr;
}

void read_max_errors(TableReader& table, RunPlan& run) {
  const TomlMember* member = table.take("max_errors");
  if (!member) return;
  if (member->value.is(Kind::real)) {
    if (const auto share = table.number("max_errors", 0, 1)) run.max_error_share = *share;
  } else if (const auto count = table.integer("max_errors", 0, std::numeric_limits<int64_t>::max())) {
    run.max_errors = static_cast<uint64_t>(*count);
  }
}

void read_sync(TableReader& table, RunPlan& run) {
  const TomlMember* member = table.take("sync");
  if (!member) return;
  constexpr std::string_view wanted = "\"record\", \"none\" or an interval such as \"1s\"";
  if (!member->value.is(Kind::string)) {
    table.wrong_type(*member, wanted);
  } else if (member->value.string == "record") {
    run.sync = SyncMode::record;
  } else if (member->value.string == "none") {
    run.sync = SyncMode::none;
  } else if (const auto interval = parse_duration(member->value.string); !interval) {
    table.bad_value(*member, wanted, did_you_mean(member->value.string, {"record", "none"}));
  } else if (interval->count() == 0) {
    table.out_of_range(*member, "no time", "more than 0, or \"record\"");
  } else {
    run.sync_interval = *interval;
  }
}

}  // namespace

std::string absolute_path(const Place& place, std::string_view path) {
  if (!place.source) return std::string(path);
  return (place.source->folder() / path).lexically_normal().string();
}

std::string plugin_reference(const TomlMember& member) {
  const std::string& plugin = member.value.string;
  const bool is_path = plugin.find('/') != std::string::npos || plugin.ends_with(".so");
  return is_path ? absolute_path(member.value.place, plugin) : plugin;
}

const PluginManifest* find_plugin(const Place& place, const std::string& plugin, PluginKind kind,
                                  const ResolveContext& context) {
  try {
    if (const PluginManifest* manifest = context.manifests(plugin, kind)) return manifest;
    context.findings.add(
        place, Code::plugin_not_found, fmt::format("no {} plugin \"{}\"", name_of(kind), plugin),
        "`tenure plugin list` shows what is found, `tenure plugin doctor` where was searched");
  } catch (const Error& error) {
    context.findings.add(error);
  }
  return nullptr;
}

RunPlan read_run(const TomlValue& root, Findings& findings) {
  RunPlan run;
  const TomlValue* table = section(root, "run", findings);
  if (!table) return run;
  TableReader reader(*table, "[run]", findings, NoteKeys::allowed);
  read_max_errors(reader, run);
  if (const auto v = reader.count("retries", 0, 100)) run.retries = *v;
  if (const auto v = reader.duration("time_limit")) run.time_limit = *v;
  read_sync(reader, run);
  if (const auto v = reader.duration("drain")) run.drain = *v;
  reader.finish();
  return run;
}

ModelPlan read_model(const TomlValue& root, Findings& findings) {
  ModelPlan model;
  const TomlValue* table = section(root, "model", findings);
  if (!table) {
    if (!root.find("model")) {
      findings.add(root.place, Code::missing_key, "missing section [model]", "[model] path = \"FILE.gguf\"");
    }
    return model;
  }
  TableReader reader(*table, "[model]", findings, NoteKeys::allowed);
  const TomlMember* path = reader.require("path", "a GGUF file or a model folder");
  if (const auto v = reader.text("path")) {
    model.path = absolute_path(path->value.place, *v);
    model.where = position_of(path->value.place);
  }
  reader.finish();
  return model;
}

BackendPlan read_backend(const TomlValue& root, const ResolveContext& context) {
  BackendPlan backend{.plugin = std::string(default_backend)};
  const TomlValue nothing;
  const TomlValue* table = section(root, "backend", context.findings);
  TableReader reader(table ? *table : nothing, "[backend]", context.findings, NoteKeys::allowed);
  const TomlMember* plugin = reader.take("plugin");
  if (plugin && !reader.text("plugin")) return backend;
  if (plugin) backend.plugin = plugin_reference(*plugin);
  const Place place = plugin ? plugin->value.place : reader.table().place;
  backend.where = position_of(place);
  if (const auto v = reader.count("threads", 0, 4096)) backend.threads = *v;
  const PluginManifest* manifest = find_plugin(place, backend.plugin, PluginKind::backend, context);
  if (!manifest) return backend;
  backend.plugin_id = manifest->id;
  backend.plugin_version = manifest->version;
  const std::string host_keys = joined(reader.known());
  backend.params = validate(manifest->params, reader);
  std::vector<std::string> own;
  for (const ParamSpec& spec : manifest->params) own.push_back(spec.name);
  reader.finish(fmt::format("host keys: {}; keys of backend \"{}\" {}: {}", host_keys, manifest->id,
                            manifest->version, own.empty() ? "none" : joined(own)));
  return backend;
}

EnginePlan read_engine(const TomlValue& root, Findings& findings) {
  EnginePlan engine;
  const TomlValue* table = section(root, "engine", findings);
  if (!table) return engine;
  TableReader reader(*table, "[engine]", findings, NoteKeys::allowed);
  if (const auto v = reader.count("batch_rows", 0, 1'000'000)) engine.batch_rows = *v;
  if (const auto v = reader.count("in_flight", 0, 1'000'000)) engine.in_flight = *v;
  if (const auto v = reader.size("memory")) {
    engine.memory = *v;
    if (*v == 0) reader.out_of_range(*reader.take("memory"), "0 bytes", "more than 0 bytes");
  }
  if (const auto v = reader.count("max_rebuild_rows", 0, 1'000'000)) engine.max_rebuild_rows = *v;
  if (const auto v = reader.choice<Determinism>("determinism")) engine.determinism = *v;
  reader.finish();
  return engine;
}

}  // namespace tenure
