// The pipeline file through the whole resolver: whatever the bytes, a plan or an Error, never anything else.
#include <cstddef>
#include <cstdint>
#include <cstdlib>
#include <string>

#include "plan/flatten.h"
#include "plan/load.h"

namespace {

using namespace tenure;

const PluginManifest& manifest(PluginKind kind) {
  const auto make = [](const char* which) {
    return parse_manifest(std::string("manifest = 1\nid = \"p\"\nkind = \"") + which +
                              "\"\nversion = \"1\"\n[abi]\nmajor = 1\nbuilt = 1\nmin = 1\n[binary]\nos = "
                              "\"linux\"\narch = \"x\"\n"
                              "[[param]]\nname = \"n\"\ntype = \"int\"\ndefault = 1\nmin = 0\n"
                              "[[param]]\nname = \"list\"\ntype = \"list\"\ndefault = [1.5]\n"
                              "[[param]]\nname = \"room\"\ntype = \"size\"\ndefault = \"1 MiB\"\n",
                          "p.toml");
  };
  static const PluginManifest policy = make("policy");
  static const PluginManifest backend = make("backend");
  return kind == PluginKind::policy ? policy : backend;
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  PlanOptions options;
  options.manifests = [](std::string_view, PluginKind kind) { return &manifest(kind); };
  options.environment = [](const std::string& name) -> std::optional<std::string> {
    if (name.size() > 2) return std::nullopt;
    return name;
  };
  std::string text(reinterpret_cast<const char*>(data), size);
  // A first line "#set key=value" is also tried as the command line's.
  if (text.starts_with("#set "))
    options.set.push_back(text.substr(5, text.find('\n') == text.npos ? text.npos : text.find('\n') - 5));
  try {
    const Plan plan = parse_plan(std::move(text), "fuzz.toml", "/f", options);
    if (plan.cells.empty() || flatten(plan).empty() || plan_text(plan).empty()) std::abort();
  } catch (const Error& error) {
    if (error.diagnostics().empty() || error.exit_code() == exit_ok) std::abort();
  }
  return 0;
}
