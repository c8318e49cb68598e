// How long code takes, for tests of how its cost grows. CPU time of the calling thread: what else the machine does is not
// in it.
#pragma once

#include <cstddef>
#include <ctime>
#include <functional>

inline double thread_cpu_seconds() {
  timespec time{};
  clock_gettime(CLOCK_THREAD_CPUTIME_ID, &time);
  return static_cast<double>(time.tv_sec) + static_cast<double>(time.tv_nsec) * 1e-9;
}

// Whether n takes about 8 times as long as n / 8; a square takes 64 times. Half of that is allowed, and 0.4 s where both
// are small, since a neighbour on the core or in its cache slows either one.
inline bool takes_linear_time(size_t n, const std::function<void(size_t)>& work) {
  const double began = thread_cpu_seconds();
  work(n / 8);
  const double eighth = thread_cpu_seconds() - began;
  work(n);
  return thread_cpu_seconds() - began - eighth < 32 * eighth + 0.4;
}
