// Any text as tokenizer.json, and as each file beside it, gives metadata that hold together, or an Error.
#include <cstddef>
#include <cstdint>
#include <cstdlib>
#include <string_view>

#include "error/error.h"
#include "weights/config_json.h"
#include "weights/tokenizer_json.h"

namespace {

constexpr uint32_t n_vocab = 512;

void require(bool holds) {
  if (!holds) std::abort();
}

void check(const tenure::TokenizerMetadata& metadata) {
  require(metadata.tokens.size() == n_vocab && metadata.token_types.size() == n_vocab);
  for (const auto& id : {metadata.bos_id, metadata.eos_id, metadata.unknown_id})
    require(!id || *id < n_vocab);
  for (const uint32_t id : metadata.end_ids) require(id < n_vocab);
  require(!metadata.add_bos || metadata.bos_id);
}

// Whatever a folder's files say, they are read as far as the first mistake.
void read(const tenure::TokenizerFiles& files) {
  try {
    check(tenure::read_tokenizer_json(files, n_vocab));
  } catch (const tenure::Error&) {
  }
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  try {
    const std::string_view text(reinterpret_cast<const char*>(data), size);
    const tenure::JsonFile file = tenure::JsonFile::parse(text, "fuzz");
    read({.tokenizer = &file, .tokenizer_config = &file, .generation_config = &file, .config = &file});
    const tenure::JsonFile smallest = tenure::JsonFile::parse(
        R"({"model":{"vocab":{"a":1},"merges":[]},"pre_tokenizer":{"type":"ByteLevel","add_prefix_space":false}})",
        "good");
    read({.tokenizer = &smallest, .tokenizer_config = &file, .generation_config = &file, .config = &file});
    const tenure::FolderModel model = tenure::read_config_json(file.root(), "fuzz");
    require(model.config.layers.size() == model.config.n_layers);
    for (const tenure::LayerConfig& layer : model.config.layers)
      require(layer.rope_factors.empty() || layer.rope_factors.size() == layer.rope_dim / 2);
  } catch (const tenure::Error&) {
  }
  return 0;
}
