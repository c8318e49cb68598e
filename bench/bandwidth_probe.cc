// bandwidth_probe [THREADS]: the read bandwidth of memory right now, as one JSON line. It stands beside every
// ratio of bench/compare, because on a shared machine the ratio shifts with it.
//
// Each thread reads 8 streams at once: one sequential stream draws only about 70 % of what a core can (the
// prefetcher stops at page borders). The buffer is larger than any cache we meet, and all threads start
// together.
#include <atomic>
#include <charconv>
#include <chrono>
#include <cstddef>
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <numeric>
#include <string_view>
#include <thread>
#include <vector>

namespace {

using Clock = std::chrono::steady_clock;

constexpr size_t kStreams = 8;
constexpr size_t kBytes = size_t{512} << 20;
constexpr auto kDuration = std::chrono::milliseconds(200);

// One 64-byte vector of the widest kind the compiler has for us; plain loads, no arithmetic worth mentioning.
typedef uint64_t Line __attribute__((vector_size(64)));

// Sums every line of `lines`, kStreams places at once.
Line sweep(const Line* lines, size_t n_lines) {
  const size_t stride = n_lines / kStreams;
  Line sums[kStreams] = {};
  for (size_t i = 0; i < stride; ++i) {
    for (size_t s = 0; s < kStreams; ++s) sums[s] += lines[s * stride + i];
  }
  for (size_t s = 1; s < kStreams; ++s) sums[0] += sums[s];
  return sums[0];
}

struct Share {
  uint64_t n_bytes = 0;
  double seconds = 0;
  uint64_t checksum = 0;
};

// Reads its own part of the buffer, 4 MiB at a time, until the time is over.
Share read_until(const Line* lines, size_t n_lines, const std::atomic<bool>& go) {
  constexpr size_t block = (size_t{4} << 20) / sizeof(Line);
  while (!go.load(std::memory_order_acquire)) {
  }
  Share share;
  const auto start = Clock::now();
  for (size_t at = 0; Clock::now() - start < kDuration; at = at + 2 * block <= n_lines ? at + block : 0) {
    share.checksum += sweep(lines + at, block)[0];
    share.n_bytes += block * sizeof(Line);
  }
  share.seconds = std::chrono::duration<double>(Clock::now() - start).count();
  return share;
}

double read_gbps(const std::vector<Line>& buffer, int n_threads) {
  std::atomic<bool> go = false;
  std::vector<Share> shares(n_threads);
  std::vector<std::thread> threads;
  const size_t part = buffer.size() / n_threads;
  for (int t = 0; t < n_threads; ++t) {
    threads.emplace_back([&, t] { shares[t] = read_until(buffer.data() + t * part, part, go); });
  }
  go.store(true, std::memory_order_release);
  for (auto& thread : threads) thread.join();
  double gbps = 0;
  uint64_t checksum = 0;
  for (const Share& share : shares) {
    gbps += share.n_bytes / share.seconds / 1e9;
    checksum += share.checksum;
  }
  // The buffer is all ones: a wrong sum means that the compiler dropped the reads or that memory is broken.
  const uint64_t n_lines =
      std::accumulate(shares.begin(), shares.end(), uint64_t{0},
                      [](uint64_t sum, const Share& share) { return sum + share.n_bytes; }) /
      sizeof(Line);
  return checksum == n_lines ? gbps : 0;
}

}  // namespace

int main(int argc, char** argv) {
  int n_threads = 2;
  if (argc > 1) {
    const std::string_view text = argv[1];
    const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), n_threads);
    if (error != std::errc{} || end != text.data() + text.size() || n_threads < 1 || n_threads > 256) {
      std::fprintf(stderr, "usage: bandwidth_probe [THREADS]\n");
      return 64;
    }
  }
  Line ones;
  for (size_t i = 0; i < 8; ++i) ones[i] = 1;
  const std::vector<Line> buffer(kBytes / sizeof(Line), ones);
  std::printf("{\"threads\": %d, \"read_gbps_1t\": %.1f, \"read_gbps\": %.1f}\n", n_threads,
              read_gbps(buffer, 1), read_gbps(buffer, n_threads));
  return 0;
}
