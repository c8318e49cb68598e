#include "graph/run_manifest.h"

#include <sys/utsname.h>

#include <nlohmann/json.hpp>
#include <set>

#include "engine/threads.h"
#include "plan/flatten.h"
#include "record/file_io.h"
#include "tensor/sha256.h"
#include "weights/model_source.h"

namespace tenure {
namespace {

constexpr const char* build_id = TENURE_BUILD_ID;

nlohmann::json hashes_of(const std::vector<std::string>& files) {
  nlohmann::json hashes = nlohmann::json::object();
  for (const std::string& file : files) {
    if (file != "-") hashes[file] = sha256_file(file);
  }
  return hashes;
}

nlohmann::json hashes_of_models(const std::set<std::string>& paths) {
  nlohmann::json hashes = nlohmann::json::object();
  for (const std::string& path : paths) hashes[path] = model_sha256(path);
  return hashes;
}

}  // namespace

std::string run_manifest(const Plan& plan, const RunInputs& inputs) {
  nlohmann::json values = nlohmann::json::object();
  nlohmann::json changeable = nlohmann::json::object();
  for (const auto& [key, text] : flatten(plan)) (may_differ(key) ? changeable : values)[key] = text;
  nlohmann::json plugins = nlohmann::json::object();
  for (const auto& [id, hash] : inputs.plugins) plugins[id] = hash;
  std::set<std::string> models;
  for (const CellPlan& cell : plan.cells) models.insert(cell.model.path);
  utsname machine{};
  ::uname(&machine);
  const nlohmann::json manifest = {
      {"schema", 1},
      {"pipeline", plan.name},
      {"plan", std::move(values)},
      {"settings", std::move(changeable)},
      {"model_sha256", hashes_of_models(models)},
      {"input_sha256", hashes_of(inputs.files)},
      {"plugin_sha256", std::move(plugins)},
      {"weights_sha256", hashes_of(inputs.weights)},
      {"build", build_id},
      {"machine", {{"host", machine.nodename}, {"kernel", machine.release}, {"arch", machine.machine}, {"threads", usable_threads()}}},
  };
  return manifest.dump(2, ' ', false, nlohmann::json::error_handler_t::replace);
}

std::vector<std::string> free_manifest_keys() { return {"settings", "build", "machine"}; }

}  // namespace tenure
