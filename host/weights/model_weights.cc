#include "weights/model_weights.h"

#include <fmt/format.h>

#include <initializer_list>
#include <set>
#include <string>
#include <string_view>

#include "error/error.h"
#include "weights/gguf.h"

namespace tenure {
namespace {

std::string shape_text(std::span<const uint64_t> shape) {
  return fmt::format("[{}]", fmt::join(shape, ", "));
}

// Hands out the file's tensors by name and remembers which were asked for.
class TensorReader {
 public:
  explicit TensorReader(const GgufFile& file) : file_(file) {}

  TensorView norm(const std::string& name, uint64_t n) {
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
      if (used_.count(std::string(tensor.name))) continue;
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

LayerWeights read_layer(TensorReader& tensors, const ModelConfig& config, uint32_t layer) {
  const auto name = [&](std::string_view role) { return fmt::format("blk.{}.{}.weight", layer, role); };
  const LayerConfig& shape = config.layers[layer];
  const uint64_t n_q = uint64_t{config.n_heads} * shape.head_dim;
  const uint64_t n_kv = uint64_t{shape.n_kv_heads} * shape.head_dim;
  return {
      .attn_norm = tensors.norm(name("attn_norm"), config.n_embd),
      .q = tensors.matrix(name("attn_q"), config.n_embd, n_q),
      .k = tensors.matrix(name("attn_k"), config.n_embd, n_kv),
      .v = tensors.matrix(name("attn_v"), config.n_embd, n_kv),
      .attn_output = tensors.matrix(name("attn_output"), n_q, config.n_embd),
      .ffn_norm = tensors.norm(name("ffn_norm"), config.n_embd),
      .ffn_gate = tensors.matrix(name("ffn_gate"), config.n_embd, config.n_ff),
      .ffn_up = tensors.matrix(name("ffn_up"), config.n_embd, config.n_ff),
      .ffn_down = tensors.matrix(name("ffn_down"), config.n_ff, config.n_embd),
  };
}

}  // namespace

ModelWeights read_model_weights(const GgufFile& file, const ModelConfig& config) {
  TensorReader tensors(file);
  ModelWeights weights;
  weights.token_embd = tensors.matrix("token_embd.weight", config.n_embd, config.n_vocab);
  weights.output_norm = tensors.norm("output_norm.weight", config.n_embd);
  weights.output =
      config.tied_head ? weights.token_embd : tensors.matrix("output.weight", config.n_embd, config.n_vocab);
  weights.layers.reserve(config.n_layers);
  for (uint32_t i = 0; i < config.n_layers; ++i) weights.layers.push_back(read_layer(tensors, config, i));
  tensors.refuse_unused();
  return weights;
}

}  // namespace tenure
