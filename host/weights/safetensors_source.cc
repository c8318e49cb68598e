#include "weights/safetensors_source.h"

#include <fmt/format.h>

#include <algorithm>
#include <filesystem>

#include "error/error.h"
#include "weights/mapped_file.h"
#include "weights/tokenizer_json.h"

namespace tenure {
namespace {

namespace fs = std::filesystem;

constexpr const char* template_name = "chat_template.jinja";
constexpr size_t max_template_bytes = 16 << 20;

std::string without_slash(const std::string& folder) {
  const size_t last = folder.find_last_not_of('/');
  return last == std::string::npos ? folder : folder.substr(0, last + 1);
}

std::string read_template(const std::string& path) {
  std::error_code ignored;
  if (!fs::exists(path, ignored)) return {};
  const MappedFile mapping = MappedFile::open(path);
  if (mapping.bytes().size() > max_template_bytes) {
    throw Error(Diagnostic{.code = Code::template_unsupported,
                           .text = fmt::format("the template has {} bytes; at most {} are allowed",
                                               mapping.bytes().size(), max_template_bytes),
                           .where = {.file = path}});
  }
  return std::string(text_of(mapping.bytes()));
}

// The folder's own name, which a relative path ("." at the shortest) may leave out.
std::string name_of_folder(const std::string& folder) {
  std::error_code error;
  const fs::path path = fs::absolute(folder, error);
  if (error) {
    throw Error(Diagnostic{.code = Code::input_unreadable,
                           .text = fmt::format("cannot tell where the folder is: {}", error.message()),
                           .where = {.file = folder}});
  }
  return path.lexically_normal().filename().string();
}

const JsonFile* pointer(const std::optional<JsonFile>& file) {
  return file ? &*file : nullptr;
}

}  // namespace

SafetensorsSource::SafetensorsSource(const std::string& folder)
    : folder_(without_slash(folder)),
      tensors_(SafetensorsFolder::open(folder_)),
      config_(JsonFile::open(folder_ + "/config.json")) {
  model_ = read_config_json(config_.root(), name_of_folder(folder_));
  check_embedding(tensors_, model_);
  model_.config.weights_bytes = folder_weights_bytes(tensors_, model_.config);
  model_.config.seal();
}

ModelWeights SafetensorsSource::weights(const ModelConfig&) const {
  return read_folder_weights(tensors_, model_, floats_);
}

TokenizerMetadata SafetensorsSource::tokenizer() const {
  const std::string path = folder_ + "/tokenizer.json";
  std::error_code ignored;
  if (!fs::exists(path, ignored)) {
    throw Error(Diagnostic{.code = Code::model_missing,
                           .text = "the folder has no \"tokenizer.json\"",
                           .where = {.file = folder_},
                           .help =
                               "tokenizer.model is not read; transformers writes tokenizer.json beside it: "
                               "AutoTokenizer.from_pretrained(FOLDER).save_pretrained(FOLDER)"});
  }
  const JsonFile tokenizer = JsonFile::open(path);
  const auto tokenizer_config = JsonFile::open_if_there(folder_ + "/tokenizer_config.json");
  const auto generation_config = JsonFile::open_if_there(folder_ + "/generation_config.json");
  return read_tokenizer_json({.tokenizer = &tokenizer,
                              .tokenizer_config = pointer(tokenizer_config),
                              .generation_config = pointer(generation_config),
                              .config = &config_,
                              .chat_template = read_template(folder_ + "/" + template_name)},
                             model_.config.n_vocab);
}

std::vector<std::string> safetensors_source_names(const std::string& folder) {
  std::vector<std::string> names = safetensors_names(folder);
  std::error_code ignored;
  for (const char* name : {"config.json", "generation_config.json", "model.safetensors.index.json",
                           template_name, "tokenizer.json", "tokenizer_config.json"}) {
    if (fs::exists(fmt::format("{}/{}", folder, name), ignored)) names.emplace_back(name);
  }
  std::sort(names.begin(), names.end());
  return names;
}

}  // namespace tenure
