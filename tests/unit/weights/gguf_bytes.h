// Writes GGUF bytes, right or wrong: what a test states is what is in the file, nothing is checked or
// corrected.
#pragma once

#include <cstddef>
#include <cstdint>
#include <span>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "weights/gguf_value.h"

namespace tenure::test {

class GgufBytes {
 public:
  template <typename T>
  GgufBytes& number(T value) {
    const auto* raw = reinterpret_cast<const std::byte*>(&value);
    data_.insert(data_.end(), raw, raw + sizeof value);
    return *this;
  }
  GgufBytes& u8(uint8_t v) { return number(v); }
  GgufBytes& u32(uint32_t v) { return number(v); }
  GgufBytes& u64(uint64_t v) { return number(v); }
  GgufBytes& f32(float v) { return number(v); }
  GgufBytes& raw(std::string_view text) {
    for (const char c : text) data_.push_back(static_cast<std::byte>(c));
    return *this;
  }
  GgufBytes& string(std::string_view text) { return u64(text.size()).raw(text); }
  GgufBytes& type(GgufType type) { return u32(static_cast<uint32_t>(type)); }
  GgufBytes& key(std::string_view name, GgufType value_type) { return string(name).type(value_type); }
  GgufBytes& header(uint64_t n_tensors, uint64_t n_values, uint32_t version = 3) {
    return raw("GGUF").u32(version).u64(n_tensors).u64(n_values);
  }
  GgufBytes& tensor(std::string_view name, std::vector<uint64_t> shape, uint32_t ggml_type, uint64_t offset) {
    string(name).u32(static_cast<uint32_t>(shape.size()));
    for (const uint64_t n : shape) u64(n);
    return u32(ggml_type).u64(offset);
  }
  GgufBytes& zeros(size_t n) {
    data_.resize(data_.size() + n);
    return *this;
  }
  GgufBytes& pad(size_t alignment = 32) { return zeros((alignment - data_.size() % alignment) % alignment); }
  GgufBytes& append(const GgufBytes& other) {
    data_.insert(data_.end(), other.data_.begin(), other.data_.end());
    return *this;
  }

  std::span<const std::byte> bytes() const { return data_; }

 private:
  std::vector<std::byte> data_;
};

// A whole llama of one layer that read_model_config and read_model_weights take: 2 heads over 1 KV head of 4,
// n_embd 8, n_ff 6, 3 tokens. Tests change one thing and see it refused.
struct LlamaBytes {
  struct Tensor {
    std::string name;
    std::vector<uint64_t> shape;
    uint32_t ggml_type = 0;  // F32
  };
  std::vector<std::pair<std::string, GgufBytes>> values;  // key; type and value
  std::vector<Tensor> tensors;

  LlamaBytes();
  static GgufBytes u32(uint32_t v) { return GgufBytes().type(GgufType::u32).u32(v); }
  static GgufBytes f32(float v) { return GgufBytes().type(GgufType::f32).f32(v); }
  static GgufBytes text(std::string_view v) { return GgufBytes().type(GgufType::string).string(v); }
  static GgufBytes texts(const std::vector<std::string>& list);
  static GgufBytes u32s(const std::vector<uint32_t>& list);

  LlamaBytes& set(const std::string& key, GgufBytes value);
  LlamaBytes& remove(const std::string& key);
  Tensor& tensor(const std::string& name);
  LlamaBytes& remove_tensor(const std::string& name);
  GgufBytes file() const;
};

}  // namespace tenure::test
