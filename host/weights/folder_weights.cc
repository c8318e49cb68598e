#include "weights/folder_weights.h"

#include <fmt/format.h>

#include <algorithm>
#include <bit>
#include <cstring>
#include <set>

#include "error/error.h"
#include "weights/gguf_value.h"

namespace tenure {
namespace {

constexpr std::string_view text_prefixes[] = {"model.", "language_model.model.", "model.language_model."};
constexpr std::string_view vision_prefixes[] = {"vision_tower.", "multi_modal_projector.",
                                                "model.vision_tower.", "model.multi_modal_projector."};

// Where this model's tensors are in the folder's names.
struct Names {
  std::string_view prefix;  // of all but the output matrix
  std::string output;

  explicit Names(const SafetensorsFolder& folder) : prefix(text_prefixes[0]), output("lm_head.weight") {
    for (const std::string_view candidate : text_prefixes) {
      if (folder.tensors().contains(std::string(candidate) + "embed_tokens.weight")) prefix = candidate;
    }
    if (prefix == text_prefixes[1]) output = "language_model." + output;
  }

  // Tensors that may lie in the folder and change no answer.
  bool is_unread(std::string_view name, bool tied_head) const {
    const bool has_vision = prefix != text_prefixes[0];
    return name.ends_with(".rotary_emb.inv_freq") || (tied_head && name == output) ||
           (has_vision && std::any_of(std::begin(vision_prefixes), std::end(vision_prefixes),
                                      [&](std::string_view vision) { return name.starts_with(vision); }));
  }
};

float to_float(Dtype dtype, uint16_t half) {
  return dtype == Dtype::f16 ? f16_to_f32(half) : std::bit_cast<float>(uint32_t{half} << 16);
}

std::vector<float> to_floats(const TensorView& view, float added) {
  std::vector<float> values(view.elements());
  for (size_t i = 0; i < values.size(); ++i) {
    if (view.dtype == Dtype::f32) {
      std::memcpy(&values[i], view.bytes.data() + 4 * i, 4);
    } else {
      uint16_t half = 0;
      std::memcpy(&half, view.bytes.data() + 2 * i, 2);
      values[i] = to_float(view.dtype, half);
    }
    values[i] += added;
  }
  return values;
}

// Hands out the folder's tensors by role and remembers which were asked for.
class WeightsReader {
 public:
  WeightsReader(const SafetensorsFolder& folder, const FolderModel& model, FloatBuffers& buffers)
      : folder_(folder), config_(model.config), layout_(model.layout), buffers_(buffers), names_(folder) {}

  TensorView embedding() { return matrix(at("embed_tokens.weight"), config_.n_embd, config_.n_vocab); }

  ModelWeights read() {
    const ModelConfig& c = config_;
    ModelWeights weights;
    weights.token_embd = embedding();
    weights.output_norm = norm(at("norm.weight"), c.n_embd);
    weights.output = c.tied_head ? weights.token_embd : matrix(names_.output, c.n_embd, c.n_vocab);
    weights.layers.resize(c.n_layers);
    for (uint32_t i = 0; i < c.n_layers; ++i) read_layer(weights.layers[i], i);
    refuse_unused();
    return weights;
  }

 private:
  std::string at(std::string_view name) const { return std::string(names_.prefix).append(name); }

  void read_layer(LayerWeights& layer, uint32_t index) {
    const auto name = [&](std::string_view role) {
      return fmt::format("{}layers.{}.{}", names_.prefix, index, role);
    };
    const ModelConfig& c = config_;
    const LayerConfig& shape = c.layers[index];
    const uint64_t n_q = uint64_t{c.n_heads} * shape.head_dim;
    const uint64_t n_kv = uint64_t{shape.n_kv_heads} * shape.head_dim;
    layer.attn_norm = norm(name("input_layernorm.weight"), c.n_embd);
    read_projections(layer, name, n_q, n_kv);
    layer.attn_output = matrix(name("self_attn.o_proj.weight"), n_q, c.n_embd);
    layer.ffn_down = matrix(name("mlp.down_proj.weight"), c.n_ff, c.n_embd);
    if (c.qkv_bias) {
      layer.q_bias = vector(name("self_attn.q_proj.bias"), n_q, 0);
      layer.k_bias = vector(name("self_attn.k_proj.bias"), n_kv, 0);
      layer.v_bias = vector(name("self_attn.v_proj.bias"), n_kv, 0);
    }
    if (c.qk_norm) {
      layer.q_norm = norm(name("self_attn.q_norm.weight"), shape.head_dim);
      layer.k_norm = norm(name("self_attn.k_norm.weight"), shape.head_dim);
    }
    // One name, two places: what follows attention is either the next block's norm or this one's.
    if (c.post_norms) {
      layer.attn_post_norm = norm(name("post_attention_layernorm.weight"), c.n_embd);
      layer.ffn_norm = norm(name("pre_feedforward_layernorm.weight"), c.n_embd);
      layer.ffn_post_norm = norm(name("post_feedforward_layernorm.weight"), c.n_embd);
    } else {
      layer.ffn_norm = norm(name("post_attention_layernorm.weight"), c.n_embd);
    }
  }

