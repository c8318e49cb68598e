// What the machine is, and what else goes on on it, from /proc.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

namespace tenure {

struct Processor {
  std::string name;
  std::vector<std::string> features;  // vector extensions that backends choose their code by
  uint32_t n_cpus = 1;
};
Processor processor();

// From construction on: the share of all CPUs that others had, time stolen by neighbours included.
class OtherCpu {
 public:
  OtherCpu();
  std::optional<double> share() const;  // 0..1; nothing after less time than the kernel's clock can tell

 private:
  double began_, busy_began_, own_began_;  // seconds
};

// The most memory the process ever had resident. forget() starts anew from what it has now; false where the
// kernel does not allow that, and the peak is then that of the whole process.
uint64_t peak_resident_bytes();
bool forget_peak_resident();

}  // namespace tenure
