// RAII faces of a backend plugin: the device, memory on it, a model's weights on it. What each op computes,
// its shapes and its thread rule are in <tenure/backend.h>; the names are the same.
//
// Set-up calls throw Error (exit 69). [stream] calls return a Status. An exception that a plugin lets through
// becomes TENURE_EXCEPTION. All objects of a Backend must be gone before it, and it before its Library.
#pragma once

#include <tenure/backend.h>

#include <cstdint>
#include <memory>
#include <span>
#include <string>
#include <vector>

#include "plugin/library.h"
#include "plugin/status.h"
#include "tensor/dtype.h"

namespace tenure {

struct BackendProperties {
  std::string device;        // for people
  std::string code_path;     // part of a run's identity
  uint64_t memory_bytes;     // 0 = the process's own memory
  uint32_t batch_rows;       // rows it likes in one forward
  uint32_t evidence;         // TENURE_EVIDENCE_* bits it can supply
  bool host_visible;         // buffers may be read and written by the host after synchronize()
  uint32_t row_granularity;   // >= 1
  uint32_t slot_granularity;  // a power of two; 0 = windows are not trimmed
};

enum class MemoryKind : uint32_t { activations = TENURE_MEMORY_ACTIVATIONS, pool = TENURE_MEMORY_POOL };
enum class CopyDirection : uint32_t {
  to_device = TENURE_COPY_TO_DEVICE,
  to_host = TENURE_COPY_TO_HOST,
  on_device = TENURE_COPY_ON_DEVICE,
};

// One weight, as given once to the backend (<tenure/backend.h>, "weights").
struct WeightSource {
  uint32_t role;   // TENURE_WEIGHT_*
  uint32_t layer;  // TENURE_ALL_LAYERS for those of no layer
  Dtype dtype;
  uint64_t n_out;  // 1 for a vector
  uint64_t n_in;
  std::span<const std::byte> bytes;
};

// The host's full copy of a backend's table and its object; stays in place so that buffers can point to it.
struct BackendHandle;

// Memory from alloc(); freed with it.
class DeviceBuffer {
 public:
  DeviceBuffer() = default;
  DeviceBuffer(DeviceBuffer&&) noexcept;
  DeviceBuffer& operator=(DeviceBuffer&&) noexcept;
  ~DeviceBuffer();

  void* data() const { return data_; }
  float* floats() const { return static_cast<float*>(data_); }
  uint64_t bytes() const { return bytes_; }
  explicit operator bool() const { return data_ != nullptr; }

 private:
  friend class Backend;
  DeviceBuffer(const BackendHandle* handle, void* data, uint64_t bytes)
      : handle_(handle), data_(data), bytes_(bytes) {}

  const BackendHandle* handle_ = nullptr;
  void* data_ = nullptr;
  uint64_t bytes_ = 0;
};

// A model's weights in the backend's own packing.
class DeviceWeights {
 public:
  DeviceWeights() = default;
  DeviceWeights(DeviceWeights&&) noexcept;
  DeviceWeights& operator=(DeviceWeights&&) noexcept;
  ~DeviceWeights();

  // The source may vanish when add() returns. finish() checks that all are there and returns the packed
  // bytes.
  void add(const WeightSource&);
  uint64_t finish();
  const tenure_weights* get() const { return weights_; }
  explicit operator bool() const { return weights_ != nullptr; }

 private:
  friend class Backend;
  DeviceWeights(const BackendHandle* handle, tenure_weights* weights) : handle_(handle), weights_(weights) {}

  const BackendHandle* handle_ = nullptr;
  tenure_weights* weights_ = nullptr;
};

class Backend {
 public:
  // params: in the order of the library's manifest, complete. The library outlives the backend.
  Backend(const Library& library, std::vector<ParamValue> params);
  Backend(Backend&&) noexcept;
  Backend& operator=(Backend&&) noexcept;
  ~Backend();

  const std::string& id() const;
  const BackendProperties& properties() const { return properties_; }
  bool supports_weight(uint32_t role, Dtype) const;
  tenure_page_layout page_layout(uint32_t head_dim, Dtype k_type, Dtype v_type) const;

  DeviceBuffer alloc(uint64_t bytes, MemoryKind kind = MemoryKind::activations) const;
  DeviceWeights create_weights(const tenure_model_info&) const;
  void reserve(const DeviceWeights&, uint32_t n_rows, uint32_t n_segments, uint32_t n_positions);

  Status copy(void* dst, const void* src, uint64_t bytes, CopyDirection);
  Status synchronize();

  Status forward_begin(const tenure_forward&);
  Status embed(const tenure_forward&, float* x);
  Status qkv(const tenure_forward&, uint32_t layer, const float* x, float* q, float* k, float* v,
             float* hidden);
  Status rope(const tenure_forward&, uint32_t layer, const float* q, const float* k, float* q_out,
              float* k_out);
  Status cache_append(const tenure_forward&, uint32_t layer, const tenure_segment* segments, const float* k,
                      const float* v);
  Status attend(const tenure_forward&, uint32_t layer, const tenure_segment* segments, const float* q,
                float* out);
  Status attn_out(const tenure_forward&, uint32_t layer, const float* in, float* x);
  Status mlp(const tenure_forward&, uint32_t layer, float* x);
  Status head_logits(const tenure_forward&, const float* x, std::span<const tenure_want> wants);
  Status forward_end(const tenure_forward&);

  Status cache_move(std::span<const tenure_kv_moves>);
  Status cache_copy(std::span<const tenure_page_copy>);
  Status cache_rotate(const DeviceWeights&, std::span<const tenure_kv_rotation>);
  Status cache_read(std::span<const tenure_kv_read>);

  // What policies are lent (<tenure/host.h>): their calls and the answers go straight through.
  bool lends_nets() const;
  tenure_status net_create(const tenure_net_config*, tenure_net** out, tenure_error*) const;
  void net_destroy(tenure_net*) const;
  tenure_status net_run(tenure_net*, const tenure_net_rows*, tenure_error*) const;
  bool lends_gemm() const;
  tenure_status gemm(const tenure_gemm*, tenure_error*) const;

 private:
  std::unique_ptr<BackendHandle> handle_;
  BackendProperties properties_{};
};

}  // namespace tenure
