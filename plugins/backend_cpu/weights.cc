#include "weights.h"

#include <algorithm>
#include <cmath>
#include <cstring>
#include <new>
#include <span>

#include "page_layout.h"

namespace tenure::cpu {
namespace {

const tenure_layer_info& layer_at(const tenure_model_info& info, uint32_t i) {
  const char* first = reinterpret_cast<const char*>(info.layers);
  return *reinterpret_cast<const tenure_layer_info*>(first + uint64_t{i} * info.layer_stride);
}

bool is_vector(uint32_t role) {
  switch (role) {
    case TENURE_WEIGHT_OUTPUT_NORM:
    case TENURE_WEIGHT_ATTN_NORM:
    case TENURE_WEIGHT_FFN_NORM:
    case TENURE_WEIGHT_Q_BIAS:
    case TENURE_WEIGHT_K_BIAS:
    case TENURE_WEIGHT_V_BIAS:
    case TENURE_WEIGHT_Q_NORM:
    case TENURE_WEIGHT_K_NORM:
    case TENURE_WEIGHT_ATTN_POST_NORM:
    case TENURE_WEIGHT_FFN_POST_NORM:
      return true;
    default:
      return false;
  }
}

std::string of_layer(const char* name, size_t layer) {
  return std::string(name) + " of layer " + std::to_string(layer);
}

bool is_positive(double x) {
  return std::isfinite(x) && x > 0;
}

std::span<const float> rope_factors(const tenure_layer_info& layer) {
  return layer.rope_factors ? std::span(layer.rope_factors, layer.rope_dim / 2) : std::span<const float>();
}

std::string unsupported_layer(const tenure_model_info& info, uint32_t i) {
  const tenure_layer_info& layer = layer_at(info, i);
  if (!PageLayout{layer.head_dim, TENURE_F16, TENURE_F16}.supported()) {
    return of_layer("head_dim", i) + " is no multiple of 16 up to 256";
  }
  if (uint64_t{info.n_heads} * layer.head_dim % kBlock != 0)
    return of_layer("n_heads * head_dim", i) + " is no multiple of 32";
  if (layer.n_kv_heads == 0 || info.n_heads % layer.n_kv_heads != 0) {
    return of_layer("n_kv_heads", i) + " does not divide n_heads";
  }
  if (layer.rope_dim == 0 || layer.rope_dim % 2 != 0 || layer.rope_dim > layer.head_dim) {
    return of_layer("rope_dim", i) + " is not even or above head_dim";
  }
  if (layer.rope_kind > TENURE_ROPE_HALVES) return of_layer("rope_kind", i) + " is unknown";
  for (float factor : rope_factors(layer)) {
    if (!is_positive(static_cast<double>(factor))) {
      return of_layer("a rope factor", i) + " is not finite and above 0";
    }
  }
  if (!is_positive(layer.attention_scale)) {
    return of_layer("attention_scale", i) + " is not finite and above 0";
  }
  return {};
}

}  // namespace

Weights::Weights(const tenure_model_info& info)
    : n_embd_(info.n_embd),
      n_ff_(info.n_ff),
      n_vocab_(info.n_vocab),
      n_heads_(info.n_heads),
      norm_epsilon_(info.norm_epsilon),
      embedding_scale_(info.embedding_scale),
      activation_(info.activation),
      layers_(info.n_layers) {
  for (uint32_t i = 0; i < info.n_layers; ++i) {
    const tenure_layer_info& layer = layer_at(info, i);
    layer_info_.push_back(layer);
    layer_info_.back().rope_factors = nullptr;
    const std::span<const float> factors = rope_factors(layer);
    const auto same = std::find_if(ropes_.begin(), ropes_.end(), [&](const RopeTable& table) {
      return table.base() == layer.rope_base && table.rope_dim() == layer.rope_dim &&
             table.kind() == layer.rope_kind && std::ranges::equal(table.factors(), factors);
    });
    rope_of_layer_.push_back(static_cast<uint32_t>(same - ropes_.begin()));
    if (same == ropes_.end()) ropes_.emplace_back(layer.rope_base, layer.rope_dim, layer.rope_kind, factors);
  }
}

std::string Weights::unsupported(const tenure_model_info& info) {
  if (info.n_embd == 0 || info.n_embd % kBlock != 0) return "n_embd is no multiple of 32";
  if (info.n_ff == 0 || info.n_ff % kBlock != 0) return "n_ff is no multiple of 32";
  if (info.n_layers == 0 || info.n_vocab == 0 || info.n_heads == 0)
    return "the model has no layers, tokens or heads";
  if (info.layer_stride < sizeof(tenure_layer_info)) return "layer_stride is below the layer table's entry";
  if (info.activation > TENURE_ACTIVATION_GELU_TANH)
    return "activation " + std::to_string(info.activation) + " is unknown";
  if (!is_positive(static_cast<double>(info.embedding_scale)))
    return "embedding_scale is not finite and above 0";
  for (uint32_t i = 0; i < info.n_layers; ++i) {
    const std::string why = unsupported_layer(info, i);
    if (!why.empty()) return why;
  }
  return {};
}

bool Weights::supports(uint32_t role, uint32_t dtype) {
  if (role > TENURE_WEIGHT_FFN_POST_NORM) return false;
  return is_vector(role) ? dtype == TENURE_F32 : block_format(dtype).k != 0;
}

Weights::Place Weights::place(uint32_t role, uint32_t layer) {
  if (layer == TENURE_ALL_LAYERS) {
    switch (role) {
      case TENURE_WEIGHT_TOKEN_EMBD:
        return {&token_embd_, nullptr, n_vocab_, n_embd_};
      case TENURE_WEIGHT_OUTPUT:
        return {&output_, nullptr, n_vocab_, n_embd_};
      case TENURE_WEIGHT_OUTPUT_NORM:
        return {nullptr, &output_norm_, 1, n_embd_};
      default:
        return {};
    }
  }
  return layer < n_layers() ? layer_place(role, layer) : Place{};
}

Weights::Place Weights::layer_place(uint32_t role, uint32_t layer) {
  LayerWeights& w = layers_[layer];
  const tenure_layer_info& info = layer_info_[layer];
  const uint64_t n_q = uint64_t{n_heads_} * info.head_dim;
  const uint64_t n_kv = uint64_t{info.n_kv_heads} * info.head_dim;
  switch (role) {
    case TENURE_WEIGHT_ATTN_NORM:
      return {nullptr, &w.attn_norm, 1, n_embd_};
    case TENURE_WEIGHT_FFN_NORM:
      return {nullptr, &w.ffn_norm, 1, n_embd_};
    case TENURE_WEIGHT_Q:
      return {&w.q, nullptr, n_q, n_embd_};
    case TENURE_WEIGHT_K:
      return {&w.k, nullptr, n_kv, n_embd_};
    case TENURE_WEIGHT_V:
      return {&w.v, nullptr, n_kv, n_embd_};
    case TENURE_WEIGHT_ATTN_OUT:
      return {&w.attn_out, nullptr, n_embd_, n_q};
    case TENURE_WEIGHT_FFN_GATE:
      return {&w.gate, nullptr, n_ff_, n_embd_};
    case TENURE_WEIGHT_FFN_UP:
      return {&w.up, nullptr, n_ff_, n_embd_};
    case TENURE_WEIGHT_FFN_DOWN:
      return {&w.down, nullptr, n_embd_, n_ff_};
    case TENURE_WEIGHT_Q_BIAS:
      return {nullptr, &w.q_bias, 1, n_q};
    case TENURE_WEIGHT_K_BIAS:
      return {nullptr, &w.k_bias, 1, n_kv};
    case TENURE_WEIGHT_V_BIAS:
      return {nullptr, &w.v_bias, 1, n_kv};
    case TENURE_WEIGHT_Q_NORM:
      return {nullptr, &w.q_norm, 1, info.head_dim};
    case TENURE_WEIGHT_K_NORM:
      return {nullptr, &w.k_norm, 1, info.head_dim};
    case TENURE_WEIGHT_ATTN_POST_NORM:
      return {nullptr, &w.attn_post_norm, 1, n_embd_};
    case TENURE_WEIGHT_FFN_POST_NORM:
      return {nullptr, &w.ffn_post_norm, 1, n_embd_};
    default:
      return {};
  }
}

std::string Weights::add(const tenure_weight& weight, const Exec& exec) {
  const std::string name =
      "weight " + std::to_string(weight.role) + " of layer " +
      (weight.layer == TENURE_ALL_LAYERS ? std::string("none") : std::to_string(weight.layer));
  const Place to = place(weight.role, weight.layer);
  if (!to.matrix && !to.vector) return name + " has no place in this model";
  if (!supports(weight.role, weight.dtype)) return name + " has a type this backend does not know";
  if (weight.n_out != to.n_out || weight.n_in != to.n_in) {
    return name + " is (" + std::to_string(weight.n_out) + ", " + std::to_string(weight.n_in) +
           "), expected (" + std::to_string(to.n_out) + ", " + std::to_string(to.n_in) + ")";
  }
  if ((to.matrix && to.matrix->data) || (to.vector && *to.vector)) return name + " was given before";
  const uint64_t expected = weight.n_out * source_row_bytes(weight.dtype, static_cast<uint32_t>(weight.n_in));
  if (weight.bytes != expected) {
    return name + " has " + std::to_string(weight.bytes) + " bytes, expected " + std::to_string(expected);
  }
  if (to.vector) {
    std::byte* copy = arena_.take(weight.bytes);
    if (!copy) throw std::bad_alloc();
    std::memcpy(copy, weight.data, weight.bytes);
    *to.vector = reinterpret_cast<const float*>(copy);
    return {};
  }
  PackedMatrix packed{.dtype = weight.dtype,
                      .n_out = static_cast<uint32_t>(weight.n_out),
                      .n_in = static_cast<uint32_t>(weight.n_in)};
  packed.data = reinterpret_cast<const uint8_t*>(arena_.take(packed.bytes()));
  if (!packed.data) throw std::bad_alloc();
  const uint8_t* source = static_cast<const uint8_t*>(weight.data);
  exec.for_each((packed.n_groups() + kPanelGroups - 1) / kPanelGroups,
                [&](uint32_t panel, uint32_t) { pack_panel(packed, source, panel); });
  *to.matrix = packed;
  return {};
}

std::string Weights::missing() const {
  if (!token_embd_.data) return "the token embedding";
  if (!output_norm_) return "the output norm";
  for (size_t i = 0; i < layers_.size(); ++i) {
    const LayerWeights& w = layers_[i];
    if (!w.attn_norm) return of_layer("the attention norm", i);
    if (!w.ffn_norm) return of_layer("the feed-forward norm", i);
    if (!w.q.data || !w.k.data || !w.v.data) return of_layer("a query, key or value matrix", i);
    if (!w.attn_out.data) return of_layer("the attention output matrix", i);
    if (!w.gate.data || !w.up.data || !w.down.data) return of_layer("a feed-forward matrix", i);
    if (!w.q_bias != !w.k_bias || !w.k_bias != !w.v_bias) return of_layer("a query, key or value bias", i);
    if (!w.q_norm != !w.k_norm) return of_layer(w.q_norm ? "the key norm" : "the query norm", i);
  }
  return {};
}

void Weights::reserve_positions(uint32_t n_positions) {
  for (RopeTable& table : ropes_) table.reserve(n_positions);
}

bool Weights::has_post_norms() const {
  return std::ranges::any_of(
      layers_, [](const LayerWeights& layer) { return layer.attn_post_norm || layer.ffn_post_norm; });
}

uint32_t Weights::widest_attention() const {
  uint32_t widest = 0;
  for (const tenure_layer_info& info : layer_info_) widest = std::max(widest, n_heads_ * info.head_dim);
  return widest;
}

uint32_t Weights::widest_input() const {
  return std::max({n_embd_, n_ff_, widest_attention()});
}

}  // namespace tenure::cpu
