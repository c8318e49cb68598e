#include "cli/inspect_safetensors.h"

#include <fmt/format.h>
#include <fmt/ranges.h>

#include <filesystem>
#include <nlohmann/json.hpp>
#include <optional>
#include <vector>

#include "record/json_writer.h"
#include "weights/gguf_value.h"
#include "weights/json_file.h"
#include "weights/safetensors_folder.h"

namespace tenure::cli {
namespace {

struct Value {
  std::string key;
  std::string type;
  std::string preview;
};

// A folder's config.json and tensors, or one file's.
struct Listing {
  std::vector<Value> values;
  std::vector<SafetensorsFolder::Tensor> tensors;
  uint64_t bytes = 0;
  size_t n_files = 0;
};

void add_values(const nlohmann::json& object, const std::string& path, std::vector<Value>& values) {
  for (const auto& [key, value] : object.items()) {
    if (value.is_object()) {
      add_values(value, path + key + ".", values);
    } else {
      values.push_back({path + key, value.type_name(), preview(value)});
    }
  }
}

void add_file(const SafetensorsFile& file, Listing& listing) {
  for (const auto& [key, text] : file.metadata()) listing.values.push_back({key, "string", printable(text)});
  for (const SafetensorsTensor& tensor : file.tensors()) listing.tensors.push_back({&file, &tensor});
  listing.bytes += file.bytes().size();
  ++listing.n_files;
}

// The files, which the listing points into, and the listing.
class Inspected {
 public:
  explicit Inspected(const std::string& path) {
    std::error_code ignored;  // opening what is no directory says why it cannot be read
    if (std::filesystem::is_directory(path, ignored)) {
      folder_ = SafetensorsFolder::open(path);
      if (const auto config = JsonFile::open_if_there(path + "/config.json"))
        add_values(config->root().value(), "", listing_.values);
      for (const SafetensorsFile& file : folder_->files()) add_file(file, listing_);
    } else {
      file_ = SafetensorsFile::open(path);
      add_file(*file_, listing_);
    }
  }
  const Listing& listing() const { return listing_; }

 private:
  std::optional<SafetensorsFolder> folder_;
  std::optional<SafetensorsFile> file_;
  Listing listing_;
};

std::string file_name(const SafetensorsFile& file) {
  return std::filesystem::path(file.name()).filename().string();
}

void write_tensor(JsonWriter& json, const SafetensorsFolder::Tensor& tensor) {
  json.begin_object();
  json.key("name").string(tensor.entry->name);
  json.key("type").string(tensor.entry->dtype);
  json.key("runnable").boolean(tensor.entry->view.has_value());
  json.key("shape").begin_array();
  for (const uint64_t n : tensor.entry->shape) json.unsigned_integer(n);
  json.end_array();
  json.key("file").string(file_name(*tensor.file));
  json.key("offset").unsigned_integer(tensor.entry->offset);
  json.key("bytes").unsigned_integer(tensor.entry->bytes.size());
  json.end_object();
}

}  // namespace

bool is_safetensors(const std::string& path) {
  std::error_code ignored;
  return path.ends_with(".safetensors") || std::filesystem::is_directory(path, ignored);
}

std::string safetensors_text(const std::string& path) {
  const Inspected inspected(path);
  const Listing& listing = inspected.listing();
  std::string text = fmt::format("{}: safetensors, {} file{}, {} bytes, {} values, {} tensors\n\nmetadata\n",
                                 path, listing.n_files, listing.n_files == 1 ? "" : "s", listing.bytes,
                                 listing.values.size(), listing.tensors.size());
  for (const Value& value : listing.values)
    text += fmt::format("  {:<44} {:<8} {}\n", printable(value.key), value.type, value.preview);
  text += "\ntensors (rows first)\n";
  for (const auto& [file, tensor] : listing.tensors) {
    text += fmt::format("  {:<56} {:<8} {:<20} {:>12} bytes{}{}\n", printable(tensor->name),
                        printable(tensor->dtype), fmt::format("{}", fmt::join(tensor->shape, " x ")),
                        tensor->bytes.size(), listing.n_files > 1 ? "  " + printable(file_name(*file)) : "",
                        tensor->view ? "" : "  (is not run)");
  }
  return text;
}

std::string safetensors_json(const std::string& path) {
  const Inspected inspected(path);
  const Listing& listing = inspected.listing();
  JsonWriter json;
  json.begin_object();
  json.key("file").string(path);
  json.key("bytes").unsigned_integer(listing.bytes);
  json.key("metadata").begin_array();
  for (const Value& value : listing.values) {
    json.begin_object();
    json.key("key").string(value.key);
    json.key("type").string(value.type);
    json.key("preview").string(value.preview);
    json.end_object();
  }
  json.end_array();
  json.key("tensors").begin_array();
  for (const SafetensorsFolder::Tensor& tensor : listing.tensors) write_tensor(json, tensor);
  json.end_array();
  json.end_object();
  return json.take() + "\n";
}

}  // namespace tenure::cli
