#include <fmt/format.h>

#include <algorithm>
#include <bit>
#include <numeric>
#include <utility>

#include "error/error.h"
#include "weights/checked.h"
#include "weights/ggml_type.h"
#include "weights/gguf.h"

namespace tenure {
namespace {

static_assert(std::endian::native == std::endian::little, "GGUF numbers are copied as they are");

constexpr uint64_t length_bytes = sizeof(uint64_t);
constexpr uint64_t array_header_bytes = sizeof(uint32_t) + length_bytes;
// A key of one byte, its type, a value of one byte; a name of one byte, rank, one dimension, type, offset.
constexpr uint64_t min_value_bytes = length_bytes + 1 + sizeof(uint32_t) + 1;
constexpr uint64_t min_tensor_bytes = length_bytes + 1 + sizeof(uint32_t) + 8 + sizeof(uint32_t) + 8;

class Parser {
 public:
  Parser(std::span<const std::byte> bytes, const std::string& file) : bytes_(bytes), file_(file) {}

  GgufContents parse() {
    const auto [n_tensors, n_values] = read_header();
    out_.values.reserve(n_values);
    for (uint64_t i = 0; i < n_values; ++i) read_value(i);
    subject_ = "metadata";
    out_.values_by_key = sorted(out_.values, &GgufValue::key, "key");
    read_alignment();
    out_.tensors.reserve(n_tensors);
    for (uint64_t i = 0; i < n_tensors; ++i) read_tensor(i);
    subject_ = "tensor list";
    out_.tensors_by_name = sorted(out_.tensors, &GgufTensor::name, "tensor");
    place_tensors();
    return std::move(out_);
  }

 private:
  [[noreturn]] void fail(Code code, const std::string& text, uint64_t at) const {
    throw Error(Diagnostic{
        .code = code, .text = fmt::format("{} (byte {}): {}", subject_, at, text), .where = {.file = file_}});
  }
  [[noreturn]] void malformed(const std::string& text, uint64_t at) const {
    fail(Code::model_malformed, text, at);
  }

  uint64_t left() const { return bytes_.size() - at_; }

  void need(uint64_t n, std::string_view what) const {
    if (n > left()) malformed(fmt::format("{} needs {} bytes, the file has {} left", what, n, left()), at_);
  }

  template <typename T>
  T read(std::string_view what) {
    need(sizeof(T), what);
    const T value = load<T>(bytes_, at_);
    at_ += sizeof(T);
    return value;
  }

  std::string_view read_string(std::string_view what, uint64_t longest) {
    const uint64_t start = at_;
    const uint64_t length = read<uint64_t>(what);
    if (length > longest) {
      malformed(fmt::format("{} has {} bytes; at most {} are allowed", what, length, longest), start);
    }
    need(length, what);
    const std::string_view text = load_string(bytes_, start);
    at_ += length;
    return text;
  }

  // A count is believed only when that many smallest elements fit into the rest of the file.
  uint64_t read_count(std::string_view what, uint64_t element_bytes, uint64_t most) {
    const uint64_t start = at_;
    const uint64_t count = read<uint64_t>(what);
    if (count > most) malformed(fmt::format("{} is {}; at most {} are allowed", what, count, most), start);
    if (count > left() / element_bytes) {
      malformed(fmt::format("{} is {}, but the {} bytes left hold at most {}", what, count, left(),
                            left() / element_bytes),
                start);
    }
    return count;
  }

  std::pair<uint64_t, uint64_t> read_header() {
    subject_ = "header";
    const uint64_t start = at_;
    const auto magic = read<uint32_t>("the magic number");
    if (magic != 0x46554747) malformed("not a GGUF file: it does not begin with the letters GGUF", start);
    out_.version = read<uint32_t>("the version");
    if (out_.version != 0 && (out_.version & 0xffff) == 0) {
      fail(Code::model_unsupported, "a big-endian GGUF file; convert it to little-endian", start + 4);
    }
    if (out_.version != 2 && out_.version != 3) {
      fail(Code::model_unsupported, fmt::format("GGUF version {}; versions 2 and 3 are read", out_.version),
           start + 4);
    }
    // The two counts come before what they count, so the bytes-left rule for tensors is checked beside the
    // values' one.
    const uint64_t n_tensors = read_count("the number of tensors", min_tensor_bytes, GgufLimits::n_tensors);
    const uint64_t n_values =
        read_count("the number of metadata keys", min_value_bytes, GgufLimits::n_values);
    return {n_tensors, n_values};
  }

