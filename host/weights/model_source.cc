#include "weights/model_source.h"

#include <fmt/format.h>

#include <filesystem>
#include <utility>

#include "error/error.h"
#include "tensor/sha256.h"
#include "weights/gguf.h"
#include "weights/safetensors_source.h"

namespace tenure {
namespace {

class GgufSource final : public ModelSource {
 public:
  explicit GgufSource(GgufFile file) : file_(std::move(file)) {}

  const std::string& name() const override { return file_.name(); }
  TokenizerMetadata tokenizer() const override { return read_tokenizer_metadata(file_); }
  ModelWeights weights(const ModelConfig& config) const override { return read_model_weights(file_, config); }
  void drop(std::span<const std::byte> part) const noexcept override { file_.drop(part); }

 protected:
  ModelConfig read_config() const override { return read_model_config(file_); }

 private:
  GgufFile file_;
};

bool is_folder(const std::string& path) {
  std::error_code ignored;
  return std::filesystem::is_directory(path, ignored);
}

}  // namespace

std::unique_ptr<ModelSource> ModelSource::open(const std::string& path) {
  if (is_folder(path)) return std::make_unique<SafetensorsSource>(path);
  if (path.ends_with(".safetensors")) {
    throw Error(Diagnostic{
        .code = Code::model_unsupported,
        .text = "a safetensors file alone is no model: its config.json and tokenizer.json are needed",
        .where = {.file = path},
        .help = "name the folder that holds them"});
  }
  return std::make_unique<GgufSource>(GgufFile::open(path));
}

ModelConfig ModelSource::config() const {
  ModelConfig config = read_config();
  config.fingerprint = fingerprint_of(config, weights(config));
  return config;
}

std::string model_sha256(const std::string& path) {
  if (!is_folder(path)) return sha256_file(path);
  std::string lines;
  for (const std::string& name : safetensors_source_names(path))
    lines += fmt::format("{}  {}\n", sha256_file(path + "/" + name), name);
  return sha256_hex(std::as_bytes(std::span(lines)));
}

}  // namespace tenure
