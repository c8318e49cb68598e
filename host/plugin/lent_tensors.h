// Tensors of one file, as a policy is lent them (tenure.weights/1).
#pragma once

#include <tenure/host.h>

#include <string>
#include <vector>

namespace tenure {

// Names and data are somebody else's, who outlives every policy that was lent them.
struct LentTensors {
  std::string file;  // for errors
  std::vector<tenure_tensor> tensors;
};

}  // namespace tenure
