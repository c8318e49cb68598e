// What sessions and engines run on, from real parts: a backend plugin, a tiny model on it, policies by id.
#pragma once

#include <doctest/doctest.h>

#include <cstdint>
#include <filesystem>
#include <map>
#include <memory>
#include <span>
#include <string>
#include <vector>

#include "engine/kv_memory.h"
#include "model/model.h"
#include "plugin/backend.h"
#include "plugin/library.h"
#include "plugin/policy.h"
#include "session/prompt.h"
#include "session/script.h"
#include "session/settings.h"

namespace tenure::test {

using Overrides = std::vector<std::pair<std::string, decltype(ParamValue::value)>>;

class TinyHost {
 public:
  explicit TinyHost(const std::string& backend = "cpu", const std::string& model = "tiny-llama-f32",
                    const HostLoan& loan = {});

  Backend& backend() { return *backend_; }
  const Model& model() const { return *model_; }
  const ModelConfig& config() const { return info_.config(); }
  const Language& language() const { return language_; }
  KvMemory& memory() { return memory_; }
  // Settings as a pipeline without keys gives them, f32 caches; the caller changes what it tests. Lives as
  // long as this.
  PolicySettings& policy(const std::string& id, const Overrides& params = {});

 private:
  Library& library(const std::string& stem);

  HostLoan loan_;
  std::unique_ptr<ModelSource> source_;
  ModelInfo info_;
  Language language_;
  std::map<std::string, std::unique_ptr<Library>> libraries_;
  std::unique_ptr<Backend> backend_;
  std::unique_ptr<Model> model_;
  std::vector<std::unique_ptr<Policy>> policies_;
  std::vector<std::unique_ptr<PolicySettings>> settings_;
  KvMemory memory_;
};

// n text tokens, the same for the same seed.
std::vector<int32_t> some_ids(uint32_t n, uint64_t seed);
Budget slots(uint64_t n);
SlotShare share(uint64_t n);

}  // namespace tenure::test
