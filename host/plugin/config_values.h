// A plugin's checked parameters in the form the ABI hands them over.
#pragma once

#include <tenure/abi.h>

#include <vector>

#include "manifest/params.h"

namespace tenure {

// Owns everything its config() points to; a move keeps the addresses.
class ConfigValues {
 public:
  // `params`: what validate() gave for `schema`, so in its order and complete. Plugins index the values by
  // place, so anything else is an error of ours: throws Error (internal).
  ConfigValues(const std::vector<ParamSpec>& schema, std::vector<ParamValue> params);
  ConfigValues(const ConfigValues&) = delete;
  ConfigValues& operator=(const ConfigValues&) = delete;
  ConfigValues(ConfigValues&&) = default;
  ConfigValues& operator=(ConfigValues&&) = default;

  const tenure_config* config() const { return &config_; }
  const std::vector<ParamValue>& params() const { return params_; }

 private:
  std::vector<ParamValue> params_;
  std::vector<std::vector<tenure_value>> lists_;  // one per parameter, empty unless it is a list
  std::vector<tenure_value> values_;
  tenure_config config_;
};

}  // namespace tenure
