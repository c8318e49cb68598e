#include "unit/weights/gguf_bytes.h"

#include <algorithm>
#include <stdexcept>

#include "weights/ggml_type.h"

namespace tenure::test {

LlamaBytes::LlamaBytes() {
  values = {{"general.architecture", text("llama")},
            {"general.name", text("one layer")},
            {"llama.block_count", u32(1)},
            {"llama.embedding_length", u32(8)},
            {"llama.feed_forward_length", u32(6)},
            {"llama.context_length", u32(64)},
            {"llama.attention.head_count", u32(2)},
            {"llama.attention.head_count_kv", u32(1)},
            {"llama.attention.layer_norm_rms_epsilon", f32(1e-5f)},
            {"tokenizer.ggml.model", text("gpt2")},
            {"tokenizer.ggml.pre", text("smollm")},
            {"tokenizer.ggml.tokens", texts({"a", "b", "<end>"})},
            {"tokenizer.ggml.token_type", u32s({1, 1, 3})},
            {"tokenizer.ggml.merges", texts({"a b"})},
            {"tokenizer.ggml.eos_token_id", u32(2)}};
  tensors = {{"token_embd.weight", {8, 3}},        {"output_norm.weight", {8}},
             {"blk.0.attn_norm.weight", {8}},      {"blk.0.attn_q.weight", {8, 8}},
             {"blk.0.attn_k.weight", {8, 4}},      {"blk.0.attn_v.weight", {8, 4}},
             {"blk.0.attn_output.weight", {8, 8}}, {"blk.0.ffn_norm.weight", {8}},
             {"blk.0.ffn_gate.weight", {8, 6}},    {"blk.0.ffn_up.weight", {8, 6}},
             {"blk.0.ffn_down.weight", {6, 8}}};
}

GgufBytes LlamaBytes::texts(const std::vector<std::string>& list) {
  GgufBytes out;
  out.type(GgufType::array).type(GgufType::string).u64(list.size());
  for (const std::string& item : list) out.string(item);
  return out;
}

GgufBytes LlamaBytes::u32s(const std::vector<uint32_t>& list) {
  GgufBytes out;
  out.type(GgufType::array).type(GgufType::u32).u64(list.size());
  for (const uint32_t item : list) out.u32(item);
  return out;
}

LlamaBytes& LlamaBytes::set(const std::string& key, GgufBytes value) {
  remove(key);
  values.emplace_back(key, std::move(value));
  return *this;
}

LlamaBytes& LlamaBytes::remove(const std::string& key) {
  values.erase(std::remove_if(values.begin(), values.end(), [&](const auto& v) { return v.first == key; }),
               values.end());
  return *this;
}

LlamaBytes::Tensor& LlamaBytes::tensor(const std::string& name) {
  for (Tensor& t : tensors) {
    if (t.name == name) return t;
  }
  throw std::out_of_range(name);
}

LlamaBytes& LlamaBytes::remove_tensor(const std::string& name) {
  tensors.erase(
      std::remove_if(tensors.begin(), tensors.end(), [&](const Tensor& t) { return t.name == name; }),
      tensors.end());
  return *this;
}

GgufBytes LlamaBytes::file() const {
  GgufBytes out;
  out.header(tensors.size(), values.size());
  for (const auto& [key, value] : values) out.string(key).append(value);
  uint64_t offset = 0;
  for (const Tensor& t : tensors) {
    out.tensor(t.name, t.shape, t.ggml_type, offset);
    uint64_t n = 1;
    for (const uint64_t d : t.shape) n *= d;
    const GgmlType* type = find_ggml_type(t.ggml_type);
    offset += type ? (n / type->block_elements * type->block_bytes + 31) / 32 * 32 : 0;
  }
  return out.pad().zeros(offset);
}

}  // namespace tenure::test
