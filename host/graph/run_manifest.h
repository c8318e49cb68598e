// RUN/manifest.json: everything that decides a run's rows, and where it ran.
#pragma once

#include <string>
#include <utility>
#include <vector>

#include "plan/plan.h"

namespace tenure {

struct RunInputs {
  std::vector<std::string> files;                             // every input file, in reading order; "-" = standard input
  std::vector<std::pair<std::string, std::string>> plugins;   // id → sha256 of its library
  std::vector<std::string> weights;                           // files that policies' parameters name
};

// The plan flattened, sha256 of model and inputs, plugins, build and machine. Throws Error when a file cannot be read.
std::string run_manifest(const Plan& plan, const RunInputs& inputs);
// Keys of it that may differ on a resume.
std::vector<std::string> free_manifest_keys();

}  // namespace tenure
