#include "train/feature_file.h"

#include <fcntl.h>
#include <fmt/format.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstring>

#include "error/error.h"

namespace tenure {
namespace {

constexpr uint64_t page = 4096;
constexpr uint64_t input_bytes = sizeof(uint16_t);
constexpr uint64_t label_bytes = sizeof(float);

uint64_t rounded_up(uint64_t n, uint64_t to) { return (n + to - 1) / to * to; }

}  // namespace

FeatureLayout::FeatureLayout(std::vector<uint32_t> n_tokens, std::vector<Layer> layers) : layers_(std::move(layers)), first_row_{0}, begins_{0} {
  for (const uint32_t n : n_tokens) first_row_.push_back(first_row_.back() + n);
  for (size_t l = 0; l < layers_.size(); ++l) {
    const Layer& layer = layers_[l];
    const uint64_t inputs = rounded_up(first_row_.back() * layer.n_inputs * input_bytes, page);
    const uint64_t labels = rounded_up(first_row_.back() * layer.n_outputs * label_bytes, page);
    begins_.push_back(begins_.back() + (layer.n_outputs > 0 ? inputs + labels : 0));
  }
}

uint32_t FeatureLayout::longest() const {
  uint32_t longest = 0;
  for (uint32_t d = 0; d < n_documents(); ++d) longest = std::max(longest, n_tokens(d));
  return longest;
}

uint64_t FeatureLayout::inputs_at(uint32_t layer, uint32_t document) const {
  return begins_[layer] + first_row_[document] * layers_[layer].n_inputs * input_bytes;
}

uint64_t FeatureLayout::labels_at(uint32_t layer, uint32_t document) const {
  const uint64_t labels = rounded_up(first_row_.back() * layers_[layer].n_inputs * input_bytes, page);
  return begins_[layer] + labels + first_row_[document] * layers_[layer].n_outputs * label_bytes;
}

FeatureWriter::FeatureWriter(std::string path, const FeatureLayout& layout)
    : path_(std::move(path)), layout_(layout), file_(open(path_.c_str(), O_RDWR | O_CREAT | O_CLOEXEC, 0644)) {
  if (!file_) throw Error(Code::cannot_create, fmt::format("cannot create {}: {}", path_, std::strerror(errno)));
  if (ftruncate(file_.get(), static_cast<off_t>(layout_.bytes())) != 0) {
    throw Error(Code::write_failed, fmt::format("cannot make {} {} bytes long: {}", path_, layout_.bytes(), std::strerror(errno)));
  }
}

void FeatureWriter::write_inputs(uint32_t layer, uint32_t document, uint32_t first, std::span<const uint16_t> rows) {
  write(rows.data(), rows.size_bytes(), layout_.inputs_at(layer, document) + uint64_t{first} * layout_.layer(layer).n_inputs * input_bytes);
}

void FeatureWriter::write_labels(uint32_t layer, uint32_t document, std::span<const float> labels) {
  write(labels.data(), labels.size_bytes(), layout_.labels_at(layer, document));
}

void FeatureWriter::sync() {
  if (fdatasync(file_.get()) != 0) throw Error(Code::write_failed, fmt::format("cannot sync {}: {}", path_, std::strerror(errno)));
}

void FeatureWriter::write(const void* data, size_t bytes, uint64_t offset) {
  const auto* from = static_cast<const char*>(data);
  while (bytes > 0) {
    const ssize_t n = pwrite(file_.get(), from, bytes, static_cast<off_t>(offset));
    if (n < 0 && errno == EINTR) continue;
    if (n < 0) throw Error(Code::write_failed, fmt::format("cannot write {}: {}", path_, std::strerror(errno)));
    from += n;
    bytes -= static_cast<size_t>(n);
    offset += static_cast<uint64_t>(n);
  }
}

FeatureFile::FeatureFile(const std::string& path, const FeatureLayout& layout) : layout_(layout), file_(MappedFile::open(path)) {
  if (file_.bytes().size() == layout.bytes()) return;
  throw Error(Code::run_malformed, fmt::format("{} has {} bytes, not {}", path, file_.bytes().size(), layout.bytes()));
}

std::span<const uint16_t> FeatureFile::inputs(uint32_t layer, uint32_t document) const {
  const auto* at = file_.bytes().data() + layout_.inputs_at(layer, document);
  return {reinterpret_cast<const uint16_t*>(at), uint64_t{layout_.n_tokens(document)} * layout_.layer(layer).n_inputs};
}

std::span<const float> FeatureFile::labels(uint32_t layer, uint32_t document) const {
  const auto* at = file_.bytes().data() + layout_.labels_at(layer, document);
  return {reinterpret_cast<const float*>(at), uint64_t{layout_.n_tokens(document)} * layout_.layer(layer).n_outputs};
}

void FeatureFile::drop(uint32_t layer) const {
  file_.drop(file_.bytes().subspan(layout_.layer_begin(layer), layout_.layer_begin(layer + 1) - layout_.layer_begin(layer)));
}

}  // namespace tenure
