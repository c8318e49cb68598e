#include "plugin/backend.h"

#include <fmt/format.h>

#include <utility>

#include "error/error.h"
#include "plugin/call.h"
#include "plugin/config_values.h"
#include "plugin/table.h"

namespace tenure {

struct BackendHandle {
  std::string id;
  tenure_backend_api api;
  tenure_backend* self = nullptr;

  ~BackendHandle() {
    if (self == nullptr) return;
    call_plugin(id, "destroy", [&](tenure_error*) {
      api.destroy(self);
      return TENURE_OK;
    });
  }
};

namespace {

tenure_backend_api full_table(const Library& library) {
  const auto* table = static_cast<const tenure_backend_api*>(library.query(TENURE_BACKEND_INTERFACE, 1));
  const std::string& id = library.id();
  if (table == nullptr) {
    throw Error(Code::plugin_abi,
                fmt::format("plugin \"{}\" does not offer {}", id, TENURE_BACKEND_INTERFACE));
  }
  const tenure_backend_api api = copy_known(table, id, TENURE_BACKEND_INTERFACE);
  require_slot(api.create, id, "create");
  require_slot(api.destroy, id, "destroy");
  require_slot(api.properties, id, "properties");
  require_slot(api.supports_weight, id, "supports_weight");
  require_slot(api.page_layout, id, "page_layout");
  require_slot(api.alloc, id, "alloc");
  require_slot(api.free, id, "free");
  require_slot(api.copy, id, "copy");
  require_slot(api.synchronize, id, "synchronize");
  require_slot(api.weights_create, id, "weights_create");
  require_slot(api.weights_add, id, "weights_add");
  require_slot(api.weights_finish, id, "weights_finish");
  require_slot(api.weights_destroy, id, "weights_destroy");
  require_slot(api.reserve, id, "reserve");
  require_slot(api.forward_begin, id, "forward_begin");
  require_slot(api.embed, id, "embed");
  require_slot(api.qkv, id, "qkv");
  require_slot(api.rope, id, "rope");
  require_slot(api.cache_append, id, "cache_append");
  require_slot(api.attend, id, "attend");
  require_slot(api.attn_out, id, "attn_out");
  require_slot(api.mlp, id, "mlp");
  require_slot(api.head_logits, id, "head_logits");
  require_slot(api.forward_end, id, "forward_end");
  require_slot(api.cache_move, id, "cache_move");
  require_slot(api.cache_copy, id, "cache_copy");
  require_slot(api.cache_rotate, id, "cache_rotate");
  require_slot(api.cache_read, id, "cache_read");
  return api;
}

// One line for each op below: the table's slot with the backend in front and the error behind.
template <typename Slot, typename... Args>
Status call(const BackendHandle& handle, const char* name, Slot slot, Args... args) {
  return call_plugin(handle.id, name, [&](tenure_error* error) { return slot(handle.self, args..., error); });
}

// A call that a policy makes through the host. Its own error is filled by the backend.
template <typename Call>
tenure_status lend(const BackendHandle& handle, const char* name, tenure_error* error, Call&& call) {
  try {
    return call();
  } catch (const std::exception& exception) {
    return tell_plugin(error, TENURE_EXCEPTION, name,
                       fmt::format("an exception left backend \"{}\": {}", handle.id, exception.what()));
  } catch (...) {
    return tell_plugin(error, TENURE_EXCEPTION, name, fmt::format("an exception left backend \"{}\"", handle.id));
  }
}

BackendProperties read_properties(const BackendHandle& handle) {
  tenure_backend_properties raw{};
  raw.head.struct_size = sizeof raw;
  throw_unless_ok(call(handle, "properties", handle.api.properties, &raw));
  if (raw.batch_rows == 0) {
    throw Error(Code::plugin_refused, fmt::format("backend \"{}\" says batch_rows = 0", handle.id));
  }
  if (raw.slot_granularity != 0 && !std::has_single_bit(raw.slot_granularity)) {
    throw Error(Code::plugin_refused, fmt::format("backend \"{}\" says slot_granularity = {}, which is no power of two", handle.id,
                                                  raw.slot_granularity));
  }
  return {.device = std::string(raw.device.ptr, raw.device.len),
          .code_path = std::string(raw.code_path.ptr, raw.code_path.len),
          .memory_bytes = raw.memory_bytes,
          .batch_rows = raw.batch_rows,
          .evidence = raw.evidence,
          .host_visible = raw.host_visible != 0,
          .row_granularity = std::max(raw.row_granularity, 1u),
          .slot_granularity = raw.slot_granularity};
}

bool is_power_of_two(uint64_t x) {
  return x != 0 && (x & (x - 1)) == 0;
}

}  // namespace

DeviceBuffer::DeviceBuffer(DeviceBuffer&& other) noexcept
    : handle_(other.handle_),
      data_(std::exchange(other.data_, nullptr)),
      bytes_(std::exchange(other.bytes_, 0)) {}

DeviceBuffer& DeviceBuffer::operator=(DeviceBuffer&& other) noexcept {
  std::swap(handle_, other.handle_);
  std::swap(data_, other.data_);
  std::swap(bytes_, other.bytes_);
  return *this;
}

DeviceBuffer::~DeviceBuffer() {
  if (data_ == nullptr) return;
  call_plugin(handle_->id, "free", [&](tenure_error*) {
    handle_->api.free(handle_->self, data_);
    return TENURE_OK;
  });
}

DeviceWeights::DeviceWeights(DeviceWeights&& other) noexcept
    : handle_(other.handle_), weights_(std::exchange(other.weights_, nullptr)) {}

DeviceWeights& DeviceWeights::operator=(DeviceWeights&& other) noexcept {
  std::swap(handle_, other.handle_);
  std::swap(weights_, other.weights_);
  return *this;
}

DeviceWeights::~DeviceWeights() {
  if (weights_ == nullptr) return;
  call_plugin(handle_->id, "weights_destroy", [&](tenure_error*) {
    handle_->api.weights_destroy(weights_);
    return TENURE_OK;
  });
}

void DeviceWeights::add(const WeightSource& source) {
  const tenure_weight weight{.head = {.struct_size = sizeof weight},
                             .role = source.role,
                             .layer = source.layer,
                             .dtype = static_cast<uint32_t>(source.dtype),
                             .n_out = source.n_out,
                             .n_in = source.n_in,
                             .data = source.bytes.data(),
                             .bytes = source.bytes.size()};
  throw_unless_ok(
      call_plugin(handle_->id, "weights_add",
                  [&](tenure_error* error) { return handle_->api.weights_add(weights_, &weight, error); }),
      Code::backend_unsupported);
}

uint64_t DeviceWeights::finish() {
  uint64_t bytes = 0;
  throw_unless_ok(call_plugin(handle_->id, "weights_finish", [&](tenure_error* error) {
    return handle_->api.weights_finish(weights_, &bytes, error);
  }));
  return bytes;
}

Backend::Backend(const Library& library, std::vector<ParamValue> params)
    : handle_(new BackendHandle{.id = library.id(), .api = full_table(library)}) {
  const ConfigValues config(library.manifest().params, std::move(params));
  tenure_backend* self = nullptr;
  throw_unless_ok(call_plugin(handle_->id, "create", [&](tenure_error* error) {
    return handle_->api.create(library.services().host(), config.config(), &self, error);
  }));
  if (self == nullptr)
    throw Error(Code::plugin_failed, fmt::format("{}.create gave no backend", handle_->id));
  handle_->self = self;
  properties_ = read_properties(*handle_);
}

Backend::Backend(Backend&&) noexcept = default;
Backend& Backend::operator=(Backend&&) noexcept = default;
Backend::~Backend() = default;

const std::string& Backend::id() const {
  return handle_->id;
}

bool Backend::supports_weight(uint32_t role, Dtype dtype) const {
  const Status status = call_plugin(handle_->id, "supports_weight", [&](tenure_error*) {
    return handle_->api.supports_weight(handle_->self, role, static_cast<uint32_t>(dtype));
  });
  return status.ok();
}

tenure_page_layout Backend::page_layout(uint32_t head_dim, Dtype k_type, Dtype v_type) const {
  tenure_page_layout layout{};
  layout.head.struct_size = sizeof layout;
  throw_unless_ok(call(*handle_, "page_layout", handle_->api.page_layout, head_dim,
                       static_cast<uint32_t>(k_type), static_cast<uint32_t>(v_type), &layout),
                  Code::backend_unsupported);
  const bool is_sound = is_power_of_two(layout.page_slots) && is_power_of_two(layout.alignment) &&
                        layout.page_bytes != 0 && layout.page_bytes % layout.alignment == 0;
  if (is_sound) return layout;
  throw Error(Code::plugin_failed,
              fmt::format("{}.page_layout: {} slots in {} bytes, aligned to {}, is no page", handle_->id,
                          layout.page_slots, layout.page_bytes, layout.alignment));
}

DeviceBuffer Backend::alloc(uint64_t bytes, MemoryKind kind) const {
  void* data = nullptr;
  throw_unless_ok(call(*handle_, "alloc", handle_->api.alloc, bytes, static_cast<uint32_t>(kind), &data));
  if (data == nullptr) throw Error(Code::plugin_failed, fmt::format("{}.alloc gave no memory", handle_->id));
  return {handle_.get(), data, bytes};
}

DeviceWeights Backend::create_weights(const tenure_model_info& model) const {
  tenure_weights* weights = nullptr;
  throw_unless_ok(call(*handle_, "weights_create", handle_->api.weights_create, &model, &weights));
  if (weights == nullptr)
    throw Error(Code::plugin_failed, fmt::format("{}.weights_create gave nothing", handle_->id));
  return {handle_.get(), weights};
}

void Backend::reserve(const DeviceWeights& weights, uint32_t n_rows, uint32_t n_segments,
                      uint32_t n_positions) {
  throw_unless_ok(
      call(*handle_, "reserve", handle_->api.reserve, weights.get(), n_rows, n_segments, n_positions));
}

Status Backend::copy(void* dst, const void* src, uint64_t bytes, CopyDirection direction) {
  return call(*handle_, "copy", handle_->api.copy, dst, src, bytes, static_cast<uint32_t>(direction));
}

Status Backend::synchronize() {
  return call(*handle_, "synchronize", handle_->api.synchronize);
}

Status Backend::forward_begin(const tenure_forward& forward) {
  return call(*handle_, "forward_begin", handle_->api.forward_begin, &forward);
}

Status Backend::embed(const tenure_forward& forward, float* x) {
  return call(*handle_, "embed", handle_->api.embed, &forward, x);
}

Status Backend::qkv(const tenure_forward& forward, uint32_t layer, const float* x, float* q, float* k,
                    float* v, float* hidden) {
  return call(*handle_, "qkv", handle_->api.qkv, &forward, layer, x, q, k, v, hidden);
}

Status Backend::rope(const tenure_forward& forward, uint32_t layer, const float* q, const float* k,
                     float* q_out, float* k_out) {
  return call(*handle_, "rope", handle_->api.rope, &forward, layer, q, k, q_out, k_out);
}

Status Backend::cache_append(const tenure_forward& forward, uint32_t layer, const tenure_segment* segments,
                             const float* k, const float* v) {
  return call(*handle_, "cache_append", handle_->api.cache_append, &forward, layer, segments, k, v);
}

Status Backend::attend(const tenure_forward& forward, uint32_t layer, const tenure_segment* segments,
                       const float* q, float* out) {
  return call(*handle_, "attend", handle_->api.attend, &forward, layer, segments, q, out);
}

Status Backend::attn_out(const tenure_forward& forward, uint32_t layer, const float* in, float* x) {
  return call(*handle_, "attn_out", handle_->api.attn_out, &forward, layer, in, x);
}

Status Backend::mlp(const tenure_forward& forward, uint32_t layer, float* x) {
  return call(*handle_, "mlp", handle_->api.mlp, &forward, layer, x);
}

Status Backend::head_logits(const tenure_forward& forward, const float* x,
                            std::span<const tenure_want> wants) {
  return call(*handle_, "head_logits", handle_->api.head_logits, &forward, x,
              static_cast<uint32_t>(wants.size()), wants.data());
}

Status Backend::forward_end(const tenure_forward& forward) {
  return call(*handle_, "forward_end", handle_->api.forward_end, &forward);
}

Status Backend::cache_move(std::span<const tenure_kv_moves> moves) {
  return call(*handle_, "cache_move", handle_->api.cache_move, static_cast<uint32_t>(moves.size()),
              moves.data());
}

Status Backend::cache_copy(std::span<const tenure_page_copy> copies) {
  return call(*handle_, "cache_copy", handle_->api.cache_copy, static_cast<uint32_t>(copies.size()),
              copies.data());
}

Status Backend::cache_rotate(const DeviceWeights& weights, std::span<const tenure_kv_rotation> rotations) {
  return call(*handle_, "cache_rotate", handle_->api.cache_rotate, weights.get(),
              static_cast<uint32_t>(rotations.size()), rotations.data());
}

Status Backend::cache_read(std::span<const tenure_kv_read> reads) {
  return call(*handle_, "cache_read", handle_->api.cache_read, static_cast<uint32_t>(reads.size()),
              reads.data());
}

bool Backend::lends_nets() const {
  const tenure_backend_api& api = handle_->api;
  return api.net_create != nullptr && api.net_destroy != nullptr && api.net_run != nullptr;
}

tenure_status Backend::net_create(const tenure_net_config* config, tenure_net** out, tenure_error* error) const {
  return lend(*handle_, "net_create", error, [&] { return handle_->api.net_create(handle_->self, config, out, error); });
}

void Backend::net_destroy(tenure_net* net) const {
  lend(*handle_, "net_destroy", nullptr, [&] {
    handle_->api.net_destroy(handle_->self, net);
    return TENURE_OK;
  });
}

tenure_status Backend::net_run(tenure_net* net, const tenure_net_rows* rows, tenure_error* error) const {
  return lend(*handle_, "net_run", error, [&] { return handle_->api.net_run(handle_->self, net, rows, error); });
}

bool Backend::lends_gemm() const {
  return handle_->api.gemm != nullptr;
}

tenure_status Backend::gemm(const tenure_gemm* product, tenure_error* error) const {
  return lend(*handle_, "gemm", error, [&] { return handle_->api.gemm(handle_->self, product, error); });
}

}  // namespace tenure
