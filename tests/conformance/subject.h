// The backend under test, loaded by its id as the host loads it, once per number of threads.
#pragma once

#include <cstdint>
#include <span>
#include <string>
#include <vector>

#include "plugin/backend.h"
#include "plugin/find.h"

namespace tenure::conformance {

// Set once by main before any case runs.
void choose_backend(const std::string& id);
// Loaded at first use; throws Error.
Backend& backend(uint32_t n_threads = 1);
Backend& backend(uint32_t n_threads, const std::string& id);
// Those of the build, the tests' own included.
const PluginSearch& plugins();
const Library& library();
void release_backends();

// f32 arrays in the backend's memory.
class DeviceFloats {
 public:
  // Filled with NaN, so that what an op leaves out shows.
  DeviceFloats(Backend& owner, size_t n);
  DeviceFloats(Backend& owner, std::span<const float> values);
  float* data() const { return buffer_.floats(); }
  void write(std::span<const float> values);
  std::vector<float> read() const;

 private:
  Backend& owner_;
  size_t n_;
  DeviceBuffer buffer_;
};

// Fails the running case with the status's text.
void require_ok(const Status& status);

// n standard normal numbers; the same for the same seed.
std::vector<float> random_floats(size_t n, uint32_t seed);
bool same_bits(std::span<const float> a, std::span<const float> b);

}  // namespace tenure::conformance
