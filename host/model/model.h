// The forward pass, once, over backend ops: every family and every phase. Knows no policy. Immutable after construction.
#pragma once

#include <tenure/model.h>

#include <functional>
#include <map>
#include <string>
#include <vector>

#include "model/activations.h"
#include "model/batch.h"
#include "plugin/backend.h"
#include "weights/model_config.h"
#include "weights/model_source.h"

namespace tenure {

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

// The weights as they were handed to the backend, by the op that reads them; norms and biases go with their op.
struct GivenWeights {
  struct Part {
    uint64_t n_elements = 0;  // of matrices: a row costs two operations for each
    uint64_t bytes = 0;       // as in the file
  };
  Part embedding;  // nothing when it is the head
  Part qkv, attn_out, mlp, head;
  uint64_t embedding_row_bytes = 0;
  std::map<Dtype, uint64_t> bytes_by_type;

  uint64_t bytes() const { return embedding.bytes + qkv.bytes + attn_out.bytes + mlp.bytes + head.bytes; }
};

// What one forward had to read and compute, counted from its batch.
struct PassWork {
  uint64_t weight_bytes = 0;  // as packed; once, however many rows share them
  uint64_t kv_bytes = 0;
  uint64_t matrix_ops = 0;  // two for each element of a matrix and row, attention not counted
};

class Model {
 public:
  // Hands every tensor to the backend once and drops the file's pages as they are packed. Throws Error: model_unsupported
  // for types the backend cannot use. info and backend outlive the model.
  Model(const ModelSource& source, const ModelInfo& info, Backend& backend);

  const ModelConfig& config() const { return info_.config(); }
  const DeviceWeights& weights() const { return weights_; }
  uint64_t weights_bytes() const { return weights_bytes_; }  // as packed
  const GivenWeights& given_weights() const { return given_; }
  // The share of weights_bytes() that a part of the given ones has: the backend tells only the sum of what it packed.
  uint64_t packed_bytes(uint64_t given_bytes) const;
  // Of a batch that was forwarded.
  PassWork work(const Batch& batch) const;

  // Runs the batch and waits for it. after_attend, if set, is called for each layer once its attention is enqueued; it
  // synchronizes itself before it reads.
  Status forward(Batch& batch, const Activations& activations, const AfterAttend& after_attend = {}) const;

 private:
  void load(const ModelSource& source);
  Status layer(const Batch& batch, const Activations& a, uint32_t layer, const AfterAttend& after_attend) const;

  const ModelInfo& info_;
  Backend& backend_;
  DeviceWeights weights_;
  GivenWeights given_;
  uint64_t weights_bytes_ = 0;
};

}  // namespace tenure
