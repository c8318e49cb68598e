#include "conformance/test_model.h"

#include <cmath>
#include <utility>

#include "reference/elements.h"

namespace tenure::conformance {

const uint32_t all_weight_dtypes[6] = {TENURE_F32,  TENURE_F16,  TENURE_BF16,
                                       TENURE_Q8_0, TENURE_Q4_0, TENURE_Q4_1};

const char* dtype_name(uint32_t dtype) {
  return info(static_cast<Dtype>(dtype)).name.data();
}

double product_tolerance(uint32_t dtype) {
  return dtype <= TENURE_BF16 ? 1e-5 : 1e-2;
}

TestModel::TestModel(Backend& backend, const ModelShape& shape, uint32_t dtype, const Edit& edit)
    : backend_(backend), shape_(shape), dtype_(dtype) {
  layers_.assign(shape.n_layers,
                 {.n_kv_heads = shape.n_kv_heads,
                  .head_dim = shape.head_dim,
                  .rope_dim = shape.rope_dim,
                  .rope_kind = shape.rope_kind,
                  .window = shape.window,
                  .rope_base = 10000,
                  .attention_scale =
                      shape.attention_scale != 0 ? shape.attention_scale : 1 / std::sqrt(shape.head_dim)});
  for (uint32_t i = 0; shape.rope_factors && i < shape.rope_dim / 2; ++i)
    rope_factors_.push_back(1 + 0.375f * static_cast<float>(i));
  info_ = {.head = {.struct_size = sizeof info_},
           .architecture = {"llama", 5},
           .name = {"test", 4},
           .fingerprint = {"00", 2},
           .n_layers = shape.n_layers,
           .n_embd = shape.n_embd,
           .n_ff = shape.n_ff,
           .n_vocab = shape.n_vocab,
           .n_ctx = max_positions,
           .n_heads = shape.n_heads,
           .norm_epsilon = 1e-5f,
           .layer_stride = sizeof(tenure_layer_info),
           .layers = layers_.data(),
           .activation = shape.activation,
           .embedding_scale = shape.embedding_scale};
  create();
  add(TENURE_WEIGHT_TOKEN_EMBD, TENURE_ALL_LAYERS, shape.n_vocab, shape.n_embd, edit);
  add(TENURE_WEIGHT_OUTPUT_NORM, TENURE_ALL_LAYERS, 1, shape.n_embd, edit);
  if (shape.own_output) add(TENURE_WEIGHT_OUTPUT, TENURE_ALL_LAYERS, shape.n_vocab, shape.n_embd, edit);
  for (uint32_t i = 0; i < shape.n_layers; ++i) {
    add(TENURE_WEIGHT_ATTN_NORM, i, 1, shape.n_embd, edit);
    add(TENURE_WEIGHT_Q, i, shape.n_q(), shape.n_embd, edit);
    add(TENURE_WEIGHT_K, i, shape.n_kv(), shape.n_embd, edit);
    add(TENURE_WEIGHT_V, i, shape.n_kv(), shape.n_embd, edit);
    add(TENURE_WEIGHT_ATTN_OUT, i, shape.n_embd, shape.n_q(), edit);
    add(TENURE_WEIGHT_FFN_NORM, i, 1, shape.n_embd, edit);
    add(TENURE_WEIGHT_FFN_GATE, i, shape.n_ff, shape.n_embd, edit);
    add(TENURE_WEIGHT_FFN_UP, i, shape.n_ff, shape.n_embd, edit);
    add(TENURE_WEIGHT_FFN_DOWN, i, shape.n_embd, shape.n_ff, edit);
    if (shape.biases) {
      add(TENURE_WEIGHT_Q_BIAS, i, 1, shape.n_q(), edit);
      add(TENURE_WEIGHT_K_BIAS, i, 1, shape.n_kv(), edit);
      add(TENURE_WEIGHT_V_BIAS, i, 1, shape.n_kv(), edit);
    }
    if (shape.qk_norm) add(TENURE_WEIGHT_Q_NORM, i, 1, shape.head_dim, edit);
    if (shape.qk_norm) add(TENURE_WEIGHT_K_NORM, i, 1, shape.head_dim, edit);
    if (shape.attn_post_norm) add(TENURE_WEIGHT_ATTN_POST_NORM, i, 1, shape.n_embd, edit);
    if (shape.ffn_post_norm) add(TENURE_WEIGHT_FFN_POST_NORM, i, 1, shape.n_embd, edit);
  }
  packed_bytes_ = weights_.finish();
  backend.reserve(weights_, max_rows, max_segments, max_positions);
}

// The backend's table of factors is gone when weights_create returns; the reference keeps one.
void TestModel::create() {
  std::vector<float> lent = rope_factors_;
  give_factors(lent);
  weights_ = backend_.create_weights(info_);
  lent.assign(lent.size(), -1.0f);
  give_factors(rope_factors_);
}

void TestModel::give_factors(const std::vector<float>& factors) {
  for (uint32_t i = 0; i < layers_.size(); ++i) {
    const bool unlike = i % 2 == 1 && shape_.odd_rope_base != 0;
    layers_[i].rope_factors = factors.empty() || unlike ? nullptr : factors.data();
    if (unlike) layers_[i].rope_base = shape_.odd_rope_base;
  }
}

void TestModel::add(uint32_t role, uint32_t layer, uint32_t n_out, uint32_t n_in, const Edit& edit) {
  const bool is_vector = n_out == 1;
  const std::vector<float> normal = random_floats(uint64_t{n_out} * n_in, 1000 * (layer + 2) + role);
  std::vector<double> values(normal.begin(), normal.end());
  for (double& value : values) value = is_vector ? 1 + 0.2 * value : value / std::sqrt(n_in);
  if (edit) edit(role, values);
  const uint32_t dtype = is_vector ? uint32_t{TENURE_F32} : dtype_;
  std::vector<std::byte> bytes = reference::encode(dtype, values);
  weights_.add({.role = role,
                .layer = layer,
                .dtype = static_cast<Dtype>(dtype),
                .n_out = n_out,
                .n_in = n_in,
                .bytes = bytes});
  matrices_[{role, layer}] = {.n_out = n_out, .n_in = n_in, .values = reference::decode(dtype, bytes)};
  // The source may vanish when weights_add returns.
  bytes.assign(bytes.size(), std::byte{0x5a});
}

const reference::Matrix& TestModel::matrix(uint32_t role, uint32_t layer) const {
  return matrices_.at({role, role <= TENURE_WEIGHT_OUTPUT ? TENURE_ALL_LAYERS : layer});
}

std::span<const double> TestModel::gain(uint32_t role) const {
  const auto found = matrices_.find({role, 0});
  return found == matrices_.end() ? std::span<const double>() : found->second.values;
}

TestForward::TestForward(const TestModel& model, std::vector<int32_t> ids, std::vector<int32_t> positions,
                         uint32_t n_segments)
    : model_(model), ids_(std::move(ids)), positions_(std::move(positions)), bad_layers_(ids_.size(), 99) {
  forward_ = {.head = {.struct_size = sizeof forward_},
              .weights = model.weights().get(),
              .n_rows = static_cast<uint32_t>(ids_.size()),
              .n_segments = n_segments,
              .ids = ids_.data(),
              .positions = positions_.data(),
              .first_bad_layer = bad_layers_.data()};
}

TestForward TestForward::of_rows(const TestModel& model, uint32_t n_rows) {
  std::vector<int32_t> ids(n_rows);
  std::vector<int32_t> positions(n_rows);
  for (uint32_t i = 0; i < n_rows; ++i) {
    ids[i] = static_cast<int32_t>(i * 7 % model.shape().n_vocab);
    positions[i] = static_cast<int32_t>(i);
  }
  return {model, std::move(ids), std::move(positions)};
}

void TestForward::run(const std::function<void(Backend&, const tenure_forward&)>& ops) {
  Backend& backend = model_.backend();
  require_ok(backend.forward_begin(forward_));
  ops(backend, forward_);
  require_ok(backend.forward_end(forward_));
  require_ok(backend.synchronize());
}

}  // namespace tenure::conformance
