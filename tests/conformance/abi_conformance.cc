// What a backend owes its caller besides numbers: refusals, order, struct sizes, errors.
#include <doctest/doctest.h>

#include <bit>
#include <cmath>
#include <cstring>
#include <limits>
#include <string>

#include "conformance/test_cache.h"
#include "error/error.h"
#include "reference/elements.h"

namespace tenure::conformance {
namespace {

// The table itself: some rules are below what the RAII faces let through.
class RawBackend {
 public:
  RawBackend() : api_(static_cast<const tenure_backend_api*>(library().query(TENURE_BACKEND_INTERFACE, 1))) {
    REQUIRE(api_ != nullptr);
    const tenure_config config{
        .head = {.struct_size = sizeof config}, .n = 0, .stride = sizeof(tenure_value), .values = nullptr};
    REQUIRE(api_->create(library().services().host(), &config, &self_, nullptr) == TENURE_OK);
  }
  ~RawBackend() { api_->destroy(self_); }
  RawBackend(const RawBackend&) = delete;
  RawBackend& operator=(const RawBackend&) = delete;
  const tenure_backend_api* operator->() const { return api_; }
  tenure_backend* self() const { return self_; }

 private:
  const tenure_backend_api* api_;
  tenure_backend* self_ = nullptr;
};

// A struct as a newer or older host makes it: head.struct_size bytes of it count, behind it stand guards.
template <typename T>
struct Resized {
  Resized(const T& value, int more) {
    std::memset(bytes, 0, sizeof bytes);
    std::memcpy(bytes, &value, sizeof value);
    get()->head.struct_size = static_cast<uint32_t>(static_cast<int>(sizeof(T)) + more);
  }
  T* get() { return reinterpret_cast<T*>(bytes); }
  // Bytes from struct_size on.
  void guard() { std::memset(bytes + get()->head.struct_size, 0x77, sizeof bytes - get()->head.struct_size); }
  bool guards_intact() {
    for (size_t i = get()->head.struct_size; i < sizeof bytes; ++i) {
      if (bytes[i] != 0x77) return false;
    }
    return true;
  }
  alignas(T) unsigned char bytes[sizeof(T) + 64];
};

struct SmallModel {
  tenure_layer_info layer{.n_kv_heads = 1,
                          .head_dim = 32,
                          .rope_dim = 32,
                          .rope_kind = TENURE_ROPE_INTERLEAVED,
                          .rope_base = 10000,
                          .attention_scale = 0.1767766952966369};
  tenure_model_info info{.head = {.struct_size = sizeof info},
                         .architecture = {"llama", 5},
                         .name = {"small", 5},
                         .fingerprint = {"0", 1},
                         .n_layers = 1,
                         .n_embd = 32,
                         .n_ff = 32,
                         .n_vocab = 32,
                         .n_ctx = 64,
                         .n_heads = 1,
                         .norm_epsilon = 1e-5f,
                         .layer_stride = sizeof(tenure_layer_info),
                         .layers = &layer,
                         .embedding_scale = 1};
};

tenure_status create_weights(const RawBackend& raw, const tenure_model_info* info) {
  tenure_weights* weights = nullptr;
  const tenure_status status = raw->weights_create(raw.self(), info, &weights, nullptr);
  if (status == TENURE_OK) raw->weights_destroy(weights);
  return status;
}

}  // namespace

TEST_CASE("properties - say what the engine plans by") {
  const BackendProperties& p = backend().properties();
  CHECK(!p.device.empty());
  CHECK(!p.code_path.empty());
  CHECK(p.batch_rows >= 1);
  CHECK(p.row_granularity >= 1);
  CHECK((p.slot_granularity == 0 || std::has_single_bit(p.slot_granularity)));
  CHECK((p.evidence & TENURE_EVIDENCE_ATTENTION_MASS) != 0);
}

TEST_CASE("supports_weight - knows every matrix type, f32 vectors, and nothing else") {
  for (uint32_t role :
       {TENURE_WEIGHT_TOKEN_EMBD, TENURE_WEIGHT_OUTPUT, TENURE_WEIGHT_Q, TENURE_WEIGHT_FFN_DOWN}) {
    for (uint32_t dtype : all_weight_dtypes)
      CHECK(backend().supports_weight(role, static_cast<Dtype>(dtype)));
    CHECK(!backend().supports_weight(role, Dtype::i32));
    CHECK(!backend().supports_weight(role, static_cast<Dtype>(4711)));
  }
  for (uint32_t role :
       {TENURE_WEIGHT_ATTN_NORM, TENURE_WEIGHT_OUTPUT_NORM, TENURE_WEIGHT_V_BIAS, TENURE_WEIGHT_Q_NORM,
        TENURE_WEIGHT_K_NORM, TENURE_WEIGHT_ATTN_POST_NORM, TENURE_WEIGHT_FFN_POST_NORM}) {
    CHECK(backend().supports_weight(role, Dtype::f32));
    CHECK(!backend().supports_weight(role, Dtype::q8_0));
    CHECK(!backend().supports_weight(role, Dtype::f16));
  }
  CHECK(!backend().supports_weight(TENURE_WEIGHT_FFN_POST_NORM + 1, Dtype::f32));
  CHECK(!backend().supports_weight(99, Dtype::f32));
}

TEST_CASE("page_layout - refuses types and sizes it cannot keep, with one line why") {
  const RawBackend raw;
  const uint32_t refused[][3] = {{64, TENURE_Q4_0, TENURE_F16},
                                  {48, TENURE_Q8_0, TENURE_F16},
                                  {48, TENURE_F16, TENURE_Q4_1},
                                 {64, TENURE_F16, TENURE_I32},
                                 {64, 99, TENURE_F16},
                                 {0, TENURE_F16, TENURE_F16},
                                 {1u << 20, TENURE_F16, TENURE_F16}};
  for (const auto& [head_dim, k_type, v_type] : refused) {
    CAPTURE(head_dim);
    CAPTURE(k_type);
    tenure_page_layout layout{.head = {.struct_size = sizeof layout}};
    tenure_error error{.head = {.struct_size = sizeof error}};
    CHECK(raw->page_layout(raw.self(), head_dim, k_type, v_type, &layout, &error) == TENURE_UNSUPPORTED);
    CHECK(error.code == TENURE_UNSUPPORTED);
    CHECK(std::string(error.where) == "page_layout");
    CHECK(std::strlen(error.text) > 0);
    CHECK(std::string(error.text).find('\n') == std::string::npos);
  }
  const tenure_page_layout layout = backend().page_layout(64, Dtype::f16, Dtype::bf16);
  CHECK(layout.page_bytes >= uint64_t{layout.page_slots} * 64 * 4);
  CHECK(layout.page_bytes % layout.alignment == 0);
  CHECK((layout.page_slots & (layout.page_slots - 1)) == 0);
}

TEST_CASE("alloc - memory is aligned, pools are zero, and sizes beyond any machine are refused") {
  const DeviceBuffer small = backend().alloc(100);
  CHECK(reinterpret_cast<uintptr_t>(small.data()) % 64 == 0);
  const DeviceBuffer pool = backend().alloc(3 << 20, MemoryKind::pool);
  CHECK(reinterpret_cast<uintptr_t>(pool.data()) % (2 << 20) == 0);
  std::vector<unsigned char> content(3 << 20, 1);
  require_ok(backend().copy(content.data(), pool.data(), content.size(), CopyDirection::to_host));
  require_ok(backend().synchronize());
  CHECK(content == std::vector<unsigned char>(3 << 20, 0));
  const RawBackend raw;
  for (uint64_t bytes : {uint64_t{1} << 62, UINT64_MAX, UINT64_MAX - 4095}) {
    for (uint32_t kind : {TENURE_MEMORY_ACTIVATIONS, TENURE_MEMORY_POOL}) {
      void* p = nullptr;
      const tenure_status status = raw->alloc(raw.self(), bytes, kind, &p, nullptr);
      CHECK((status == TENURE_OOM_HOST || status == TENURE_OOM_DEVICE));
    }
  }
}

TEST_CASE("copy - both directions and on the device") {
  const std::vector<float> values = random_floats(1000, 1);
  const DeviceFloats a(backend(), values), b(backend(), 1000);
  require_ok(backend().copy(b.data(), a.data(), 4000, CopyDirection::on_device));
  CHECK(same_bits(b.read(), values));
}

TEST_CASE("weights - what does not fit the model, comes twice or is missing is refused") {
  const RawBackend raw;
  SmallModel model;
  tenure_weights* weights = nullptr;
  REQUIRE(raw->weights_create(raw.self(), &model.info, &weights, nullptr) == TENURE_OK);
  const std::vector<std::byte> bytes = reference::encode(TENURE_F32, std::vector<double>(32 * 32, 1));
  const tenure_weight good{.head = {.struct_size = sizeof good},
                           .role = TENURE_WEIGHT_Q,
                           .layer = 0,
                           .dtype = TENURE_F32,
                           .n_out = 32,
                           .n_in = 32,
                           .data = bytes.data(),
                           .bytes = bytes.size()};
  const auto refused = [&](auto change) {
    tenure_weight weight = good;
    change(weight);
    return raw->weights_add(weights, &weight, nullptr) != TENURE_OK;
  };
  CHECK(refused([](tenure_weight& w) { w.n_out = 31; }));
  CHECK(refused([](tenure_weight& w) { w.n_in = 64; }));
  CHECK(refused([](tenure_weight& w) { w.bytes -= 1; }));
  CHECK(refused([](tenure_weight& w) { w.layer = 1; }));
  CHECK(refused([](tenure_weight& w) { w.layer = TENURE_ALL_LAYERS; }));
  CHECK(refused([](tenure_weight& w) { w.role = 77; }));
  CHECK(refused([](tenure_weight& w) { w.dtype = TENURE_I32; }));
  CHECK(raw->weights_add(weights, &good, nullptr) == TENURE_OK);
  CHECK(refused([](tenure_weight&) {}));
  uint64_t packed = 0;
  tenure_error error{.head = {.struct_size = sizeof error}};
  CHECK(raw->weights_finish(weights, &packed, &error) == TENURE_INVALID_STATE);
  CHECK(std::strlen(error.text) > 0);
  raw->weights_destroy(weights);
  model.layer.n_kv_heads = 3;
  CHECK(create_weights(raw, &model.info) == TENURE_UNSUPPORTED);
}

TEST_CASE("weights_create - refuses what it cannot compute and says what") {
  const RawBackend raw;
  const auto why = [&](auto change) {
    SmallModel model;
    change(model);
    tenure_error error{.head = {.struct_size = sizeof error}};
    tenure_weights* weights = nullptr;
    CHECK(raw->weights_create(raw.self(), &model.info, &weights, &error) == TENURE_UNSUPPORTED);
    CHECK(error.code == TENURE_UNSUPPORTED);
    return std::string(error.text);
  };
  const auto says = [](const std::string& text, const char* what) { return text.find(what) != text.npos; };
  constexpr double infinity = std::numeric_limits<double>::infinity();
  CHECK(says(why([](SmallModel& m) { m.info.activation = 2; }), "activation"));
  for (double scale : {0.0, -1.0, infinity, std::nan("")}) {
    CAPTURE(scale);
    CHECK(says(why([&](SmallModel& m) { m.layer.attention_scale = scale; }), "attention_scale"));
    CHECK(says(why([&](SmallModel& m) { m.info.embedding_scale = static_cast<float>(scale); }),
               "embedding_scale"));
    std::vector<float> factors(16, 1.0f);
    factors.back() = static_cast<float>(scale);
    CHECK(says(why([&](SmallModel& m) { m.layer.rope_factors = factors.data(); }), "rope factor"));
  }
}

TEST_CASE("weights_finish - a norm over queries needs one over keys; a post norm needs nothing") {
  const RawBackend raw;
  const SmallModel model;
  tenure_weights* weights = nullptr;
  REQUIRE(raw->weights_create(raw.self(), &model.info, &weights, nullptr) == TENURE_OK);
  const std::vector<float> ones(32 * 32, 1.0f);
  const auto add = [&](uint32_t role, uint64_t n_out) {
    const tenure_weight weight{.head = {.struct_size = sizeof weight},
                               .role = role,
                               .layer = role <= TENURE_WEIGHT_OUTPUT ? TENURE_ALL_LAYERS : 0,
                               .dtype = TENURE_F32,
                               .n_out = n_out,
                               .n_in = 32,
                               .data = ones.data(),
                               .bytes = n_out * 32 * sizeof(float)};
    REQUIRE(raw->weights_add(weights, &weight, nullptr) == TENURE_OK);
  };
  for (uint32_t role :
       {TENURE_WEIGHT_TOKEN_EMBD, TENURE_WEIGHT_Q, TENURE_WEIGHT_K, TENURE_WEIGHT_V, TENURE_WEIGHT_ATTN_OUT,
        TENURE_WEIGHT_FFN_GATE, TENURE_WEIGHT_FFN_UP, TENURE_WEIGHT_FFN_DOWN}) {
    add(role, 32);
  }
  for (uint32_t role : {TENURE_WEIGHT_OUTPUT_NORM, TENURE_WEIGHT_ATTN_NORM, TENURE_WEIGHT_FFN_NORM,
                        TENURE_WEIGHT_FFN_POST_NORM}) {
    add(role, 1);
  }
  uint64_t bytes = 0;
  tenure_error error{.head = {.struct_size = sizeof error}};
  CHECK(raw->weights_finish(weights, &bytes, &error) == TENURE_OK);
  add(TENURE_WEIGHT_Q_NORM, 1);
  CHECK(raw->weights_finish(weights, &bytes, &error) == TENURE_INVALID_STATE);
  CHECK(std::string(error.text).find("key norm of layer 0") != std::string::npos);
  add(TENURE_WEIGHT_K_NORM, 1);
  CHECK(raw->weights_finish(weights, &bytes, &error) == TENURE_OK);
  raw->weights_destroy(weights);
}

TEST_CASE("weights_finish - counts the packed bytes") {
  const TestModel f32(backend(), {}, TENURE_F32);
  CHECK(f32.packed_bytes() >= 4 * 64 * (2 * 80 + 2 * 64 + 2 * 32 + 3 * 96));
}

TEST_CASE("forward_begin - refuses more rows than were reserved and unknown token ids") {
  const TestModel model(backend(), {}, TENURE_F32);
  Backend& device = model.backend();
  const auto begin = [&](std::vector<int32_t> ids) {
    std::vector<int32_t> positions(ids.size(), 0);
    std::vector<int32_t> bad(ids.size());
    const tenure_forward forward{.head = {.struct_size = sizeof forward},
                                 .weights = model.weights().get(),
                                 .n_rows = static_cast<uint32_t>(ids.size()),
                                 .ids = ids.data(),
                                 .positions = positions.data(),
                                 .first_bad_layer = bad.data()};
    Status status = device.forward_begin(forward);
    if (status.ok()) require_ok(device.forward_end(forward));
    const Status done = device.synchronize();
    return status.ok() ? done : status;
  };
  CHECK(begin({0, 79}).ok());
  CHECK(begin(std::vector<int32_t>(100000, 0)).code == TENURE_INVALID_STATE);
  const Status unknown = begin({0, 80});
  CHECK(unknown.code == TENURE_INVALID_CONFIG);
  CHECK(unknown.where.find("forward_begin") != std::string::npos);
  CHECK(begin({-1}).code == TENURE_INVALID_CONFIG);
  CHECK(begin({1}).ok());  // the failure before is forgotten
}

TEST_CASE("struct_size - results are cut to what the caller knows and fill what this side knows") {
  const RawBackend raw;
  for (int more : {-8, 0, 16}) {
    CAPTURE(more);
    Resized<tenure_backend_properties> properties({}, more);
    properties.guard();
    CHECK(raw->properties(raw.self(), properties.get(), nullptr) == TENURE_OK);
    CHECK(properties.guards_intact());
    CHECK(properties.get()->batch_rows == backend().properties().batch_rows);
    Resized<tenure_page_layout> layout({}, more);
    layout.guard();
    CHECK(raw->page_layout(raw.self(), 64, TENURE_F16, TENURE_F16, layout.get(), nullptr) == TENURE_OK);
    CHECK(layout.guards_intact());
    CHECK(layout.get()->page_slots == backend().page_layout(64, Dtype::f16, Dtype::f16).page_slots);
    Resized<tenure_error> error({}, more);
    error.guard();
    CHECK(raw->page_layout(raw.self(), 0, TENURE_F16, TENURE_F16, layout.get(), error.get()) ==
          TENURE_UNSUPPORTED);
    CHECK(error.guards_intact());
    CHECK(error.get()->code == TENURE_UNSUPPORTED);
  }
}

TEST_CASE("struct_size - arguments of a newer host are taken while their new members are zero") {
  const RawBackend raw;
  const SmallModel model;
  Resized<tenure_model_info> longer(model.info, 16);
  CHECK(create_weights(raw, longer.get()) == TENURE_OK);
  longer.bytes[sizeof(tenure_model_info) + 3] = 1;
  CHECK(create_weights(raw, longer.get()) == TENURE_TOO_NEW);
  // A strided layer table of a newer host.
  unsigned char table[sizeof(tenure_layer_info) + 24] = {};
  std::memcpy(table, &model.layer, sizeof model.layer);
  tenure_model_info strided = model.info;
  strided.layer_stride = sizeof table;
  strided.layers = reinterpret_cast<const tenure_layer_info*>(table);
  CHECK(create_weights(raw, &strided) == TENURE_OK);

  tenure_weights* weights = nullptr;
  REQUIRE(raw->weights_create(raw.self(), &model.info, &weights, nullptr) == TENURE_OK);
  const std::vector<std::byte> bytes = reference::encode(TENURE_F32, std::vector<double>(32 * 32, 1));
  Resized<tenure_weight> weight({.role = TENURE_WEIGHT_Q,
                                 .layer = 0,
                                 .dtype = TENURE_F32,
                                 .n_out = 32,
                                 .n_in = 32,
                                 .data = bytes.data(),
                                 .bytes = bytes.size()},
                                16);
  weight.bytes[sizeof(tenure_weight)] = 1;
  CHECK(raw->weights_add(weights, weight.get(), nullptr) == TENURE_TOO_NEW);
  weight.bytes[sizeof(tenure_weight)] = 0;
  CHECK(raw->weights_add(weights, weight.get(), nullptr) == TENURE_OK);
  raw->weights_destroy(weights);
}

TEST_CASE("synchronize - without work it is done") {
  CHECK(backend().synchronize().ok());
}

}  // namespace tenure::conformance
