#include "weights/model_weights.h"

#include <fmt/format.h>

#include <initializer_list>
#include <set>
#include <string>
#include <string_view>

#include "error/error.h"
#include "tensor/sha256.h"
#include "weights/gguf.h"

namespace tenure {
namespace {

std::string shape_text(std::span<const uint64_t> shape) {
  return fmt::format("[{}]", fmt::join(shape, ", "));
}

// Read with the metadata.
bool is_rope_factors(std::string_view name) {
  return name == "rope_freqs.weight" || name == "rope_factors_short.weight" || name == "rope_factors_long.weight";
}

// Hands out the file's tensors by name and remembers which were asked for.
class TensorReader {
 public:
  explicit TensorReader(const GgufFile& file) : file_(file) {}

  bool has(const std::string& name) const { return file_.find(name) != nullptr; }

  bool has_rows(const std::string& name, uint64_t n_out) const {
    const TensorView* view = file_.find(name);
    return view && view->n_dims == 2 && view->shape[1] == n_out;
  }

  TensorView vector(const std::string& name, uint64_t n) {
    const TensorView view = read(name, {n});
    if (view.dtype != Dtype::f32) unsupported_type(name, view, "F32");
    return view;
  }

  TensorView matrix(const std::string& name, uint64_t n_in, uint64_t n_out) {
    const TensorView view = read(name, {n_in, n_out});
    if (view.dtype == Dtype::i32 || view.dtype == Dtype::u8)
      unsupported_type(name, view, "a float or quantised type");
    return view;
  }

  void refuse_unused() const {
    for (const GgufTensor& tensor : file_.tensors()) {
      if (used_.count(std::string(tensor.name)) || is_rope_factors(tensor.name)) continue;
      file_.fail(Code::model_unsupported,
                 fmt::format("tensor \"{}\" has no place in this architecture as it is run here",
                             printable(tensor.name)));
    }
  }

 private:
  TensorView read(const std::string& name, std::initializer_list<uint64_t> shape) {
    const TensorView* view = file_.find(name);
    if (!view) file_.fail(Code::model_malformed, fmt::format("tensor \"{}\" is absent", name));
    const std::span<const uint64_t> found(view->shape.data(), view->n_dims);
    if (!std::equal(found.begin(), found.end(), shape.begin(), shape.end())) {
      file_.fail(Code::model_malformed,
                 fmt::format("tensor \"{}\" has shape {}; the metadata ask for {}", name, shape_text(found),
                             shape_text({shape.begin(), shape.size()})));
    }
    used_.insert(name);
    return *view;
  }

  [[noreturn]] void unsupported_type(const std::string& name, const TensorView& view,
                                     std::string_view wanted) const {
    file_.fail(Code::model_unsupported,
               fmt::format("tensor \"{}\" has type {}; {} is expected", name, info(view.dtype).name, wanted));
  }

