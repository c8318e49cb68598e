#include "weights/model_source.h"

#include <utility>

#include "weights/gguf.h"

namespace tenure {
namespace {

class GgufSource final : public ModelSource {
 public:
  explicit GgufSource(GgufFile file) : file_(std::move(file)) {}

  const std::string& name() const override { return file_.name(); }
  ModelConfig config() const override { return read_model_config(file_); }
  TokenizerMetadata tokenizer() const override { return read_tokenizer_metadata(file_); }
  ModelWeights weights(const ModelConfig& config) const override { return read_model_weights(file_, config); }
  void drop(std::span<const std::byte> part) const noexcept override { file_.drop(part); }

 private:
  GgufFile file_;
};

}  // namespace

std::unique_ptr<ModelSource> ModelSource::open(const std::string& path) {
  return std::make_unique<GgufSource>(GgufFile::open(path));
}

}  // namespace tenure
