#include "check/subject.h"

#include <fmt/format.h>

#include <algorithm>
#include <condition_variable>
#include <mutex>

#include "plan/load.h"

namespace tenure {
namespace {

// The engine's thread fills it, the check's waits.
struct Results {
  std::mutex mutex;
  std::condition_variable changed;
  std::vector<SessionResult> results;
  size_t n_missing = 0;
};

}  // namespace

std::string Variant::text() const {
  std::string text;
  for (const auto& [key, value] : keys)
    text += fmt::format("{}{} = {}", text.empty() ? "" : ", ", key, value);
  return text;
}

Subject::Subject(SubjectSource source)
    : source_(std::move(source)),
      search_(search_plugins(search_folders(source_.plugin_dirs))),
      runtime_(search_, source_.log) {}

// The variant's keys over those of --set; of a backend, --set alone.
std::string Subject::keys_of(const Variant& variant) const {
  std::string toml;
  const auto has = [&](const std::string& name) {
    return std::any_of(variant.keys.begin(), variant.keys.end(),
                       [&](const auto& key) { return key.first == name; });
  };
  for (const auto& [key, value] : source_.set) {
    if (is_backend() || !has(key)) toml += fmt::format("{} = {}\n", key, value);
  }
  for (const auto& [key, value] : variant.keys) {
    if (!is_backend()) toml += fmt::format("{} = {}\n", key, value);
  }
  return toml;
}

// A pipeline of one stage, so that every key means what it means there.
Plan Subject::plan_of(const Variant& variant) const {
  const std::string library = source_.plugin.library.string();
  const std::string backend = is_backend() ? library : source_.backend;
  std::string toml = fmt::format("tenure = 1\n[model]\npath = {}\n", toml_string(source_.model));
  toml += fmt::format("[engine]\nmemory = \"256 MiB\"\n[backend]\nthreads = {}\n{}", source_.threads,
                      is_backend() ? keys_of(variant) : "");
  if (!backend.empty()) toml += fmt::format("plugin = {}\n", toml_string(backend));
  const std::string name = fmt::format("v{}", n_loaded_);
  if (!is_backend())
    toml += fmt::format("[policy.{}]\nplugin = {}\n{}", name, toml_string(library), keys_of(variant));
  for (const auto& [other, keys] : source_.others) {
    toml += fmt::format("[policy.{}]\n", other);
    for (const auto& [key, value] : keys) toml += fmt::format("{} = {}\n", key, value);
  }
  toml += "[[stage]]\nid = \"prompts\"\nkind = \"read_jsonl\"\npath = \"-\"\n";
  toml += "[[stage]]\nid = \"answers\"\nkind = \"generate\"\nfrom = \"prompts\"\n";
  if (!is_backend()) toml += fmt::format("policy = \"{}\"\n", name);
  std::map<std::string, PluginFile> files;
  PlanOptions options;
  options.manifests = [&](std::string_view plugin, PluginKind kind) {
    return &files.try_emplace(std::string(plugin), resolve_plugin(search_, plugin, kind))
                .first->second.manifest;
  };
  return parse_plan(std::move(toml), "plugin check", std::filesystem::current_path(), options);
}

LoadedPolicy Subject::load_unwatched(const Variant& variant) {
  const Plan plan = plan_of(variant);
  ++n_loaded_;
  const CellPlan& cell = plan.cells.front();
  runtime_.load(cell);
  const PolicyPlan& policy = std::get<GeneratePlan>(cell.stages.back().work).policy;
  params_ = policy.params;
  max_rebuild_rows_ = cell.engine.max_rebuild_rows;
  return {.settings = &runtime_.policy(policy)};
}

LoadedPolicy Subject::load(const Variant& variant) {
  LoadedPolicy loaded = load_unwatched(variant);
  const Policy& policy = *loaded.settings->policy;
  referees_.push_back(std::make_unique<Referee>(policy.needs(), max_rebuild_rows_, source_.note_hook));
  policy.watch(*referees_.back());
  loaded.referee = referees_.back().get();
  return loaded;
}

void Subject::unload() {
  runtime_.unload_policies();
}

std::vector<SessionResult> Subject::run(const std::vector<SessionScript>& scripts) {
  Results done;
  done.results.resize(scripts.size());
  done.n_missing = scripts.size();
  std::vector<std::unique_ptr<Job>> jobs;
  for (size_t i = 0; i < scripts.size(); ++i) {
    jobs.push_back(std::make_unique<Job>());
    jobs.back()->script = std::make_shared<SessionScript>(scripts[i]);
    jobs.back()->on_done = [&done, i](SessionResult&& result) {
      const std::lock_guard lock(done.mutex);
      done.results[i] = std::move(result);
      --done.n_missing;
      done.changed.notify_all();
    };
  }
  runtime_.engine().submit(std::move(jobs));
  std::unique_lock lock(done.mutex);
  done.changed.wait(lock, [&] { return done.n_missing == 0; });
  return std::move(done.results);
}

std::vector<SessionResult> Subject::run_alone(const std::vector<SessionScript>& scripts) {
  std::vector<SessionResult> results;
  for (const SessionScript& script : scripts) results.push_back(std::move(run({script}).front()));
  return results;
}

std::vector<int32_t> Subject::tokens(uint32_t number, uint32_t n) const {
  // The vocabulary's beginning holds special tokens.
  const uint32_t n_vocab = runtime_.model_info().config().n_vocab;
  const uint32_t first = n_vocab / 8;
  std::vector<int32_t> ids(n);
  for (uint32_t i = 0; i < n; ++i)
    ids[i] = static_cast<int32_t>(first + random_bits(source_.seed + number, i) % (n_vocab - first));
  if (n > 0) ids[0] = static_cast<int32_t>(first + number % (n_vocab - first));
  return ids;
}

SessionScript Subject::script(const LoadedPolicy& policy, uint32_t number,
                              std::vector<SegmentScript> segments) const {
  return {.id = fmt::format("{}", number),
          .seed = source_.seed,
          .key = random_bits(source_.seed, number),
          .policy = policy.settings,
          .ignore_eos = true,
          .segments = std::move(segments)};
}

SessionScript Subject::script(const LoadedPolicy& policy, uint32_t number, uint32_t n_prompt,
                              uint32_t n_generate) const {
  return script(policy, number, {{.ids = tokens(number, n_prompt), .generate = n_generate}});
}

}  // namespace tenure
