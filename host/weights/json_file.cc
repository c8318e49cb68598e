#include "weights/json_file.h"

#include <fmt/format.h>

#include <cmath>
#include <filesystem>
#include <nlohmann/json.hpp>
#include <set>
#include <utility>

#include "error/error.h"
#include "weights/gguf_value.h"
#include "weights/mapped_file.h"

namespace tenure {
namespace {

using nlohmann::json;

[[noreturn]] void malformed(const std::string& file, std::string text) {
  throw Error(Diagnostic{.code = Code::model_malformed, .text = std::move(text), .where = {.file = file}});
}

// Watches the parser: nlohmann's keeps the last of equal keys and counts no depth.
class Watch {
 public:
  explicit Watch(const std::string& file) : file_(file) {}

  bool operator()(int /*depth*/, json::parse_event_t event, json& parsed) {
    switch (event) {
      case json::parse_event_t::object_start:
      case json::parse_event_t::array_start:
        open_.emplace_back();
        if (open_.size() > JsonFile::max_depth) {
          malformed(file_, fmt::format("objects and arrays nest more than {} deep", JsonFile::max_depth));
        }
        break;
      case json::parse_event_t::object_end:
      case json::parse_event_t::array_end:
        open_.pop_back();
        break;
      case json::parse_event_t::key: {
        const auto& key = parsed.get_ref<const std::string&>();
        if (!open_.back().insert(key).second)
          malformed(file_, fmt::format("key \"{}\" occurs twice in one object", printable(key)));
        break;
      }
      case json::parse_event_t::value:
        break;
    }
    return true;
  }

 private:
  const std::string& file_;
  std::vector<std::set<std::string>> open_;  // the keys seen in each object or array around here
};

std::string_view kind_of(const json& value) {
  if (value.is_number_float()) return "a fraction";
  if (value.is_number_integer()) return "an integer";
  return value.type_name();
}

}  // namespace

std::string_view text_of(std::span<const std::byte> bytes) {
  return {reinterpret_cast<const char*>(bytes.data()), bytes.size()};
}

std::string preview(const json& value) {
  if (value.is_string()) return printable(value.get_ref<const std::string&>());
  if (!value.is_structured()) return value.dump();
  const std::string whole = value.size() <= 16 ? value.dump(-1, ' ', true) : std::string();
  if (!whole.empty() && whole.size() <= 64) return printable(whole);
  return fmt::format("[{} {}]", value.size(), value.is_array() ? "elements" : "keys");
}

const json* JsonObject::find(std::string_view key) const {
  const auto found = value_->find(key);
  return found == value_->end() || found->is_null() ? nullptr : &*found;
}

bool JsonObject::is_null(std::string_view key) const {
  const auto found = value_->find(key);
  return found != value_->end() && found->is_null();
}

std::string JsonObject::name_of(std::string_view key) const {
  return fmt::format("key \"{}{}{}\"", printable(path_), path_.empty() ? "" : ".", printable(key));
}

void JsonObject::fail(Code code, std::string text) const {
  throw Error(Diagnostic{.code = code, .text = std::move(text), .where = {.file = *file_}});
}

const json& JsonObject::typed(std::string_view key, const json& value, bool fits,
                              std::string_view expected) const {
  if (!fits) {
    fail(Code::model_malformed,
         fmt::format("{} is {}; {} is expected", name_of(key), kind_of(value), expected));
  }
  return value;
}

std::optional<uint64_t> JsonObject::find_uint(std::string_view key) const {
  const json* value = find(key);
  if (!value) return std::nullopt;
  return typed(key, *value, value->is_number_unsigned(), "an integer of 0 or more").get<uint64_t>();
}

std::optional<double> JsonObject::find_float(std::string_view key) const {
  const json* value = find(key);
  if (!value) return std::nullopt;
  return typed(key, *value, value->is_number() && std::isfinite(value->get<double>()), "a number")
      .get<double>();
}

std::optional<bool> JsonObject::find_bool(std::string_view key) const {
  const json* value = find(key);
  if (!value) return std::nullopt;
  return typed(key, *value, value->is_boolean(), "true or false").get<bool>();
}

std::optional<std::string_view> JsonObject::find_string(std::string_view key) const {
  const json* value = find(key);
  if (!value) return std::nullopt;
  return typed(key, *value, value->is_string(), "a string").get_ref<const std::string&>();
}

std::optional<JsonObject> JsonObject::find_object(std::string_view key) const {
  const json* value = find(key);
  if (!value) return std::nullopt;
  typed(key, *value, value->is_object(), "an object");
  return JsonObject(*value, *file_, path_.empty() ? std::string(key) : fmt::format("{}.{}", path_, key));
}

std::optional<std::vector<double>> JsonObject::find_floats(std::string_view key) const {
  const json* value = find(key);
  if (!value) return std::nullopt;
  typed(key, *value, value->is_array(), "an array of numbers");
  std::vector<double> numbers;
  for (const json& element : *value)
    numbers.push_back(typed(key, element, element.is_number(), "an array of numbers").get<double>());
  return numbers;
}

std::optional<std::vector<std::string_view>> JsonObject::find_strings(std::string_view key) const {
  const json* value = find(key);
  if (!value) return std::nullopt;
  typed(key, *value, value->is_array(), "an array of strings");
  std::vector<std::string_view> strings;
  for (const json& element : *value) {
    typed(key, element, element.is_string(), "an array of strings");
    strings.push_back(element.get_ref<const std::string&>());
  }
  return strings;
}

template <typename T>
T JsonObject::require(std::optional<T> found, std::string_view key) const {
  if (!found) fail(Code::model_malformed, fmt::format("{} is absent; this model needs it", name_of(key)));
  return *found;
}

uint64_t JsonObject::require_uint(std::string_view key) const {
  return require(find_uint(key), key);
}
double JsonObject::require_float(std::string_view key) const {
  return require(find_float(key), key);
}
std::string_view JsonObject::require_string(std::string_view key) const {
  return require(find_string(key), key);
}
JsonObject JsonObject::require_object(std::string_view key) const {
  return require(find_object(key), key);
}

JsonFile::JsonFile(std::unique_ptr<const json> value, std::string name)
    : value_(std::move(value)), name_(std::make_unique<const std::string>(std::move(name))) {}
JsonFile::JsonFile(JsonFile&&) noexcept = default;
JsonFile& JsonFile::operator=(JsonFile&&) noexcept = default;
JsonFile::~JsonFile() = default;

JsonFile JsonFile::parse(std::string_view text, std::string name) {
  if (text.size() > max_bytes)
    malformed(name, fmt::format("{} bytes of JSON; at most {} are allowed", text.size(), max_bytes));
  auto value = std::make_unique<json>();
  try {
    *value = json::parse(text, Watch(name));
  } catch (const json::parse_error& error) {
    malformed(name, fmt::format("not JSON at byte {}", error.byte));
  } catch (const json::exception&) {
    malformed(name, "a number is too large for JSON as it is read here");
  }
  if (!value->is_object())
    malformed(name, fmt::format("the JSON is {}; an object is expected", value->type_name()));
  return {std::move(value), std::move(name)};
}

JsonFile JsonFile::open(const std::string& path) {
  const MappedFile mapping = MappedFile::open(path);
  return parse(text_of(mapping.bytes()), path);
}

std::optional<JsonFile> JsonFile::open_if_there(const std::string& path) {
  std::error_code ignored;
  if (!std::filesystem::exists(path, ignored)) return std::nullopt;
  return open(path);
}

}  // namespace tenure
