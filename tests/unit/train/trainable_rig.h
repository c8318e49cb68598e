// A trainable plugin of the build on a tiny host's backend.
#pragma once

#include <memory>
#include <string>
#include <vector>

#include "manifest/recipe.h"
#include "plugin/trainable.h"
#include "unit/session/tiny_host.h"

namespace tenure::test {

class TrainableRig {
 public:
  // settings: "key=value" over the plugin's first recipe.
  TrainableRig(const Backend& backend, const tenure_model_info& model, const std::string& plugin, const std::vector<std::string>& settings);

  const Recipe& recipe() const { return recipe_; }
  const Trainable& trainable() const { return trainable_; }

 private:
  Library library_;
  Recipe recipe_;
  Trainable trainable_;
};

// A folder that goes with it.
struct ScratchFolder {
  ScratchFolder();
  ~ScratchFolder();
  std::string name;
};

}  // namespace tenure::test
