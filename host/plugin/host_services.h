// What the host lends to one plugin library: log, mem, exec and rng (<tenure/host.h>) behind one tenure_host; and to
// one policy: these, and what its backend does for it.
#pragma once

#include <tenure/host.h>

#include <atomic>
#include <cstdint>
#include <functional>
#include <string>
#include <string_view>

namespace tenure {

// The threads lent to plugins, as function pointers so that this room knows no scheduler. What `ctx` points
// to must outlive every plugin that was given the executor. All four are set; their contracts are
// tenure.exec/1's.
struct Executor {
  void* ctx = nullptr;
  uint32_t (*n_workers)(void* ctx) = nullptr;
  void (*parallel_for)(void* ctx, uint32_t n_tasks, tenure_task task, void* task_ctx) = nullptr;
  void (*hot_begin)(void* ctx) = nullptr;
  void (*hot_end)(void* ctx) = nullptr;
};

// One worker: the calling thread runs the tasks in ascending order.
Executor serial_executor();

// Called on any thread, several at once. level: TENURE_LOG_*.
using LogSink = std::function<void(uint32_t level, std::string_view plugin_id, std::string_view text)>;

// What a library is lent when it is loaded.
struct HostLoan {
  Executor executor = serial_executor();
  LogSink log;                             // empty: the plugin's lines are dropped
  uint64_t memory_allowance = UINT64_MAX;  // bytes from tenure.mem/1 at one time
};

// tenure.rng/1: number `counter` of the splitmix64 stream (Steele, Lea, Flood, OOPSLA 2014) that starts at
// the first output of the one seeded with `seed`.
uint64_t random_bits(uint64_t seed, uint64_t counter);
// The upper 24 bits of random_bits as a multiple of 2^-24.
float random_uniform(uint64_t seed, uint64_t counter);

class Backend;
class HostServices;
struct LentTensors;

// What the services of one tenure_host work on: its ctx.
struct HostScope {
  const HostServices* library;       // whose account and log
  const Backend* backend = nullptr;  // of a policy's host; NULL: nothing of a backend is lent
  const LentTensors* weights = nullptr;  // of a policy's host; NULL: it has no parameter of type "weights"
};

// Its address is what plugins hold, so it stays where it is. Lives as long as the library's plugins.
class HostServices {
 public:
  HostServices(std::string plugin_id, uint32_t agreed_minor, HostLoan loan);
  HostServices(const HostServices&) = delete;
  HostServices& operator=(const HostServices&) = delete;

  const tenure_host* host() const { return &host_; }
  // A host of the same library whose services work on `scope`, which stays where it is.
  tenure_host host_of(const HostScope& scope) const;
  // Bytes the plugin holds now, and the most it ever held. Any thread.
  uint64_t memory_bytes() const { return bytes_.load(std::memory_order_relaxed); }
  uint64_t memory_peak() const { return peak_.load(std::memory_order_relaxed); }

 private:
  static const HostServices& of(const tenure_host*);
  static const void* query(const tenure_host*, tenure_str service_id, uint32_t min_rev);
  static void write(const tenure_host*, uint32_t level, tenure_str text);
  static void* alloc(const tenure_host*, uint64_t bytes, uint64_t alignment);
  static void free(const tenure_host*, void* p);
  static uint32_t n_workers(const tenure_host*);
  static void parallel_for(const tenure_host*, uint32_t n_tasks, tenure_task task, void* ctx);
  static void hot_begin(const tenure_host*);
  static void hot_end(const tenure_host*);
  static tenure_status tensor(const tenure_host*, const tenure_tensor_request*, tenure_tensor* out, tenure_error*);
  static tenure_status net_create(const tenure_host*, const tenure_net_config*, tenure_net** out, tenure_error*);
  static void net_destroy(const tenure_host*, tenure_net*);
  static tenure_status net_run(const tenure_host*, tenure_net*, const tenure_net_rows*, tenure_error*);
  static tenure_status gemm(const tenure_host*, const tenure_gemm*, tenure_error*);
  bool reserve(uint64_t bytes) const;

  std::string plugin_id_;
  HostLoan loan_;
  HostScope scope_{.library = this};
  tenure_host host_;
  mutable std::atomic<uint64_t> bytes_{0};
  mutable std::atomic<uint64_t> peak_{0};
};

}  // namespace tenure
