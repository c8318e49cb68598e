#include "unit/train/trainable_rig.h"

#include <stdlib.h>

#include <cstdlib>

namespace tenure::test {
namespace {

PluginFile built_policy(const std::string& id) {
  const char* build = std::getenv("TENURE_BUILD_DIR");
  REQUIRE_MESSAGE(build != nullptr, "run through ctest, which sets TENURE_BUILD_DIR");
  return plugin_at(std::filesystem::path(build) / "lib/tenure/plugins" / ("libtenure_policy_" + id + ".so"));
}

}  // namespace

TrainableRig::TrainableRig(const Backend& backend, const tenure_model_info& model, const std::string& plugin,
                           const std::vector<std::string>& settings)
    : library_(built_policy(plugin), HostLoan{}),
      recipe_(with_settings(library_.manifest().recipes.at(0), library_.manifest().training, settings)),
      trainable_(library_, model, recipe_.params, backend) {}

ScratchFolder::ScratchFolder() {
  char path[] = "/tmp/tenure-train-XXXXXX";
  REQUIRE(mkdtemp(path) != nullptr);
  name = path;
}

ScratchFolder::~ScratchFolder() {
  std::filesystem::remove_all(name);
}

}  // namespace tenure::test
