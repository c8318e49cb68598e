// What a plan's cells will take, told before any weights are loaded: KV bytes a token, a session's
// reservation, and what a policy's evidence and state cost.
#pragma once

#include <cstdint>
#include <map>
#include <memory>
#include <string>
#include <vector>

#include "model/model.h"
#include "plan/plan.h"
#include "plugin/find.h"
#include "plugin/library.h"

namespace tenure::cli {

// Of one generate or score stage in one cell.
struct StageMemory {
  std::string stage;
  std::string policy;
  uint64_t token_bytes = 0;   // one slot in every layer and KV head
  uint64_t budget_slots = 0;  // 0 = nothing is released
  uint64_t session_tokens =
      0;  // what the session below feeds and generates: the model's context, or a score window
  uint64_t reserved_bytes = 0;     // KV bytes that admission reserves for it, a prefill chunk included
  uint64_t full_bytes = 0;         // the same session without a policy
  uint64_t n_sessions = 0;         // side by side in [engine] memory
  std::vector<std::string> costs;  // of evidence and state, a line each
};

class MemoryPlanner {
 public:
  // `search` outlives it.
  explicit MemoryPlanner(const PluginSearch& search) : search_(search) {}

  // Loads plugins, and of the model its numbers only. Throws Error for what a run would refuse too; the model
  // file exists.
  std::vector<StageMemory> cell(const CellPlan& cell);

 private:
  const Library& library(const std::string& plugin, PluginKind kind);
  const ModelInfo& model(const std::string& path);

  const PluginSearch& search_;
  std::map<std::string, std::unique_ptr<Library>> libraries_;  // by file
  std::map<std::string, std::unique_ptr<ModelInfo>> models_;   // by path
};

}  // namespace tenure::cli
