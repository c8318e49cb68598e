// The plugin's tables: arguments checked, exceptions stopped, ops called. Everything runs on the calling
// thread and the host's workers, so work is done when a call returns and synchronize() has nothing to wait
// for.
#include <tenure/backend.h>
#include <tenure/entry.h>

#include <algorithm>
#include <cstdlib>
#include <cstring>
#include <new>
#include <string>

#include "cache_append.h"
#include "cache_move.h"
#include "device.h"
#include "gemm.h"
#include "page_layout.h"

struct tenure_backend {
  tenure::cpu::Device device;
};
struct tenure_weights {
  tenure_weights(const tenure_model_info& info, tenure_backend* owner) : weights(info), backend(owner) {}
  tenure::cpu::Weights weights;
  tenure_backend* backend;
};

struct tenure_net {
  tenure::cpu::Net net;
};

namespace tenure::cpu {
namespace {

constexpr uint32_t kBatchRows = 512;
constexpr uint32_t kMaxRuns = 8;  // of one head: the host re-rotates keys beyond that many

tenure_str text(const std::string& s) {
  return {s.data(), s.size()};
}
constexpr tenure_str text(const char* s) {
  return {s, std::char_traits<char>::length(s)};
}

tenure_status fail(tenure_error* error, tenure_status code, const char* where, const std::string& what) {
  if (!error) return code;
  tenure_error full{.head = error->head, .code = code, .native = 0, .where = {}, .text = {}};
  std::strncpy(full.where, where, sizeof full.where - 1);
  std::strncpy(full.text, what.c_str(), sizeof full.text - 1);
  std::memcpy(error, &full, std::min<size_t>(error->head.struct_size, sizeof full));
  return code;
}

// No exception crosses the border; what can throw here is memory running out.
template <class Body>
tenure_status guarded(tenure_error* error, const char* where, const Body& body) noexcept {
  try {
    return body();
  } catch (const std::bad_alloc&) {
    return fail(error, TENURE_OOM_HOST, where, "out of memory");
  } catch (const std::exception& exception) {
    return fail(error, TENURE_EXCEPTION, where, exception.what());
  }
}

// Writes what the reader knows of a struct; its head stays.
template <class T>
void fill(T* out, T value) {
  value.head = out->head;
  std::memcpy(out, &value, std::min<size_t>(out->head.struct_size, sizeof value));
}

// A newer host's members are no news while they are zero.
template <class T>
bool is_too_new(const T* in) {
  const auto* bytes = reinterpret_cast<const unsigned char*>(in);
  return std::any_of(bytes + std::min<size_t>(sizeof(T), in->head.struct_size), bytes + in->head.struct_size,
                     [](unsigned char byte) { return byte != 0; });
}

// What an older host leaves out is zero.
template <class T>
T known_part(const T* in) {
  T known{};
  std::memcpy(&known, in, std::min<size_t>(sizeof known, in->head.struct_size));
  return known;
}

tenure_status too_new(tenure_error* error, const char* where) {
  return fail(error, TENURE_TOO_NEW, where, "the host uses members that this backend does not know");
}

// ---- device ----

tenure_status create(const tenure_host* host, const tenure_config*, tenure_backend** out,
                     tenure_error* error) {
  return guarded(error, "create", [&]() -> tenure_status {
    const void* exec = host->query(host, text("tenure.exec/1"), 1);
    if (!exec) return fail(error, TENURE_UNSUPPORTED, "create", "the host lends no tenure.exec/1");
    const char* forced = std::getenv("TENURE_CPU");
    const Kernels* kernels = choose_kernels(forced);
    const AttendKernels* attend_kernels = choose_attend_kernels(forced);
    if (!kernels || !attend_kernels) {
      return fail(error, TENURE_UNSUPPORTED, "create",
                  std::string("TENURE_CPU=") + forced +
                      ": this CPU or this build has no such path (scalar, avx2, avx512, amx)");
    }
    prepare_gemm();
    auto backend = std::make_unique<tenure_backend>();
    Device& device = backend->device;
    device.exec = {.host = host, .service = static_cast<const tenure_exec_service*>(exec)};
    device.kernels = kernels;
    device.prefill = choose_prefill_products(forced);
    device.attend_kernels = attend_kernels;
    device.pair_products = choose_pair_products(forced);
    device.name = cpu_name() + ", " + std::to_string(device.exec.n_workers()) + " threads";
    device.code_path = device.prefill ? device.prefill->name : kernels->name;
    if (device.code_path != attend_kernels->name) device.code_path += std::string("+") + attend_kernels->name;
    *out = backend.release();
    return TENURE_OK;
  });
}

void destroy(tenure_backend* self) {
  delete self;
}

tenure_status properties(const tenure_backend* self, tenure_backend_properties* out, tenure_error*) {
  fill(out, {.device = text(self->device.name),
             .code_path = text(self->device.code_path),
             .memory_bytes = 0,
             .batch_rows = kBatchRows,
             .evidence = TENURE_EVIDENCE_Q_PRE | TENURE_EVIDENCE_K_PRE | TENURE_EVIDENCE_V |
                         TENURE_EVIDENCE_K_POST | TENURE_EVIDENCE_HIDDEN | TENURE_EVIDENCE_ATTENTION_MASS |
                         TENURE_EVIDENCE_TOKEN_IDS | TENURE_EVIDENCE_CACHED_K | TENURE_EVIDENCE_CACHED_V |
                         TENURE_EVIDENCE_Q_POST,
             .host_visible = 1,
             .row_granularity = kMassTokens,     // mass is summed in groups of so many rows
             .slot_granularity = kBlockSlots});  // prefill's blocks and decode's splits begin at multiples of it
  return TENURE_OK;
}

tenure_status supports_weight(const tenure_backend*, uint32_t role, uint32_t dtype) {
  return Weights::supports(role, dtype) ? TENURE_OK : TENURE_UNSUPPORTED;
}

tenure_status page_layout_of(const tenure_backend*, uint32_t head_dim, uint32_t k_type, uint32_t v_type,
                             tenure_page_layout* out, tenure_error* error) {
  const PageLayout layout{head_dim, k_type, v_type};
  if (!layout.supported()) {
    return fail(error, TENURE_UNSUPPORTED, "page_layout",
                "keys and values are f32, f16 or bf16 with a head_dim that is a multiple of 16, or q8_0 or q4_1 "
                "(q4) with a multiple of 32, up to 256");
  }
  fill(out, {.page_slots = kPageSlots, .alignment = 64, .page_bytes = layout.bytes()});
  return TENURE_OK;
}

tenure_status alloc(tenure_backend* self, uint64_t bytes, uint32_t, void** out, tenure_error* error) {
  return guarded(error, "alloc", [&]() -> tenure_status {
    Block block = Block::map(bytes);
    if (!block.data())
      return fail(error, TENURE_OOM_HOST, "alloc", "the system has no " + std::to_string(bytes) + " bytes");
    *out = block.data();
    self->device.allocations.emplace(*out, std::move(block));
    return TENURE_OK;
  });
}

void free_memory(tenure_backend* self, void* p) {
  self->device.allocations.erase(p);
}

tenure_status copy(tenure_backend*, void* dst, const void* src, uint64_t bytes, uint32_t, tenure_error*) {
  if (bytes != 0) std::memmove(dst, src, bytes);
  return TENURE_OK;
}

tenure_status synchronize(tenure_backend*, tenure_error*) {
  return TENURE_OK;
}

// ---- weights ----

tenure_status weights_create(tenure_backend* self, const tenure_model_info* info, tenure_weights** out,
                             tenure_error* error) {
  return guarded(error, "weights_create", [&]() -> tenure_status {
    if (is_too_new(info)) return too_new(error, "weights_create");
    const tenure_model_info known = known_part(info);
    const std::string why = Weights::unsupported(known);
    if (!why.empty()) return fail(error, TENURE_UNSUPPORTED, "weights_create", why);
    *out = new tenure_weights(known, self);
    return TENURE_OK;
  });
}

tenure_status weights_add(tenure_weights* self, const tenure_weight* weight, tenure_error* error) {
  return guarded(error, "weights_add", [&]() -> tenure_status {
    if (is_too_new(weight)) return too_new(error, "weights_add");
    const std::string why = self->weights.add(*weight, self->backend->device.exec);
    return why.empty() ? TENURE_OK : fail(error, TENURE_UNSUPPORTED, "weights_add", why);
  });
}

tenure_status weights_finish(tenure_weights* self, uint64_t* bytes, tenure_error* error) {
  return guarded(error, "weights_finish", [&]() -> tenure_status {
    const std::string missing = self->weights.missing();
    if (!missing.empty()) return fail(error, TENURE_INVALID_STATE, "weights_finish", missing + " is missing");
    self->weights.finish();
    *bytes = self->weights.bytes();
    return TENURE_OK;
  });
}

void weights_destroy(tenure_weights* self) {
  delete self;
}

tenure_status reserve(tenure_backend* self, const tenure_weights* weights, uint32_t n_rows,
                      uint32_t n_segments, uint32_t n_positions, tenure_error* error) {
  return guarded(error, "reserve", [&]() -> tenure_status {
    Device& device = self->device;
    const Weights& w = weights->weights;
    device.reserve(w, n_rows);
    const_cast<tenure_weights*>(weights)->weights.reserve_positions(n_positions);
    for (uint32_t i = 0; i < w.n_layers(); ++i) {
      const tenure_layer_info& layer = w.layer_info(i);
      const AttendLimits limits{.n_rows = n_rows,
                                .n_segments = n_segments,
                                .n_slots = n_positions,
                                .n_heads = w.n_heads(),
                                .n_kv_heads = layer.n_kv_heads,
                                .head_dim = layer.head_dim,
                                .n_runs = kMaxRuns};
      const tenure_status status =
          attend_reserve(*device.attend_kernels, device.exec, limits, device.attend_scratch);
      if (status != TENURE_OK) return fail(error, status, "reserve", "no memory for attention's scratch");
    }
    return TENURE_OK;
  });
}

// ---- forward ----

const Weights& model(const tenure_forward* forward) {
  return forward->weights->weights;
}

tenure_status forward_begin(tenure_backend* self, const tenure_forward* forward, tenure_error* error) {
  return guarded(error, "forward_begin", [&]() -> tenure_status {
    const uint32_t reserved = self->device.workspace.size.n_rows;
    if (forward->n_rows == 0 || forward->n_rows > reserved) {
      return fail(error, TENURE_INVALID_STATE, "forward_begin",
                  std::to_string(forward->n_rows) + " rows, reserved for 1 to " + std::to_string(reserved));
    }
    const uint32_t n_vocab = model(forward).n_vocab();
    for (uint32_t i = 0; i < forward->n_rows; ++i) {
      forward->first_bad_layer[i] = -1;
      if (static_cast<uint32_t>(forward->ids[i]) >= n_vocab) {
        return fail(error, TENURE_INVALID_CONFIG, "forward_begin",
                    "token id " + std::to_string(forward->ids[i]) + ", the vocabulary has " +
                        std::to_string(n_vocab));
      }
    }
    const Exec& exec = self->device.exec;
    exec.service->hot_begin(exec.host);
    return TENURE_OK;
  });
}

tenure_status forward_end(tenure_backend* self, const tenure_forward*, tenure_error*) {
  const Exec& exec = self->device.exec;
  exec.service->hot_end(exec.host);
  return TENURE_OK;
}

tenure_status embed_op(tenure_backend* self, const tenure_forward* forward, float* x, tenure_error*) {
  embed(self->device, model(forward), *forward, x);
  return TENURE_OK;
}

tenure_status qkv_op(tenure_backend* self, const tenure_forward* forward, uint32_t layer, const float* x,
                     float* q, float* k, float* v, float* hidden, tenure_error*) {
  qkv(self->device, model(forward), *forward,
      {.layer = layer, .x = x, .q = q, .k = k, .v = v, .hidden = hidden});
  return TENURE_OK;
}

tenure_status rope_op(tenure_backend* self, const tenure_forward* forward, uint32_t layer, const float* q,
                      const float* k, float* q_out, float* k_out, tenure_error*) {
  const Weights& w = model(forward);
  const tenure_layer_info& info = w.layer_info(layer);
  rope(*self->device.attend_kernels, self->device.exec, w.rope(layer),
       {.positions = forward->positions,
        .n_rows = forward->n_rows,
        .head_dim = info.head_dim,
        .n_heads = w.n_heads(),
        .n_kv_heads = info.n_kv_heads,
        .q = q,
        .k = k,
        .q_out = q_out,
        .k_out = k_out});
  return TENURE_OK;
}

tenure_status cache_append_op(tenure_backend* self, const tenure_forward* forward, uint32_t layer,
                              const tenure_segment* segments, const float* k, const float* v, tenure_error*) {
  const tenure_layer_info& info = model(forward).layer_info(layer);
  cache_append(*self->device.attend_kernels, self->device.exec,
               {.segments = segments,
                .n_segments = forward->n_segments,
                .n_kv_heads = info.n_kv_heads,
                .head_dim = info.head_dim,
                .k = k,
                .v = v});
  return TENURE_OK;
}

tenure_status attend_op(tenure_backend* self, const tenure_forward* forward, uint32_t layer,
                        const tenure_segment* segments, const float* q, float* out, tenure_error* error) {
  const Weights& w = model(forward);
  const tenure_layer_info& info = w.layer_info(layer);
  const tenure_status status = attend(*self->device.attend_kernels, self->device.exec,
                                      {.segments = segments,
                                       .n_segments = forward->n_segments,
                                       .n_heads = w.n_heads(),
                                       .n_kv_heads = info.n_kv_heads,
                                       .head_dim = info.head_dim,
                                       .window = info.window,
                                       .scale = info.attention_scale,
                                       .rope = &w.rope(layer),
                                       .q = q,
                                       .out = out},
                                      self->device.attend_scratch);
  return status == TENURE_OK ? status : fail(error, status, "attend", "no memory for scratch");
}

tenure_status attn_out_op(tenure_backend* self, const tenure_forward* forward, uint32_t layer,
                          const float* in, float* x, tenure_error*) {
  attn_out(self->device, model(forward), *forward, layer, in, x);
  return TENURE_OK;
}

tenure_status mlp_op(tenure_backend* self, const tenure_forward* forward, uint32_t layer, float* x,
                     tenure_error*) {
  mlp(self->device, model(forward), *forward, layer, x);
  return TENURE_OK;
}

tenure_status head_logits_op(tenure_backend* self, const tenure_forward* forward, const float* x,
                             uint32_t n_wants, const tenure_want* wants, tenure_error*) {
  head_logits(self->device, model(forward), *forward, x, n_wants, wants);
  return TENURE_OK;
}

tenure_status cache_read_op(tenure_backend* self, uint32_t n, const tenure_kv_read* reads, tenure_error*) {
  cache_read(*self->device.attend_kernels, self->device.exec, n, reads);
  return TENURE_OK;
}

tenure_status cache_move_op(tenure_backend* self, uint32_t n, const tenure_kv_moves* moves, tenure_error*) {
  cache_move(self->device.exec, n, moves);
  return TENURE_OK;
}

tenure_status cache_copy_op(tenure_backend* self, uint32_t n, const tenure_page_copy* copies, tenure_error*) {
  cache_copy(self->device.exec, n, copies);
  return TENURE_OK;
}

tenure_status cache_rotate_op(tenure_backend* self, const tenure_weights* weights, uint32_t n,
                              const tenure_kv_rotation* rotations, tenure_error*) {
  const Weights& w = weights->weights;
  self->device.exec.for_each(n, [&](uint32_t i, uint32_t) {
    const uint32_t layer = rotations[i].layer;
    cache_rotate(*self->device.attend_kernels, w.rope(layer), rotations[i], w.layer_info(layer).head_dim);
  });
  return TENURE_OK;
}

// ---- lent to policies ----

tenure_status net_create(tenure_backend* self, const tenure_net_config* config, tenure_net** out, tenure_error* error) {
  return guarded(error, "net_create", [&]() -> tenure_status {
    if (is_too_new(config)) return too_new(error, "net_create");
    const tenure_net_config known = known_part(config);
    const std::string why = Net::fault(known);
    if (!why.empty()) return fail(error, TENURE_UNSUPPORTED, "net_create", why);
    Device& device = self->device;
    auto net = std::make_unique<tenure_net>(Net(known, {device.kernels, device.pair_products}, device.exec));
    device.net_scratch.reserve(device.exec.n_workers(), net->net.widest());
    *out = net.release();
    return TENURE_OK;
  });
}

void net_destroy(tenure_backend*, tenure_net* net) {
  delete net;
}

tenure_status net_run(tenure_backend* self, tenure_net* net, const tenure_net_rows* rows, tenure_error* error) {
  return guarded(error, "net_run", [&]() -> tenure_status {
    if (is_too_new(rows)) return too_new(error, "net_run");
    const tenure_net_rows known = known_part(rows);
    const std::string why = net->net.fault(known);
    if (!why.empty()) return fail(error, TENURE_UNSUPPORTED, "net_run", why);
    net->net.run(self->device.exec, self->device.net_scratch, known);
    return TENURE_OK;
  });
}

tenure_status gemm_op(tenure_backend* self, const tenure_gemm* product, tenure_error* error) {
  return guarded(error, "gemm", [&]() -> tenure_status {
    if (is_too_new(product)) return too_new(error, "gemm");
    const tenure_gemm known = known_part(product);
    const std::string why = gemm_fault(known);
    if (!why.empty()) return fail(error, TENURE_UNSUPPORTED, "gemm", why);
    gemm(self->device.exec, known);
    return TENURE_OK;
  });
}

constexpr tenure_backend_api kApi = {
    .head = {.struct_size = sizeof(tenure_backend_api), .rev = 1, .flags = 0},
    .create = create,
    .destroy = destroy,
    .properties = properties,
    .supports_weight = supports_weight,
    .page_layout = page_layout_of,
    .alloc = alloc,
    .free = free_memory,
    .copy = copy,
    .synchronize = synchronize,
    .weights_create = weights_create,
    .weights_add = weights_add,
    .weights_finish = weights_finish,
    .weights_destroy = weights_destroy,
    .reserve = reserve,
    .forward_begin = forward_begin,
    .embed = embed_op,
    .qkv = qkv_op,
    .rope = rope_op,
    .cache_append = cache_append_op,
    .attend = attend_op,
    .attn_out = attn_out_op,
    .mlp = mlp_op,
    .head_logits = head_logits_op,
    .forward_end = forward_end,
    .cache_move = cache_move_op,
    .cache_copy = cache_copy_op,
    .cache_rotate = cache_rotate_op,
    .cache_read = cache_read_op,
    .net_create = net_create,
    .net_destroy = net_destroy,
    .net_run = net_run,
    .gemm = gemm_op};

const void* query(const tenure_plugin*, tenure_str interface_id, uint32_t min_rev) {
  constexpr tenure_str ours = text(TENURE_BACKEND_INTERFACE);
  if (interface_id.len != ours.len || std::memcmp(interface_id.ptr, ours.ptr, ours.len) != 0) return nullptr;
  return min_rev <= kApi.head.rev ? &kApi : nullptr;
}

constexpr tenure_plugin kPlugin = {.head = {.struct_size = sizeof(tenure_plugin), .rev = 0, .flags = 0},
                                   .id = text("cpu"),
                                   .kind = text("backend"),
                                   .query = query};
constexpr const tenure_plugin* kPlugins[] = {&kPlugin};
constexpr tenure_library kLibrary = {.head = {.struct_size = sizeof(tenure_library), .rev = 0, .flags = 0},
                                     .abi_major = TENURE_ABI_MAJOR,
                                     .abi_minor_built = TENURE_ABI_MINOR,
                                     .abi_minor_min = 1,
                                     .n_plugins = 1,
                                     .id = text("cpu"),
                                     .version = text("1.0.0"),
                                     .plugins = kPlugins,
                                     .init = nullptr,
                                     .fini = nullptr};

}  // namespace
}  // namespace tenure::cpu

const tenure_library* tenure_library_v1(void) {
  return &tenure::cpu::kLibrary;
}
