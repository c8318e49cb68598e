#include "model/model.h"

#include <fmt/format.h>

#include <utility>

#include "error/error.h"
#include "weights/model_weights.h"

namespace tenure {
namespace {

tenure_str view(const std::string& text) { return {text.data(), text.size()}; }

// Whose op reads weights of this role.
GivenWeights::Part& part_of(GivenWeights& given, uint32_t role, bool tied_head) {
  switch (role) {
    case TENURE_WEIGHT_TOKEN_EMBD:
      return tied_head ? given.head : given.embedding;
    case TENURE_WEIGHT_OUTPUT:
    case TENURE_WEIGHT_OUTPUT_NORM:
      return given.head;
    case TENURE_WEIGHT_ATTN_OUT:
    case TENURE_WEIGHT_ATTN_POST_NORM:
      return given.attn_out;
    case TENURE_WEIGHT_FFN_NORM:
    case TENURE_WEIGHT_FFN_GATE:
    case TENURE_WEIGHT_FFN_UP:
    case TENURE_WEIGHT_FFN_DOWN:
    case TENURE_WEIGHT_FFN_POST_NORM:
      return given.mlp;
    default:
      return given.qkv;
  }
}

}  // namespace

ModelInfo::ModelInfo(ModelConfig config) : config_(std::move(config)) {
  for (const LayerConfig& layer : config_.layers) {
    layers_.push_back({.n_kv_heads = layer.n_kv_heads,
                       .head_dim = layer.head_dim,
                       .rope_dim = layer.rope_dim,
                       .rope_kind = layer.rope_kind == RopeKind::interleaved ? uint32_t{TENURE_ROPE_INTERLEAVED}
                                                                             : uint32_t{TENURE_ROPE_HALVES},
                       .window = layer.window,
                       .rope_base = layer.rope_base,
                       .rope_factors = layer.rope_factors.empty() ? nullptr : layer.rope_factors.data(),
                       .attention_scale = layer.attention_scale});
  }
  abi_ = {.head = {.struct_size = sizeof(tenure_model_info)},
          .architecture = view(config_.architecture),
          .name = view(config_.name),
          .fingerprint = view(config_.fingerprint),
          .n_layers = config_.n_layers,
          .n_embd = config_.n_embd,
          .n_ff = config_.n_ff,
          .n_vocab = config_.n_vocab,
          .n_ctx = config_.n_ctx,
          .n_heads = config_.n_heads,
          .norm_epsilon = config_.rms_epsilon,
          .layer_stride = sizeof(tenure_layer_info),
          .layers = layers_.data(),
          .activation = config_.activation == Activation::silu ? uint32_t{TENURE_ACTIVATION_SILU}
                                                               : uint32_t{TENURE_ACTIVATION_GELU_TANH},
          .embedding_scale = config_.embedding_scale};
}

Model::Model(const ModelSource& source, const ModelInfo& info, Backend& backend)
    : info_(info), backend_(backend), weights_(backend.create_weights(info.abi())) {
  load(source);
  weights_bytes_ = weights_.finish();
}

void Model::load(const ModelSource& source) {
  const ModelWeights weights = source.weights(config());
  const auto add = [&](uint32_t role, uint32_t layer, const TensorView& tensor) {
    if (!backend_.supports_weight(role, tensor.dtype)) {
      throw Error(Code::backend_unsupported, fmt::format("backend \"{}\" cannot use {} weights of \"{}\"", backend_.id(),
                                                         info(tensor.dtype).name, source.name()));
    }
    weights_.add({.role = role,
                  .layer = layer,
                  .dtype = tensor.dtype,
                  .n_out = tensor.shape[1],
                  .n_in = tensor.shape[0],
                  .bytes = tensor.bytes});
    GivenWeights::Part& part = part_of(given_, role, config().tied_head);
    if (tensor.shape[1] > 1) part.n_elements += tensor.shape[0] * tensor.shape[1];
    part.bytes += tensor.bytes.size();
    given_.bytes_by_type[tensor.dtype] += tensor.bytes.size();
    if (role == TENURE_WEIGHT_TOKEN_EMBD) given_.embedding_row_bytes = tensor.bytes.size() / tensor.shape[1];
    source.drop(tensor.bytes);
  };
  const auto add_present = [&](uint32_t role, uint32_t layer, const TensorView& tensor) {
    if (!tensor.bytes.empty()) add(role, layer, tensor);
  };
  add(TENURE_WEIGHT_TOKEN_EMBD, TENURE_ALL_LAYERS, weights.token_embd);
  for (uint32_t i = 0; i < config().n_layers; ++i) {
    const LayerWeights& layer = weights.layers[i];
    add(TENURE_WEIGHT_ATTN_NORM, i, layer.attn_norm);
    add(TENURE_WEIGHT_Q, i, layer.q);
    add(TENURE_WEIGHT_K, i, layer.k);
    add(TENURE_WEIGHT_V, i, layer.v);
    add(TENURE_WEIGHT_ATTN_OUT, i, layer.attn_output);
    add_present(TENURE_WEIGHT_Q_BIAS, i, layer.q_bias);
    add_present(TENURE_WEIGHT_K_BIAS, i, layer.k_bias);
    add_present(TENURE_WEIGHT_V_BIAS, i, layer.v_bias);
    add_present(TENURE_WEIGHT_Q_NORM, i, layer.q_norm);
    add_present(TENURE_WEIGHT_K_NORM, i, layer.k_norm);
    add_present(TENURE_WEIGHT_ATTN_POST_NORM, i, layer.attn_post_norm);
    add_present(TENURE_WEIGHT_FFN_POST_NORM, i, layer.ffn_post_norm);
    add(TENURE_WEIGHT_FFN_NORM, i, layer.ffn_norm);
    add(TENURE_WEIGHT_FFN_GATE, i, layer.ffn_gate);
    add(TENURE_WEIGHT_FFN_UP, i, layer.ffn_up);
    add(TENURE_WEIGHT_FFN_DOWN, i, layer.ffn_down);
  }
  add(TENURE_WEIGHT_OUTPUT_NORM, TENURE_ALL_LAYERS, weights.output_norm);
  if (!config().tied_head) add(TENURE_WEIGHT_OUTPUT, TENURE_ALL_LAYERS, weights.output);
}

uint64_t Model::packed_bytes(uint64_t given_bytes) const {
  const double ratio = static_cast<double>(weights_bytes_) / static_cast<double>(given_.bytes());
  return static_cast<uint64_t>(static_cast<double>(given_bytes) * ratio);
}

// Of an embedding table a pass reads only its rows' part, unless the table is the head as well.
PassWork Model::work(const Batch& batch) const {
  const bool has_wants = !batch.wants().empty();
  const bool reads_table = config().tied_head && has_wants;
  uint64_t given_bytes = given_.qkv.bytes + given_.attn_out.bytes + given_.mlp.bytes;
  if (has_wants) given_bytes += given_.head.bytes;
  if (!reads_table) given_bytes += batch.n_rows() * given_.embedding_row_bytes;
  const uint64_t layer_elements = given_.qkv.n_elements + given_.attn_out.n_elements + given_.mlp.n_elements;
  return {.weight_bytes = packed_bytes(given_bytes),
          .kv_bytes = batch.kv_bytes(),
          .matrix_ops = 2 * (layer_elements * batch.n_rows() + given_.head.n_elements * batch.wants().size())};
}

Status Model::forward(Batch& batch, const Activations& a, const AfterAttend& after_attend) const {
  batch.seal(weights_.get(), config().n_layers);
  const tenure_forward& forward = batch.forward();
  Status status = backend_.forward_begin(forward);
  if (!status.ok()) return status;
  status = backend_.embed(forward, a.x.floats());
  for (uint32_t i = 0; i < config().n_layers && status.ok(); ++i) status = layer(batch, a, i, after_attend);
  if (status.ok() && !batch.wants().empty()) status = backend_.head_logits(forward, a.x.floats(), batch.wants());
  // The end is due even after a failure: it lets the workers go.
  Status end = backend_.forward_end(forward);
  Status done = backend_.synchronize();
  if (!status.ok()) return status;
  return end.ok() ? done : end;
}

Status Model::layer(const Batch& batch, const Activations& a, uint32_t layer, const AfterAttend& after_attend) const {
  const tenure_forward& forward = batch.forward();
  const tenure_segment* segments = batch.segments(layer);
  float* q_pre = a.q_pre ? a.q_pre.floats() : a.q.floats();
  float* k_pre = a.k_pre ? a.k_pre.floats() : a.k.floats();
  float* x = a.x.floats();
  float* v = a.v.floats();
  Status status = backend_.qkv(forward, layer, x, q_pre, k_pre, v, a.hidden.floats());
  if (status.ok()) status = backend_.rope(forward, layer, q_pre, k_pre, a.q.floats(), a.k.floats());
  if (status.ok()) status = backend_.cache_append(forward, layer, segments, a.k.floats(), v);
  if (status.ok()) status = backend_.attend(forward, layer, segments, a.q.floats(), a.mixed.floats());
  if (status.ok() && after_attend) {
    const LayerConfig& of_layer = config().layers[layer];
    status = after_attend({.layer = layer,
                           .n_heads = config().n_heads,
                           .n_kv_heads = of_layer.n_kv_heads,
                           .head_dim = of_layer.head_dim,
                           .n_embd = config().n_embd,
                           .q_pre = a.q_pre.floats(),
                           .q_post = a.q.floats(),
                           .k_pre = a.k_pre.floats(),
                           .v = v,
                           .k_post = a.k.floats(),
                           .hidden = a.hidden.floats()});
  }
  if (status.ok()) status = backend_.attn_out(forward, layer, a.mixed.floats(), x);
  if (status.ok()) status = backend_.mlp(forward, layer, x);
  return status;
}

}  // namespace tenure