  template <typename Name>
  void read_projections(LayerWeights& layer, const Name& name, uint64_t n_q, uint64_t n_kv) {
    const uint64_t n_embd = config_.n_embd;
    const uint64_t n_ff = config_.n_ff;
    if (layout_.fused_projections) {
      const TensorView qkv = matrix(name("self_attn.qkv_proj.weight"), n_embd, n_q + 2 * n_kv);
      layer.q = rows_of(qkv, 0, n_q);
      layer.k = rows_of(qkv, n_q, n_kv);
      layer.v = rows_of(qkv, n_q + n_kv, n_kv);
      const TensorView gate_up = matrix(name("mlp.gate_up_proj.weight"), n_embd, 2 * n_ff);
      layer.ffn_gate = rows_of(gate_up, 0, n_ff);
      layer.ffn_up = rows_of(gate_up, n_ff, n_ff);
    } else {
      layer.q = matrix(name("self_attn.q_proj.weight"), n_embd, n_q);
      layer.k = matrix(name("self_attn.k_proj.weight"), n_embd, n_kv);
      layer.v = matrix(name("self_attn.v_proj.weight"), n_embd, n_kv);
      layer.ffn_gate = matrix(name("mlp.gate_proj.weight"), n_embd, n_ff);
      layer.ffn_up = matrix(name("mlp.up_proj.weight"), n_embd, n_ff);
    }
  }

  TensorView norm(const std::string& name, uint64_t n) {
    return vector(name, n, layout_.norms_add_one ? 1 : 0);
  }

  // As f32, with `added` in each element.
  TensorView vector(const std::string& name, uint64_t n, float added) {
    TensorView view = read(name, {n});
    if (view.dtype == Dtype::f32 && added == 0) return view;
    view.bytes = buffers_.keep(name, to_floats(view, added));
    view.dtype = Dtype::f32;
    return view;
  }

  TensorView matrix(const std::string& name, uint64_t n_in, uint64_t n_out) {
    return read(name, {n_in, n_out});
  }

  TensorView read(const std::string& name, std::initializer_list<uint64_t> shape) {
    const auto found = folder_.tensors().find(name);
    if (found == folder_.tensors().end()) {
      folder_.files().front().fail(
          Code::model_malformed,
          fmt::format("tensor \"{}\" is absent{}", name,
                      folder_.files().size() > 1 ? " from this and the other files" : ""));
    }
    const auto [file, entry] = found->second;
    const TensorView& view = file->view_of(*entry);
    if (view.n_dims != shape.size() || !std::equal(shape.begin(), shape.end(), view.shape.begin())) {
      file->fail(Code::model_malformed,
                 fmt::format("tensor \"{}\" has shape [{}]; config.json asks for [{}]", name,
                             fmt::join(entry->shape, ", "),
                             fmt::join(std::vector<uint64_t>(std::rbegin(shape), std::rend(shape)), ", ")));
    }
    used_.insert(name);
    return view;
  }

  void refuse_unused() const {
    for (const auto& [name, tensor] : folder_.tensors()) {
      if (used_.contains(name) || names_.is_unread(name, config_.tied_head)) continue;
      tensor.file->fail(
          Code::model_unsupported,
          fmt::format("tensor \"{}\" has no place in this architecture as it is run here", printable(name)));
    }
  }

  const SafetensorsFolder& folder_;
  const ModelConfig& config_;
  TensorLayout layout_;
  FloatBuffers& buffers_;
  Names names_;
  std::set<std::string, std::less<>> used_;
};

}  // namespace

std::span<const std::byte> FloatBuffers::keep(const std::string& name, std::vector<float> values) {
  const std::lock_guard lock(mutex_);
  return std::as_bytes(std::span<const float>(kept_.try_emplace(name, std::move(values)).first->second));
}

void check_embedding(const SafetensorsFolder& folder, const FolderModel& model) {
  FloatBuffers none;
  WeightsReader(folder, model, none).embedding();
}

uint64_t folder_weights_bytes(const SafetensorsFolder& folder, const ModelConfig& config) {
  const Names names(folder);
  uint64_t n = 0;
  for (const auto& [name, tensor] : folder.tensors()) {
    if (!names.is_unread(name, config.tied_head)) n += tensor.entry->bytes.size();
  }
  return n;
}

ModelWeights read_folder_weights(const SafetensorsFolder& folder, const FolderModel& model,
                                 FloatBuffers& buffers) {
  return WeightsReader(folder, model, buffers).read();
}

}  // namespace tenure
