#include "plugin/host_services.h"

#include <fmt/format.h>
#include <tenure/entry.h>
#include <tenure/model.h>

#include <algorithm>
#include <bit>
#include <cstdlib>
#include <cstring>
#include <utility>

#include "plugin/backend.h"
#include "plugin/call.h"
#include "plugin/lent_tensors.h"

namespace tenure {
namespace {

// In front of every block that alloc gives out.
struct BlockHeader {
  uint64_t bytes;   // as asked for: what is counted
  uint64_t offset;  // of the block from the start of the allocation
};

constexpr uint64_t most_alignment = 4096;

constexpr uint64_t golden = 0x9e3779b97f4a7c15u;  // 2^64 / golden ratio: splitmix64's step

bool has_shape(const tenure_tensor& tensor, const tenure_tensor_request& wanted) {
  if (tensor.n_dims != wanted.n_dims) return false;
  return std::equal(tensor.shape, tensor.shape + tensor.n_dims, wanted.shape, [](uint64_t n, uint64_t want) { return want == 0 || n == want; });
}

// "(128, 960)"; 0 is any number.
std::string shape_text(uint32_t n_dims, const uint64_t* shape) {
  std::string text;
  for (uint32_t i = 0; i < n_dims; ++i) text += fmt::format("{}{}", i == 0 ? "" : ", ", shape[i] == 0 ? "any" : fmt::format("{}", shape[i]));
  return fmt::format("({})", text);
}

uint64_t mix(uint64_t x) {
  x = (x ^ (x >> 30)) * 0xbf58476d1ce4e5b9u;
  x = (x ^ (x >> 27)) * 0x94d049bb133111ebu;
  return x ^ (x >> 31);
}

}  // namespace

Executor serial_executor() {
  return {.ctx = nullptr,
          .n_workers = [](void*) -> uint32_t { return 1; },
          .parallel_for =
              [](void*, uint32_t n_tasks, tenure_task task, void* ctx) {
                for (uint32_t i = 0; i < n_tasks; ++i) task(ctx, i, 0);
              },
          .hot_begin = [](void*) {},
          .hot_end = [](void*) {}};
}

uint64_t random_bits(uint64_t seed, uint64_t counter) {
  return mix(mix(seed + golden) + (counter + 1) * golden);
}

float random_uniform(uint64_t seed, uint64_t counter) {
  return static_cast<float>(random_bits(seed, counter) >> 40) * 0x1p-24f;
}

HostServices::HostServices(std::string plugin_id, uint32_t agreed_minor, HostLoan loan)
    : plugin_id_(std::move(plugin_id)), loan_(std::move(loan)), host_{} {
  host_.head.struct_size = sizeof host_;
  host_.abi_major = TENURE_ABI_MAJOR;
  host_.abi_minor = agreed_minor;
  host_.ctx = &scope_;
  host_.query = query;
}

tenure_host HostServices::host_of(const HostScope& scope) const {
  tenure_host host = host_;
  host.ctx = const_cast<HostScope*>(&scope);
  return host;
}

namespace {

const HostScope& scope_of(const tenure_host* host) {
  return *static_cast<const HostScope*>(host->ctx);
}

}  // namespace

const HostServices& HostServices::of(const tenure_host* host) {
  return *scope_of(host).library;
}

const void* HostServices::query(const tenure_host* self, tenure_str service_id, uint32_t min_rev) {
  static constexpr tenure_log_service log{{sizeof log, 1, 0}, write};
  static constexpr tenure_mem_service mem{{sizeof mem, 1, 0}, alloc, free};
  static constexpr tenure_exec_service exec{{sizeof exec, 1, 0}, n_workers, parallel_for, hot_begin, hot_end};
  static constexpr tenure_rng_service rng{{sizeof rng, 1, 0}, random_bits, random_uniform};
  static constexpr tenure_weights_service weights{{sizeof weights, 1, 0}, tensor};
  static constexpr tenure_nn_service nn{{sizeof nn, 1, 0}, net_create, net_destroy, net_run};
  static constexpr tenure_gemm_service product{{sizeof product, 1, 0}, gemm};
  const std::string_view id(service_id.ptr, service_id.len);
  if (min_rev > 1) return nullptr;
  if (id == "tenure.log/1") return &log;
  if (id == "tenure.mem/1") return &mem;
  if (id == "tenure.exec/1") return &exec;
  if (id == "tenure.rng/1") return &rng;
  if (id == "tenure.weights/1") return scope_of(self).weights != nullptr ? &weights : nullptr;
  const Backend* backend = scope_of(self).backend;
  if (backend == nullptr) return nullptr;
  if (id == "tenure.nn/1") return backend->lends_nets() ? &nn : nullptr;
  if (id == "tenure.gemm/1") return backend->lends_gemm() ? &product : nullptr;
  return nullptr;
}

void HostServices::write(const tenure_host* host, uint32_t level, tenure_str text) {
  const HostServices& self = of(host);
  try {
    if (self.loan_.log) self.loan_.log(level, self.plugin_id_, std::string_view(text.ptr, text.len));
  } catch (...) {
    // A line lost is better than an exception inside the plugin.
  }
}

bool HostServices::reserve(uint64_t bytes) const {
  uint64_t held = bytes_.load(std::memory_order_relaxed);
  do {
    if (bytes > loan_.memory_allowance || held > loan_.memory_allowance - bytes) return false;
  } while (!bytes_.compare_exchange_weak(held, held + bytes, std::memory_order_relaxed));
  uint64_t peak = peak_.load(std::memory_order_relaxed);
  while (peak < held + bytes && !peak_.compare_exchange_weak(peak, held + bytes, std::memory_order_relaxed)) {
  }
  return true;
}

void* HostServices::alloc(const tenure_host* host, uint64_t bytes, uint64_t alignment) {
  if (!std::has_single_bit(alignment) || alignment > most_alignment || bytes > UINT64_MAX / 2) return nullptr;
  const HostServices& self = of(host);
  if (!self.reserve(bytes)) return nullptr;
  const uint64_t offset = std::max<uint64_t>(alignment, sizeof(BlockHeader));
  const uint64_t whole = (offset + bytes + offset - 1) / offset * offset;
  auto* base = static_cast<std::byte*>(std::aligned_alloc(offset, whole));
  if (base == nullptr) {
    self.bytes_.fetch_sub(bytes, std::memory_order_relaxed);
    return nullptr;
  }
  new (base + offset - sizeof(BlockHeader)) BlockHeader{bytes, offset};
  return base + offset;
}

void HostServices::free(const tenure_host* host, void* p) {
  if (p == nullptr) return;
  auto* block = static_cast<std::byte*>(p);
  const BlockHeader header = *reinterpret_cast<const BlockHeader*>(block - sizeof(BlockHeader));
  of(host).bytes_.fetch_sub(header.bytes, std::memory_order_relaxed);
  std::free(block - header.offset);
}

uint32_t HostServices::n_workers(const tenure_host* host) {
  const Executor& executor = of(host).loan_.executor;
  return executor.n_workers(executor.ctx);
}

void HostServices::parallel_for(const tenure_host* host, uint32_t n_tasks, tenure_task task, void* ctx) {
  const Executor& executor = of(host).loan_.executor;
  executor.parallel_for(executor.ctx, n_tasks, task, ctx);
}

void HostServices::hot_begin(const tenure_host* host) {
  const Executor& executor = of(host).loan_.executor;
  executor.hot_begin(executor.ctx);
}

void HostServices::hot_end(const tenure_host* host) {
  const Executor& executor = of(host).loan_.executor;
  executor.hot_end(executor.ctx);
}

tenure_status HostServices::tensor(const tenure_host* host, const tenure_tensor_request* request, tenure_tensor* out,
                                   tenure_error* error) {
  const LentTensors& lent = *scope_of(host).weights;
  const std::string_view name(request->name.ptr, request->name.len);
  const std::string wanted = request->layer == TENURE_ALL_LAYERS ? std::string(name) : fmt::format("layers.{}.{}", request->layer, name);
  const auto found = std::find_if(lent.tensors.begin(), lent.tensors.end(), [&](const tenure_tensor& tensor) {
    return std::string_view(tensor.name.ptr, tensor.name.len) == wanted;
  });
  if (found == lent.tensors.end())
    return tell_plugin(error, TENURE_INVALID_CONFIG, "tensor", fmt::format("{} has no tensor \"{}\"", lent.file, wanted));
  if (!has_shape(*found, *request)) {
    return tell_plugin(error, TENURE_INVALID_CONFIG, "tensor",
                       fmt::format("{}: tensor \"{}\" has shape {}; this model takes {}", lent.file, wanted,
                                   shape_text(found->n_dims, found->shape), shape_text(request->n_dims, request->shape)));
  }
  tenure_tensor full = *found;
  full.head = out->head;
  std::memcpy(out, &full, std::min<size_t>(out->head.struct_size, sizeof full));
  return TENURE_OK;
}

tenure_status HostServices::net_create(const tenure_host* host, const tenure_net_config* config, tenure_net** out,
                                       tenure_error* error) {
  return scope_of(host).backend->net_create(config, out, error);
}

void HostServices::net_destroy(const tenure_host* host, tenure_net* net) {
  if (net != nullptr) scope_of(host).backend->net_destroy(net);
}

tenure_status HostServices::net_run(const tenure_host* host, tenure_net* net, const tenure_net_rows* rows,
                                    tenure_error* error) {
  return scope_of(host).backend->net_run(net, rows, error);
}

tenure_status HostServices::gemm(const tenure_host* host, const tenure_gemm* product, tenure_error* error) {
  return scope_of(host).backend->gemm(product, error);
}

}  // namespace tenure
