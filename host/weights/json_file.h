// A JSON object of a model folder, read as the file of a stranger: bounded in size and depth, no key twice,
// every value checked for its type when it is asked for.
#pragma once

#include <cstddef>
#include <cstdint>
#include <memory>
#include <nlohmann/json_fwd.hpp>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "error/codes.h"

namespace tenure {

// A view of one object in a JsonFile, which outlives it. A key whose value is null counts as absent, as
// transformers takes it. Each find_* throws Error(model_malformed) when the value has another type.
class JsonObject {
 public:
  // `file` is what errors call it, `path` the keys that lead to the object ("text_config.rope_scaling").
  JsonObject(const nlohmann::json& value, const std::string& file, std::string path)
      : value_(&value), file_(&file), path_(std::move(path)) {}

  const nlohmann::json& value() const { return *value_; }
  const nlohmann::json* find(std::string_view key) const;
  bool contains(std::string_view key) const { return find(key) != nullptr; }
  bool is_null(std::string_view key) const;  // said to be null, not just absent
  std::optional<uint64_t> find_uint(std::string_view key) const;
  std::optional<double> find_float(std::string_view key) const;  // any finite number
  std::optional<bool> find_bool(std::string_view key) const;
  std::optional<std::string_view> find_string(std::string_view key) const;
  std::optional<JsonObject> find_object(std::string_view key) const;
  std::optional<std::vector<double>> find_floats(std::string_view key) const;
  std::optional<std::vector<std::string_view>> find_strings(std::string_view key) const;
  // The same, but absence is an error too.
  uint64_t require_uint(std::string_view key) const;
  double require_float(std::string_view key) const;
  std::string_view require_string(std::string_view key) const;
  JsonObject require_object(std::string_view key) const;

  const std::string& file() const { return *file_; }
  // `key "text_config.rope_scaling"`, fit for a message.
  std::string name_of(std::string_view key) const;
  // An Error about this file; `text` is one line.
  [[noreturn]] void fail(Code code, std::string text) const;

 private:
  const nlohmann::json& typed(std::string_view key, const nlohmann::json& value, bool fits,
                              std::string_view expected) const;
  template <typename T>
  T require(std::optional<T> found, std::string_view key) const;

  const nlohmann::json* value_;
  const std::string* file_;
  std::string path_;
};

// Owns the parsed tree. Const and free of state: any thread.
class JsonFile {
 public:
  static constexpr size_t max_bytes = 256 << 20;  // Gemma's tokenizer.json has 33 MB
  static constexpr size_t max_depth = 32;

  // Both throw Error(model_malformed) naming the byte; open also model_missing and input_unreadable.
  static JsonFile open(const std::string& path);
  static JsonFile parse(std::string_view text, std::string name);
  // Nothing when there is no such file.
  static std::optional<JsonFile> open_if_there(const std::string& path);

  JsonFile(JsonFile&&) noexcept;
  JsonFile& operator=(JsonFile&&) noexcept;
  JsonFile(const JsonFile&) = delete;
  JsonFile& operator=(const JsonFile&) = delete;
  ~JsonFile();

  const std::string& name() const { return *name_; }
  JsonObject root() const { return {*value_, *name_, {}}; }

 private:
  JsonFile(std::unique_ptr<const nlohmann::json> value, std::string name);

  // Behind pointers, so that the views outlive a move.
  std::unique_ptr<const nlohmann::json> value_;
  std::unique_ptr<const std::string> name_;
};

// The bytes as text.
std::string_view text_of(std::span<const std::byte> bytes);

// What a person sees of a value in one line: itself where it is short, else how many elements it has.
std::string preview(const nlohmann::json&);

}  // namespace tenure
