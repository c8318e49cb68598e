// The plugin under test on a real engine: a tiny model on a backend, the policy loaded in as many variants as
// a check asks for, each with a referee. A backend under test runs the default policy. One a process.
#pragma once

#include <filesystem>
#include <functional>
#include <map>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "check/referee.h"
#include "graph/runtime.h"
#include "plugin/find.h"
#include "session/result.h"
#include "session/script.h"

namespace tenure {

// A table of TOML: keys and their values as they are written there.
using Keys = std::vector<std::pair<std::string, std::string>>;

struct SubjectSource {
  PluginFile plugin;
  std::string model;                   // path
  std::string windowed_model;          // path of one where most layers, the first ones among them, see only a window
  std::string backend;                 // id or path; empty = the default
  Keys set;                            // of the plugin
  std::map<std::string, Keys> others;  // [policy.NAME] that it names, such as one it wraps
  uint64_t seed = 0;
  uint32_t threads = 1;
  std::vector<std::filesystem::path> plugin_dirs;
  LogSink log;
  std::function<void(const char*)> note_hook;
};

// [policy.X] in TOML: keys over the manifest's defaults.
struct Variant {
  Keys keys;
  std::string text() const;  // "budget = 24, chunk = 16"
};

// A policy of its own, nobody else's instance.
struct LoadedPolicy {
  const PolicySettings* settings = nullptr;
  Referee* referee = nullptr;  // NULL: nobody looks on
};

class Subject {
 public:
  explicit Subject(SubjectSource source);

  const PluginManifest& manifest() const { return source_.plugin.manifest; }
  bool is_backend() const { return manifest().kind == PluginKind::backend; }
  bool ever_decides() const { return !manifest().needs.phases.empty(); }
  uint64_t seed() const { return source_.seed; }
  const tenure_model_info& model_info() const { return runtime_.model_info().abi(); }
  const ModelConfig& model_config() const { return runtime_.model_info().config(); }
  // Of the last load.
  const Backend& backend() { return runtime_.backend(); }

  // What load() will run. Throws Error for keys and values that the plugin does not take.
  Plan plan_of(const Variant& variant) const;
  // Creates the policy anew and starts an engine. Throws Error. The result lives until unload().
  LoadedPolicy load(const Variant& variant);
  // Without a referee, whom one thread at a time may call.
  LoadedPolicy load_unwatched(const Variant& variant);
  // Destroys every loaded policy.
  void unload();

  // Runs them in one engine: all submitted at once, or one after the other.
  std::vector<SessionResult> run(const std::vector<SessionScript>& scripts);
  std::vector<SessionResult> run_alone(const std::vector<SessionScript>& scripts);

  // Of the last load, in the order of the manifest.
  const std::vector<ParamValue>& params() const { return params_; }

  // n plain tokens, the same for the same number and seed of the check. The first one names the sequence.
  std::vector<int32_t> tokens(uint32_t number, uint32_t n) const;
  SessionScript script(const LoadedPolicy& policy, uint32_t number,
                       std::vector<SegmentScript> segments) const;
  // One segment of n_prompt tokens and then n_generate.
  SessionScript script(const LoadedPolicy& policy, uint32_t number, uint32_t n_prompt,
                       uint32_t n_generate) const;

 private:
  std::string keys_of(const Variant& variant) const;

  SubjectSource source_;
  PluginSearch search_;
  uint32_t n_loaded_ = 0;
  uint32_t max_rebuild_rows_ = 0;  // of the last load
  std::vector<ParamValue> params_;
  std::vector<std::unique_ptr<Referee>>
      referees_;  // outlive the runtime's policies, which speak to them to their end
  Runtime runtime_;
};

}  // namespace tenure
