// What a cell runs on: plugins, the model, the engine. Reloads only what differs from the cell before. Main thread.
#pragma once

#include <map>
#include <memory>
#include <string>
#include <vector>

#include "engine/engine.h"
#include "engine/hot_arena.h"
#include "model/model.h"
#include "plan/plan.h"
#include "plugin/backend.h"
#include "plugin/find.h"
#include "plugin/library.h"
#include "plugin/policy.h"
#include "session/prompt.h"
#include "session/settings.h"
#include "weights/model_source.h"

namespace tenure {

class PolicyWeights;
class Trainable;

// A policy of the plan as sessions take it; `policy` outlives the result.
PolicySettings policy_settings(const PolicyPlan& plan, const Policy& policy, const Policy* inner = nullptr);

class Runtime {
 public:
  Runtime(PluginSearch search, LogSink log);
  Runtime(const Runtime&) = delete;
  Runtime& operator=(const Runtime&) = delete;
  ~Runtime();

  // Makes the cell's backend, model, policies and engine the current ones. Throws Error.
  void load(const CellPlan& cell);
  // Ends the engine; the next load starts a new one.
  void stop_engine();
  // Ends the engine and destroys the policies; their libraries stay.
  void unload_policies();

  Engine& engine() { return *engine_; }
  const Model& model() const { return *model_; }
  const ModelInfo& model_info() const { return *info_; }
  Backend& backend() { return *backend_; }
  const Language& language() const { return *language_; }
  // The threads that plugins share; the same from the first load on.
  Executor executor() const { return arena_->executor(); }
  // A policy's network on the current backend and model, for training; it goes before the next load. params: of its
  // manifest's [[training]]. Throws Error.
  std::unique_ptr<Trainable> make_trainable(const std::string& plugin, std::vector<ParamValue> params);
  // Settings of a stage's policy in the current cell; valid until the next load.
  const PolicySettings& policy(const PolicyPlan& plan) const;

 private:
  Library& library(const std::string& plugin, PluginKind kind);
  void load_backend(const BackendPlan& plan);
  // Everything of a model but its weights; the file they are in, or nothing when the model is loaded already.
  std::unique_ptr<ModelSource> open_model(const ModelPlan& plan);
  // A policy and what it is lent.
  struct MadePolicy {
    std::unique_ptr<PolicyWeights> weights;  // nothing when it takes none
    std::unique_ptr<Policy> policy;
  };
  MadePolicy make_policy(const PolicyPlan& plan);
  void load_policy(const PolicyPlan& plan);
  void check_memory(const CellPlan& cell);
  static std::string key_of(const PolicyPlan& plan);

  PluginSearch search_;
  LogSink log_;
  std::unique_ptr<HotArena> arena_;
  std::map<std::string, std::unique_ptr<Library>> libraries_;  // by file; never unloaded
  std::string backend_key_;
  std::unique_ptr<Backend> backend_;
  std::string model_path_;
  std::unique_ptr<ModelInfo> info_;
  std::unique_ptr<Language> language_;
  std::unique_ptr<Model> model_;
  struct LoadedPolicy {
    MadePolicy outer, inner;  // `inner` may be empty
    PolicySettings settings;
  };
  std::map<std::string, LoadedPolicy> policies_;  // by key_of
  std::unique_ptr<Engine> engine_;
};

}  // namespace tenure
