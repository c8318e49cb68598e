// The file that a policy's parameter of type "weights" names: found, checked against the policy and the model, mapped.
#pragma once

#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "manifest/params.h"
#include "plan/plan.h"
#include "plugin/find.h"
#include "plugin/lent_tensors.h"
#include "weights/model_config.h"
#include "weights/safetensors.h"

namespace tenure {

// Its tensors stay where they are until it goes.
class PolicyWeights {
 public:
  // Nothing when the plugin has no such parameter. params: in the order of its manifest. "builtin" is the first file, by name,
  // of the folder ID beside the plugin's library that was trained for this model; "builtin:NAME" is NAME.safetensors there.
  // Throws Error: weights_unfit; and of a file that is no sound one model_malformed, model_unsupported, input_unreadable.
  static std::unique_ptr<PolicyWeights> open(const PluginFile& plugin, const std::vector<ParamValue>& params,
                                             const ModelConfig& model);
  PolicyWeights(const PolicyWeights&) = delete;
  PolicyWeights& operator=(const PolicyWeights&) = delete;

  const std::string& path() const { return file_.name(); }
  const LentTensors& tensors() const { return tensors_; }

 private:
  explicit PolicyWeights(SafetensorsFile file);

  SafetensorsFile file_;
  LentTensors tensors_;
};

// Every weights file that the plan's policies use, each once, ascending. Throws as open() does; of models that are not there
// nothing is said.
std::vector<std::string> weights_files(const Plan& plan, const PluginSearch& search);

}  // namespace tenure
