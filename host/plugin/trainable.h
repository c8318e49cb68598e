// RAII face of a policy's network that can be fitted. What the slots mean is in <tenure/ext/trainable.h>; the names are the
// same. Every member throws Error: plugin_abi for what breaks the header's rules, plugin_failed for what the plugin reports.
#pragma once

#include <tenure/ext/trainable.h>

#include <cstdint>
#include <memory>
#include <span>
#include <string>
#include <vector>

#include "plugin/library.h"

namespace tenure {

struct TrainableParameter {
  std::string name;
  std::vector<uint64_t> shape;
  double initial_variance = 0;

  uint64_t n_elements() const;
};

struct TrainableLayer {
  uint32_t n_inputs = 0;
  uint32_t n_outputs = 0;  // 0: nothing is learned here
  std::vector<TrainableParameter> parameters;

  uint64_t n_elements() const;  // of all parameters
};

// Columns of a layer's input rows that these bits of evidence have.
uint32_t n_inputs(const tenure_model_info& model, uint32_t layer, uint32_t evidence);

class Trainable {
 public:
  // params: of the manifest's [[training]]. Library, model and backend, which is lent, outlive it.
  Trainable(const Library& library, const tenure_model_info& model, std::vector<ParamValue> params, const Backend& backend);
  Trainable(const Trainable&) = delete;
  Trainable& operator=(const Trainable&) = delete;
  ~Trainable();

  uint32_t evidence() const { return evidence_; }
  const std::vector<TrainableLayer>& layers() const { return layers_; }

  float loss_and_gradient(const tenure_training_batch& batch, std::span<float* const> gradients) const;
  void scores(const tenure_training_batch& batch, float* out) const;

 private:
  void read_evidence();
  TrainableLayer read_layer(uint32_t layer) const;
  TrainableParameter read_parameter(const tenure_trainable_parameter& raw, uint32_t layer) const;

  const Library& library_;
  HostScope scope_;
  tenure_host host_;  // what the plugin is lent
  const tenure_model_info& model_;
  tenure_trainable_api api_{};
  tenure_trainable* self_ = nullptr;
  uint32_t evidence_ = 0;
  std::vector<TrainableLayer> layers_;  // (n_layers)
};

}  // namespace tenure