  const GgufFile& file_;
  std::set<std::string> used_;
};

// The three projections, each its own tensor or one after the other in attn_qkv; likewise gate and up in ffn_up.
void read_projections(TensorReader& tensors, const ModelConfig& config, uint32_t layer, LayerWeights& w) {
  const auto name = [&](std::string_view role) { return fmt::format("blk.{}.{}", layer, role); };
  const LayerConfig& shape = config.layers[layer];
  const uint64_t n_q = uint64_t{config.n_heads} * shape.head_dim;
  const uint64_t n_kv = uint64_t{shape.n_kv_heads} * shape.head_dim;
  if (tensors.has(name("attn_qkv.weight"))) {
    const TensorView qkv = tensors.matrix(name("attn_qkv.weight"), config.n_embd, n_q + 2 * n_kv);
    w.q = rows_of(qkv, 0, n_q);
    w.k = rows_of(qkv, n_q, n_kv);
    w.v = rows_of(qkv, n_q + n_kv, n_kv);
  } else {
    w.q = tensors.matrix(name("attn_q.weight"), config.n_embd, n_q);
    w.k = tensors.matrix(name("attn_k.weight"), config.n_embd, n_kv);
    w.v = tensors.matrix(name("attn_v.weight"), config.n_embd, n_kv);
  }
  if (!config.qkv_bias) return;
  if (tensors.has(name("attn_qkv.bias"))) {
    const TensorView qkv = tensors.vector(name("attn_qkv.bias"), n_q + 2 * n_kv);
    w.q_bias = rows_of(qkv, 0, n_q);
    w.k_bias = rows_of(qkv, n_q, n_kv);
    w.v_bias = rows_of(qkv, n_q + n_kv, n_kv);
  } else {
    w.q_bias = tensors.vector(name("attn_q.bias"), n_q);
    w.k_bias = tensors.vector(name("attn_k.bias"), n_kv);
    w.v_bias = tensors.vector(name("attn_v.bias"), n_kv);
  }
}

LayerWeights read_layer(TensorReader& tensors, const ModelConfig& config, uint32_t layer) {
  const auto name = [&](std::string_view role) { return fmt::format("blk.{}.{}.weight", layer, role); };
  const LayerConfig& shape = config.layers[layer];
  LayerWeights w;
  w.attn_norm = tensors.vector(name("attn_norm"), config.n_embd);
  read_projections(tensors, config, layer, w);
  w.attn_output = tensors.matrix(name("attn_output"), uint64_t{config.n_heads} * shape.head_dim, config.n_embd);
  w.ffn_norm = tensors.vector(name("ffn_norm"), config.n_embd);
  if (!tensors.has_rows(name("ffn_up"), 2 * uint64_t{config.n_ff})) {
    w.ffn_gate = tensors.matrix(name("ffn_gate"), config.n_embd, config.n_ff);
    w.ffn_up = tensors.matrix(name("ffn_up"), config.n_embd, config.n_ff);
  } else {
    const TensorView both = tensors.matrix(name("ffn_up"), config.n_embd, 2 * uint64_t{config.n_ff});
    w.ffn_gate = rows_of(both, 0, config.n_ff);
    w.ffn_up = rows_of(both, config.n_ff, config.n_ff);
  }
  w.ffn_down = tensors.matrix(name("ffn_down"), config.n_ff, config.n_embd);
  if (config.qk_norm) {
    w.q_norm = tensors.vector(name("attn_q_norm"), shape.head_dim);
    w.k_norm = tensors.vector(name("attn_k_norm"), shape.head_dim);
  }
  if (config.post_norms) {
    w.attn_post_norm = tensors.vector(name("post_attention_norm"), config.n_embd);
    w.ffn_post_norm = tensors.vector(name("post_ffw_norm"), config.n_embd);
  }
  return w;
}

}  // namespace

std::string fingerprint_of(const ModelConfig& config, const ModelWeights& weights) {
  std::string text = config.fingerprint;
  for (const LayerWeights& layer : weights.layers) text += sha256_hex(layer.attn_norm.bytes) + sha256_hex(layer.ffn_norm.bytes);
  text += sha256_hex(weights.output_norm.bytes);
  return sha256_hex(std::as_bytes(std::span(text)));
}

TensorView rows_of(const TensorView& tensor, uint64_t first, uint64_t n) {
  const uint32_t outermost = tensor.n_dims - 1;
  const uint64_t row_bytes = tensor.bytes.size() / tensor.shape[outermost];
  TensorView part = tensor;
  part.shape[outermost] = n;
  part.bytes = tensor.bytes.subspan(first * row_bytes, n * row_bytes);
  return part;
}

ModelWeights read_model_weights(const GgufFile& file, const ModelConfig& config) {
  TensorReader tensors(file);
  ModelWeights weights;
  weights.token_embd = tensors.matrix("token_embd.weight", config.n_embd, config.n_vocab);
  weights.output_norm = tensors.vector("output_norm.weight", config.n_embd);
  weights.output =
      config.tied_head ? weights.token_embd : tensors.matrix("output.weight", config.n_embd, config.n_vocab);
  weights.layers.reserve(config.n_layers);
  for (uint32_t i = 0; i < config.n_layers; ++i) weights.layers.push_back(read_layer(tensors, config, i));
  tensors.refuse_unused();
  return weights;
}

}  // namespace tenure