  GgufType read_type(std::string_view what) {
    const uint64_t start = at_;
    const auto number = read<uint32_t>(what);
    if (number > static_cast<uint32_t>(GgufType::f64)) {
      malformed(fmt::format("{} is {}; types go from 0 to 12", what, number), start);
    }
    return static_cast<GgufType>(number);
  }

  void read_value(uint64_t index) {
    subject_ = fmt::format("metadata key {}", index);
    const uint64_t start = at_;
    GgufValue value;
    value.key = read_string("the key", GgufLimits::key_bytes);
    if (value.key.empty()) malformed("the key is empty", start);
    subject_ = fmt::format("key \"{}\"", printable(value.key));
    value.type = value.element_type = read_type("the value type");
    if (value.type == GgufType::array) {
      value.element_type = read_type("the array's element type");
      value.count = read_array_count(value.element_type);
    }
    const uint64_t payload = at_;
    skip(value.element_type, value.count, 1);
    value.payload = bytes_.subspan(payload, at_ - payload);
    out_.values.push_back(value);
  }

  uint64_t read_array_count(GgufType element) {
    uint64_t element_bytes = fixed_bytes(element);
    if (element == GgufType::string) element_bytes = length_bytes;
    if (element == GgufType::array) element_bytes = array_header_bytes;
    return read_count("the number of array elements", element_bytes, UINT64_MAX);
  }

  // Walks `count` values, so that readers of the payload need not check again.
  void skip(GgufType type, uint64_t count, uint32_t depth) {
    if (type == GgufType::string) {
      for (uint64_t i = 0; i < count; ++i) read_string("a string", GgufLimits::string_bytes);
      return;
    }
    if (type == GgufType::array) {
      if (depth >= GgufLimits::array_depth) {
        malformed(fmt::format("arrays nest more than {} deep", GgufLimits::array_depth), at_);
      }
      for (uint64_t i = 0; i < count; ++i) {
        const GgufType element = read_type("the array's element type");
        skip(element, read_array_count(element), depth + 1);
      }
      return;
    }
    const auto size = checked_mul(count, fixed_bytes(type));
    if (!size) malformed("the array's size overflows", at_);
    need(*size, "the value");
    if (type == GgufType::boolean) check_booleans(count);
    at_ += *size;
  }

  void check_booleans(uint64_t count) const {
    for (uint64_t i = 0; i < count; ++i) {
      const auto byte = load<uint8_t>(bytes_, at_ + i);
      if (byte > 1) malformed(fmt::format("a bool is the byte {}; 0 and 1 are allowed", byte), at_ + i);
    }
  }

  // Indices in ascending order; the same name twice is refused. Sorted, not hashed: no input makes it slow.
  template <typename T>
  std::vector<uint32_t> sorted(const std::vector<T>& items, std::string_view T::*label,
                               std::string_view what) const {
    std::vector<uint32_t> order(items.size());
    std::iota(order.begin(), order.end(), 0u);
    std::sort(order.begin(), order.end(),
              [&](uint32_t a, uint32_t b) { return items[a].*label < items[b].*label; });
    const auto twice = std::adjacent_find(order.begin(), order.end(), [&](uint32_t a, uint32_t b) {
      return items[a].*label == items[b].*label;
    });
    if (twice != order.end())
      malformed(fmt::format("{} \"{}\" occurs twice", what, printable(items[*twice].*label)), at_);
    return order;
  }

  void read_alignment() {
    const auto found =
        std::lower_bound(out_.values_by_key.begin(), out_.values_by_key.end(), "general.alignment",
                         [&](uint32_t i, std::string_view key) { return out_.values[i].key < key; });
    if (found == out_.values_by_key.end()) return;
    const GgufValue& value = out_.values[*found];
    if (value.key != "general.alignment") return;
    subject_ = "key \"general.alignment\"";
    const uint64_t at = static_cast<uint64_t>(value.payload.data() - bytes_.data());
    if (value.type != GgufType::u32)
      malformed(fmt::format("has type {}; u32 is expected", name(value.type)), at);
    out_.alignment = load<uint32_t>(value.payload, 0);
    if (!std::has_single_bit(out_.alignment) || out_.alignment < GgufLimits::min_alignment ||
        out_.alignment > GgufLimits::max_alignment) {
      malformed(fmt::format("is {}; a power of two from {} to {} is allowed", out_.alignment,
                            GgufLimits::min_alignment, GgufLimits::max_alignment),
                at);
    }
  }

