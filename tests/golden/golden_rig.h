// A tiny model on a backend, run as the engine runs it, and what transformers made of the same file.
#pragma once

#include <memory>
#include <string>
#include <vector>

#include "engine/engine.h"
#include "model/model.h"
#include "tokenizer/tokenizer.h"

namespace tenure::golden {

struct GoldenPrompt {
  std::vector<int32_t> ids;
  std::vector<double> last_logits;  // (n_vocab)
  struct Ranked {
    uint32_t id;
    double logit;
  };
  std::vector<std::vector<Ranked>> top;  // per position the best four; f32 files only
  std::vector<double> logsumexp;         // per position; f32 files only
  std::vector<int32_t> greedy;           // f32 files only
};
// Of a model in tests/data, from tests/data/*_logits.json.
std::vector<GoldenPrompt> golden_prompts(const std::string& file);

class Rig {
 public:
  // file: a name in tests/data
  Rig(Backend& backend, const std::string& file);

  Backend& backend() { return backend_; }
  const ModelInfo& info() const { return info_; }
  // (n_ids, n_vocab) logits, the prompt fed in chunks of so many rows into a cache of this type.
  std::vector<std::vector<float>> logits(const std::vector<int32_t>& ids, uint32_t chunk, Dtype kv_type);
  // What the engine generates for all prompts at once, temperature 0.
  std::vector<SessionResult> generate(const std::vector<std::vector<int32_t>>& prompts, uint32_t n_new,
                                      const PolicySettings& settings);

 private:
  Backend& backend_;
  std::unique_ptr<ModelSource> source_;
  ModelInfo info_;
  Tokenizer tokenizer_;
  Model model_;
};

// Fails the running case with the request's error.
void require_ok(const SessionResult& result);

// A policy of the host's own plugins with its manifest's defaults, caches of f32.
class LoadedPolicy {
 public:
  LoadedPolicy(const std::string& id, const ModelInfo& info);
  PolicySettings settings() const;

 private:
  Library library_;
  Policy policy_;
};

}  // namespace tenure::golden
