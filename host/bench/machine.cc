#include "bench/machine.h"

#include <sys/resource.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <chrono>
#include <fstream>
#include <sstream>
#include <string_view>

namespace tenure {
namespace {

double now_seconds() {
  return std::chrono::duration<double>(std::chrono::steady_clock::now().time_since_epoch()).count();
}

double n_online() {
  return static_cast<double>(std::max(1L, ::sysconf(_SC_NPROCESSORS_ONLN)));
}

// CPU seconds spent on anything since boot.
double busy_seconds() {
  std::ifstream stat("/proc/stat");
  std::string word;
  double user = 0, nice = 0, system = 0, idle = 0, iowait = 0, irq = 0, softirq = 0, steal = 0;
  stat >> word >> user >> nice >> system >> idle >> iowait >> irq >> softirq >> steal;
  return (user + nice + system + irq + softirq + steal) / static_cast<double>(::sysconf(_SC_CLK_TCK));
}

double own_seconds() {
  rusage usage{};
  ::getrusage(RUSAGE_SELF, &usage);
  const auto seconds = [](const timeval& time) {
    return static_cast<double>(time.tv_sec) + static_cast<double>(time.tv_usec) / 1e6;
  };
  return seconds(usage.ru_utime) + seconds(usage.ru_stime);
}

// The value of a "key : value" line; empty when there is none.
std::string proc_value(const char* path, std::string_view key) {
  std::ifstream file(path);
  for (std::string line; std::getline(file, line);) {
    if (!line.starts_with(key)) continue;
    const size_t start = line.find_first_not_of(" \t:", key.size());
    return start == std::string::npos ? "" : line.substr(start);
  }
  return {};
}

}  // namespace

Processor processor() {
  constexpr std::array<std::string_view, 7> wanted = {"avx2",        "fma",         "avx512f", "avx512_vnni",
                                                      "avx512_bf16", "avx512_fp16", "amx_tile"};
  Processor found{.name = proc_value("/proc/cpuinfo", "model name"),
                  .features = {},
                  .n_cpus = static_cast<uint32_t>(n_online())};
  std::istringstream flags(proc_value("/proc/cpuinfo", "flags"));
  for (std::string flag; flags >> flag;) {
    if (std::find(wanted.begin(), wanted.end(), flag) != wanted.end()) found.features.push_back(flag);
  }
  return found;
}

OtherCpu::OtherCpu() : began_(now_seconds()), busy_began_(busy_seconds()), own_began_(own_seconds()) {}

std::optional<double> OtherCpu::share() const {
  constexpr double least_seconds = 0.2;  // twenty ticks
  const double wall = now_seconds() - began_;
  if (wall < least_seconds) return std::nullopt;
  const double others = busy_seconds() - busy_began_ - (own_seconds() - own_began_);
  return std::clamp(others / (wall * n_online()), 0.0, 1.0);
}

uint64_t peak_resident_bytes() {
  uint64_t kib = 0;
  std::istringstream(proc_value("/proc/self/status", "VmHWM")) >> kib;
  return kib * 1024;
}

bool forget_peak_resident() {
  std::ofstream file("/proc/self/clear_refs");
  file << "5" << std::flush;
  return file.good();
}

}  // namespace tenure
