#include "weights/safetensors_folder.h"

#include <fmt/format.h>

#include <filesystem>
#include <nlohmann/json.hpp>
#include <set>

#include "error/error.h"
#include "weights/gguf_value.h"
#include "weights/json_file.h"

namespace tenure {
namespace {

constexpr const char* single_name = "model.safetensors";
constexpr const char* index_name = "model.safetensors.index.json";

bool is_plain_name(std::string_view name) {
  return name.ends_with(".safetensors") && name.front() != '.' && name.size() <= 255 &&
         name.find_first_of(std::string_view("/\\\0", 3)) == std::string_view::npos;
}

bool is_there(const std::string& path) {
  std::error_code ignored;
  return std::filesystem::exists(path, ignored);
}

// tensor → file name
std::map<std::string, std::string> read_weight_map(const JsonObject& index) {
  const JsonObject weight_map = index.require_object("weight_map");
  std::map<std::string, std::string> names;
  for (const auto& [tensor, unused] : weight_map.value().items()) {
    const std::string_view name = weight_map.require_string(tensor);
    if (!is_plain_name(name)) {
      index.fail(Code::model_malformed,
                 fmt::format("{} is \"{}\"; the name of a .safetensors file in this folder is expected",
                             weight_map.name_of(tensor), printable(name)));
    }
    names.emplace(tensor, name);
  }
  if (names.empty()) index.fail(Code::model_malformed, "key \"weight_map\" is empty");
  return names;
}

}  // namespace

std::vector<std::string> safetensors_names(const std::string& folder) {
  if (is_there(folder + "/" + single_name)) return {single_name};
  if (!is_there(folder + "/" + index_name)) {
    throw Error(
        Diagnostic{.code = Code::model_missing,
                   .text = fmt::format("the folder has neither \"{}\" nor \"{}\"", single_name, index_name),
                   .where = {.file = folder},
                   .help = "pytorch_model.bin and other formats are not read; transformers' save_pretrained "
                           "writes safetensors"});
  }
  const JsonFile index = JsonFile::open(folder + "/" + index_name);
  std::set<std::string> names;
  for (auto& [tensor, name] : read_weight_map(index.root())) names.insert(name);
  if (names.size() > SafetensorsFolder::max_files) {
    index.root().fail(Code::model_malformed,
                      fmt::format("key \"weight_map\" names {} files; at most {} are allowed", names.size(),
                                  SafetensorsFolder::max_files));
  }
  return {names.begin(), names.end()};
}

SafetensorsFolder SafetensorsFolder::open(const std::string& folder) {
  SafetensorsFolder opened;
  const std::vector<std::string> names = safetensors_names(folder);
  opened.files_.reserve(names.size());
  for (const std::string& name : names) opened.files_.push_back(SafetensorsFile::open(folder + "/" + name));
  for (const SafetensorsFile& file : opened.files_) {
    for (const SafetensorsTensor& tensor : file.tensors()) {
      const auto [first, is_new] = opened.tensors_.emplace(tensor.name, Tensor{&file, &tensor});
      if (is_new) continue;
      file.fail(Code::model_malformed, fmt::format("tensor \"{}\" is also in \"{}\"", printable(tensor.name),
                                                   first->second.file->name()));
    }
  }
  if (names.size() == 1 && names.front() == single_name) return opened;
  const JsonFile index = JsonFile::open(folder + "/" + index_name);
  for (const auto& [tensor, name] : read_weight_map(index.root())) {
    const auto found = opened.tensors_.find(tensor);
    if (found == opened.tensors_.end() || found->second.file->name() != folder + "/" + name) {
      index.root().fail(
          Code::model_malformed,
          fmt::format("tensor \"{}\" is not in \"{}\", where the index says", printable(tensor), name));
    }
  }
  return opened;
}

}  // namespace tenure
