#include "bench/bandwidth.h"

#include <sys/mman.h>
#include <unistd.h>

#include <algorithm>
#include <atomic>
#include <chrono>
#include <cstddef>
#include <thread>
#include <vector>

namespace tenure {
namespace {

using Clock = std::chrono::steady_clock;

// One sequential stream draws about 70 % of what a core can: the prefetcher stops at page borders.
constexpr size_t n_streams = 8;
constexpr size_t block_bytes = size_t{4} << 20;
constexpr auto duration = std::chrono::milliseconds(200);

// Vectors of the baseline instruction set are enough: 16 bytes a load reach any core's share of DRAM.
typedef uint64_t Vector __attribute__((vector_size(16)));
constexpr size_t vectors_of_line = 64 / sizeof(Vector);
constexpr size_t block_vectors = block_bytes / sizeof(Vector);

// Sums one block, n_streams places at once.
uint64_t sum(const Vector* block) {
  constexpr size_t stride = block_vectors / n_streams;
  Vector sums[n_streams] = {};
  for (size_t i = 0; i < stride; i += vectors_of_line) {
    for (size_t s = 0; s < n_streams; ++s) {
      const Vector* line = block + s * stride + i;
      for (size_t v = 0; v < vectors_of_line; ++v) sums[s] += line[v];
    }
  }
  for (size_t s = 1; s < n_streams; ++s) sums[0] += sums[s];
  return sums[0][0] + sums[0][1];
}

// All ones, so that a sum tells that every byte was read. On large pages where the machine has them.
class Ones {
 public:
  explicit Ones(size_t n_bytes) : n_bytes_(n_bytes) {
    void* p = ::mmap(nullptr, n_bytes, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    if (p == MAP_FAILED) return;
    ::madvise(p, n_bytes, MADV_HUGEPAGE);
    data_ = static_cast<uint64_t*>(p);
    std::fill(data_, data_ + n_bytes / sizeof(uint64_t), uint64_t{1});
  }
  Ones(const Ones&) = delete;
  Ones& operator=(const Ones&) = delete;
  ~Ones() {
    if (data_ != nullptr) ::munmap(data_, n_bytes_);
  }
  explicit operator bool() const { return data_ != nullptr; }
  size_t n_blocks() const { return n_bytes_ / block_bytes; }
  const Vector* block(size_t i) const { return reinterpret_cast<const Vector*>(data_) + i * block_vectors; }

 private:
  size_t n_bytes_;
  uint64_t* data_ = nullptr;
};

// Beyond any cache we know the size of, but never a large part of what is free.
size_t working_set() {
  const long l3 = std::max(0L, ::sysconf(_SC_LEVEL3_CACHE_SIZE));
  const size_t wanted = std::clamp(2 * static_cast<size_t>(l3), size_t{256} << 20, size_t{1} << 30);
  const size_t available = static_cast<size_t>(std::max(0L, ::sysconf(_SC_AVPHYS_PAGES))) *
                           static_cast<size_t>(::sysconf(_SC_PAGESIZE));
  return std::min(wanted, available / 4) / block_bytes * block_bytes;
}

struct Share {
  double gbps = 0;
  bool complete = false;  // the sums say that every byte was read
};

// Reads blocks [first, last) in turn until the time is over.
Share read_blocks(const Ones& ones, size_t first, size_t last, const std::atomic<bool>& go) {
  while (!go.load(std::memory_order_acquire)) {
  }
  uint64_t total = 0;
  uint64_t n_read = 0;
  const auto began = Clock::now();
  auto now = began;
  for (size_t at = first; now - began < duration; at = at + 1 < last ? at + 1 : first) {
    total += sum(ones.block(at));
    ++n_read;
    now = Clock::now();
  }
  const double seconds = std::chrono::duration<double>(now - began).count();
  const double n_bytes = static_cast<double>(n_read) * block_bytes;
  return {.gbps = n_bytes / seconds / 1e9, .complete = total == n_read * (block_bytes / sizeof(uint64_t))};
}

double read_gbps(const Ones& ones, uint32_t n_threads) {
  if (!ones || ones.n_blocks() < n_threads) return 0;
  std::atomic<bool> go = false;
  std::vector<Share> shares(n_threads);
  std::vector<std::thread> threads;
  for (uint32_t t = 0; t < n_threads; ++t) {
    threads.emplace_back([&, t] {
      shares[t] =
          read_blocks(ones, ones.n_blocks() * t / n_threads, ones.n_blocks() * (t + 1) / n_threads, go);
    });
  }
  go.store(true, std::memory_order_release);
  for (std::thread& thread : threads) thread.join();
  double gbps = 0;
  for (const Share& share : shares) {
    if (!share.complete) return 0;
    gbps += share.gbps;
  }
  return gbps;
}

}  // namespace

Bandwidth read_bandwidth(uint32_t n_threads) {
  const Ones ones(working_set());
  Bandwidth bandwidth{.one_thread = read_gbps(ones, 1)};
  bandwidth.all_threads = n_threads > 1 ? read_gbps(ones, n_threads) : bandwidth.one_thread;
  return bandwidth;
}

}  // namespace tenure
