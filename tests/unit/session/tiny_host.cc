#include "unit/session/tiny_host.h"

#include <cstdlib>

namespace tenure::test {
namespace {

std::filesystem::path built_plugin(const std::string& stem) {
  const char* build = std::getenv("TENURE_BUILD_DIR");
  REQUIRE_MESSAGE(build != nullptr, "run through ctest, which sets TENURE_BUILD_DIR");
  for (const char* folder : {"plugins", "test_plugins"}) {
    const auto file = std::filesystem::path(build) / "lib/tenure" / folder / ("libtenure_" + stem + ".so");
    if (std::filesystem::exists(file)) return file;
  }
  FAIL("no plugin ", stem);
  return {};
}

uint32_t phase_bits(const std::vector<Phase>& phases) {
  uint32_t bits = 0;
  for (Phase phase : phases) bits |= 1u << static_cast<uint32_t>(phase);  // in the order of TENURE_PHASE_*
  return bits;
}

std::vector<ParamValue> params_of(const PluginManifest& manifest, const Overrides& overrides) {
  std::vector<ParamValue> values;
  for (const ParamSpec& spec : manifest.params) {
    values.push_back(spec.default_value.value());
    for (const auto& [name, value] : overrides) {
      if (name == spec.name) values.back().value = value;
    }
  }
  return values;
}

}  // namespace

TinyHost::TinyHost(const std::string& backend, const std::string& model, const HostLoan& loan)
    : loan_(loan),
      source_(ModelSource::open("tests/data/" + model + ".gguf")),
      info_(source_->config()),
      language_(source_->tokenizer()),
      backend_(std::make_unique<Backend>(library(backend == "toy" ? "toy_backend" : "backend_" + backend),
                                         std::vector<ParamValue>{})),
      model_(std::make_unique<Model>(*source_, info_, *backend_)),
      memory_(*backend_, info_.config(), uint64_t{64} << 20, 256) {
  static_assert(1u << static_cast<uint32_t>(Phase::decode) == TENURE_PHASE_DECODE);
}

Library& TinyHost::library(const std::string& stem) {
  std::unique_ptr<Library>& loaded = libraries_[stem];
  if (!loaded) loaded = std::make_unique<Library>(plugin_at(built_plugin(stem)), loan_);
  return *loaded;
}

PolicySettings& TinyHost::policy(const std::string& id, const Overrides& params) {
  const Library& plugin = library("policy_" + id);
  const PluginManifest& manifest = plugin.manifest();
  policies_.push_back(std::make_unique<Policy>(plugin, info_.abi(), params_of(manifest, params)));
  auto settings = std::make_unique<PolicySettings>();
  settings->name = id;
  settings->policy = policies_.back().get();
  settings->granularity =
      static_cast<uint32_t>(manifest.needs.granularity);  // in the order of TENURE_GRANULARITY_*
  settings->k_type = settings->v_type = Dtype::f32;
  settings->when = phase_bits(manifest.needs.phases);
  settings->positions = manifest.defaults.positions.value_or(PositionMode::original);
  settings->n_sink = manifest.defaults.n_sink.value_or(SlotShare{});
  settings->n_recent = manifest.defaults.n_recent.value_or(SlotShare{});
  settings_.push_back(std::move(settings));
  return *settings_.back();
}

std::vector<int32_t> some_ids(uint32_t n, uint64_t seed) {
  std::vector<int32_t> ids(n);
  for (uint32_t i = 0; i < n; ++i) ids[i] = static_cast<int32_t>(20 + random_bits(seed, i) % 300);
  return ids;
}

Budget slots(uint64_t n) {
  return {.kind = BudgetKind::slots, .amount = n, .fraction = {}};
}

SlotShare share(uint64_t n) {
  return {.is_fraction = false, .count = n, .fraction = {}};
}

}  // namespace tenure::test
