// The forward pass, once, over backend ops: every family and every phase. Knows no policy. Immutable after construction.
#pragma once

#include <tenure/model.h>

#include <functional>
#include <string>
#include <vector>

#include "model/activations.h"
#include "model/batch.h"
#include "plugin/backend.h"
#include "weights/model_config.h"
#include "weights/model_source.h"

namespace tenure {

// One layer's rows as evidence, after attend is enqueued; pointers into backend memory, (n_rows, width) of the batch.
struct LayerRows {
  uint32_t layer = 0;
  const float* q_pre = nullptr;
  const float* k_pre = nullptr;
  const float* v = nullptr;
  const float* k_post = nullptr;
  const float* hidden = nullptr;
};
using AfterAttend = std::function<Status(const LayerRows&)>;

// Sizes and the per-layer table in the form plugins see; needed before any weights are loaded.
class ModelInfo {
 public:
  explicit ModelInfo(ModelConfig config);
  ModelInfo(const ModelInfo&) = delete;
  ModelInfo& operator=(const ModelInfo&) = delete;

  const ModelConfig& config() const { return config_; }
  const tenure_model_info& abi() const { return abi_; }

 private:
  ModelConfig config_;
  std::vector<tenure_layer_info> layers_;
  tenure_model_info abi_{};
};

class Model {
 public:
  // Hands every tensor to the backend once and drops the file's pages as they are packed. Throws Error: model_unsupported
  // for types the backend cannot use. info and backend outlive the model.
  Model(const ModelSource& source, const ModelInfo& info, Backend& backend);

  const ModelConfig& config() const { return info_.config(); }
  const DeviceWeights& weights() const { return weights_; }
  uint64_t weights_bytes() const { return weights_bytes_; }  // as packed

  // Runs the batch and waits for it. after_attend, if set, is called for each layer once its attention is enqueued; it
  // synchronizes itself before it reads.
  Status forward(Batch& batch, const Activations& activations, const AfterAttend& after_attend = {}) const;

 private:
  void load(const ModelSource& source);
  Status layer(const Batch& batch, const Activations& a, uint32_t layer, const AfterAttend& after_attend) const;

  const ModelInfo& info_;
  Backend& backend_;
  DeviceWeights weights_;
  uint64_t weights_bytes_ = 0;
};

}  // namespace tenure
