#include "conformance/subject.h"

#include <doctest/doctest.h>

#include <cstdlib>
#include <cstring>
#include <limits>
#include <map>
#include <memory>
#include <random>

#include "engine/hot_arena.h"

namespace tenure::conformance {
namespace {

struct Loaded {
  Loaded(const PluginFile& file, uint32_t n_threads)
      : arena(n_threads), library(file, {.executor = arena.executor(), .log = {}}), device(library, {}) {}
  HotArena arena;
  Library library;
  Backend device;
};

std::string chosen;
std::map<std::pair<std::string, uint32_t>, std::unique_ptr<Loaded>> loaded;

Loaded& load(const std::string& id, uint32_t n_threads) {
  std::unique_ptr<Loaded>& entry = loaded[{id, n_threads}];
  if (!entry) entry = std::make_unique<Loaded>(plugins().find(id, PluginKind::backend), n_threads);
  return *entry;
}

}  // namespace

const PluginSearch& plugins() {
  static const PluginSearch found = [] {
    const char* build = std::getenv("TENURE_BUILD_DIR");
    if (build == nullptr) throw std::runtime_error("TENURE_BUILD_DIR is not set: run through ctest");
    const std::filesystem::path folder = std::filesystem::path(build) / "lib/tenure";
    return search_plugins({{folder / "plugins", "plugins"}, {folder / "test_plugins", "test_plugins"}});
  }();
  return found;
}

void choose_backend(const std::string& id) {
  chosen = id;
}
Backend& backend(uint32_t n_threads) {
  return backend(n_threads, chosen);
}
Backend& backend(uint32_t n_threads, const std::string& id) {
  return load(id, n_threads).device;
}
const Library& library() {
  return load(chosen, 1).library;
}
void release_backends() {
  loaded.clear();
}

DeviceFloats::DeviceFloats(Backend& owner, size_t n)
    : DeviceFloats(owner, std::vector<float>(n, std::numeric_limits<float>::quiet_NaN())) {}

DeviceFloats::DeviceFloats(Backend& owner, std::span<const float> values)
    : owner_(owner), n_(values.size()), buffer_(owner.alloc(values.size_bytes())) {
  write(values);
}

void DeviceFloats::write(std::span<const float> values) {
  require_ok(owner_.copy(buffer_.data(), values.data(), values.size_bytes(), CopyDirection::to_device));
  require_ok(owner_.synchronize());
}

std::vector<float> DeviceFloats::read() const {
  std::vector<float> values(n_);
  require_ok(owner_.copy(values.data(), buffer_.data(), n_ * sizeof(float), CopyDirection::to_host));
  require_ok(owner_.synchronize());
  return values;
}

void require_ok(const Status& status) {
  REQUIRE_MESSAGE(status.ok(), to_text(status));
}

std::vector<float> random_floats(size_t n, uint32_t seed) {
  std::mt19937 random(seed);
  std::normal_distribution<float> normal;
  std::vector<float> values(n);
  for (float& value : values) value = normal(random);
  return values;
}

bool same_bits(std::span<const float> a, std::span<const float> b) {
  return a.size() == b.size() && std::memcmp(a.data(), b.data(), a.size_bytes()) == 0;
}

}  // namespace tenure::conformance