  void read_tensor(uint64_t index) {
    subject_ = fmt::format("tensor {}", index);
    const uint64_t start = at_;
    GgufTensor tensor;
    tensor.name = read_string("the name", GgufLimits::tensor_name_bytes);
    if (tensor.name.empty()) malformed("the name is empty", start);
    subject_ = fmt::format("tensor \"{}\"", printable(tensor.name));
    const uint64_t at_rank = at_;
    const auto rank = read<uint32_t>("the rank");
    if (rank < 1 || rank > tensor.view.shape.size())
      malformed(fmt::format("rank {}; 1 to 4 are allowed", rank), at_rank);
    tensor.view.n_dims = rank;
    for (uint32_t i = 0; i < rank; ++i) {
      const uint64_t at = at_;
      tensor.view.shape[i] = read<uint64_t>("a dimension");
      if (tensor.view.shape[i] == 0)
        malformed(fmt::format("dimension {} is 0; at least 1 is allowed", i), at);
    }
    const uint64_t at_type = at_;
    tensor.ggml_type = read<uint32_t>("the type");
    const uint64_t size = tensor_bytes(tensor, at_type);
    if (const GgmlType* type = find_ggml_type(tensor.ggml_type); type && type->dtype) {
      tensor.runnable = true;
      tensor.view.dtype = *type->dtype;
    }
    const uint64_t at_offset = at_;
    tensor.offset = read<uint64_t>("the offset");
    if (tensor.offset % out_.alignment != 0) {
      malformed(fmt::format("offset {} is no multiple of the alignment {}", tensor.offset, out_.alignment),
                at_offset);
    }
    sizes_.push_back(size);
    out_.tensors.push_back(tensor);
  }

  // 0 for a type whose block we do not know: its bytes cannot be told, and it is refused where it is used.
  uint64_t tensor_bytes(const GgufTensor& tensor, uint64_t at) const {
    std::optional<uint64_t> elements = 1;
    for (const uint64_t dimension : tensor.view.shape) {
      elements = checked_mul(*elements, dimension);
      if (!elements) malformed("the product of the dimensions overflows", at);
    }
    const GgmlType* type = find_ggml_type(tensor.ggml_type);
    if (!type) return 0;
    if (tensor.view.shape[0] % type->block_elements != 0) {
      malformed(fmt::format("rows of {} elements are no whole number of {} blocks of {}",
                            tensor.view.shape[0], type->name, type->block_elements),
                at);
    }
    const auto size = checked_mul(*elements / type->block_elements, type->block_bytes);
    if (!size) malformed("the tensor's size overflows", at);
    return *size;
  }

  // Offsets count from the data section, which begins at the next multiple of the alignment.
  void place_tensors() {
    if (out_.tensors.empty()) return;
    const auto padded = checked_add(at_, out_.alignment - 1);
    const uint64_t data = padded ? *padded / out_.alignment * out_.alignment : UINT64_MAX;
    for (size_t i = 0; i < out_.tensors.size(); ++i) {
      GgufTensor& tensor = out_.tensors[i];
      subject_ = fmt::format("tensor \"{}\"", printable(tensor.name));
      const auto begin = checked_add(data, tensor.offset);
      const auto end = begin ? checked_add(*begin, sizes_[i]) : std::nullopt;
      if (!end || *end > bytes_.size()) {
        malformed(fmt::format("{} bytes at offset {} of the data end past the file's {} bytes", sizes_[i],
                              tensor.offset, bytes_.size()),
                  data);
      }
      tensor.offset = *begin;
      tensor.view.bytes = bytes_.subspan(*begin, sizes_[i]);
    }
    check_overlap();
  }

  void check_overlap() {
    std::vector<uint32_t> order(out_.tensors.size());
    std::iota(order.begin(), order.end(), 0u);
    const auto offset = [&](uint32_t i) { return std::pair(out_.tensors[i].offset, sizes_[i]); };
    std::sort(order.begin(), order.end(), [&](uint32_t a, uint32_t b) { return offset(a) < offset(b); });
    for (size_t i = 1; i < order.size(); ++i) {
      const GgufTensor& before = out_.tensors[order[i - 1]];
      const GgufTensor& after = out_.tensors[order[i]];
      if (after.offset - before.offset >= sizes_[order[i - 1]]) continue;
      subject_ = fmt::format("tensor \"{}\"", printable(after.name));
      malformed(fmt::format("its bytes overlap those of \"{}\"", printable(before.name)), after.offset);
    }
  }

  std::span<const std::byte> bytes_;
  const std::string& file_;
  uint64_t at_ = 0;
  std::string subject_;          // what is being read, for messages
  std::vector<uint64_t> sizes_;  // (n_tensors) bytes
  GgufContents out_;
};

}  // namespace

GgufContents parse_gguf(std::span<const std::byte> bytes, const std::string& file) {
  return Parser(bytes, file).parse();
}

}  // namespace tenure
