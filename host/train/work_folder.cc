#include "train/work_folder.h"

#include <fcntl.h>
#include <fmt/format.h>
#include <sys/file.h>

#include <bit>
#include <cerrno>
#include <charconv>
#include <cstring>
#include <filesystem>
#include <sstream>

#include "error/error.h"

namespace tenure {
namespace {

namespace fs = std::filesystem;

static_assert(std::endian::native == std::endian::little, "numbers are written as they lie in memory");

class Writer {
 public:
  void number(uint64_t n) { bytes_.append(reinterpret_cast<const char*>(&n), sizeof n); }
  template <typename T>
  void list(const std::vector<T>& values) {
    number(values.size());
    bytes_.append(reinterpret_cast<const char*>(values.data()), values.size() * sizeof(T));
  }
  void lists(const std::vector<std::vector<float>>& values) {
    number(values.size());
    for (const auto& one : values) list(one);
  }
  void curve(const LayerCurve& curve) {
    list(curve.losses);
    list(curve.held_out);
  }
  const std::string& bytes() const { return bytes_; }

 private:
  std::string bytes_;
};

// Files are our own, but a disk may have lost a part of one.
class Reader {
 public:
  explicit Reader(std::string path) : path_(std::move(path)), bytes_(read_file(path_)) {}

  uint64_t number() {
    uint64_t n = 0;
    take(&n, sizeof n);
    return n;
  }
  template <typename T>
  std::vector<T> list() {
    const uint64_t n = number();
    if (n > (bytes_.size() - at_) / sizeof(T)) malformed();
    std::vector<T> values(n);
    take(values.data(), n * sizeof(T));
    return values;
  }
  std::vector<std::vector<float>> lists() {
    const uint64_t n = number();
    if (n > 64) malformed();
    std::vector<std::vector<float>> values;
    for (uint64_t i = 0; i < n; ++i) values.push_back(list<float>());
    return values;
  }
  LayerCurve curve() {
    LayerCurve curve;
    curve.losses = list<float>();
    curve.held_out = list<HeldOutPoint>();
    return curve;
  }

 private:
  [[noreturn]] void malformed() const {
    throw Error({.code = Code::run_malformed, .text = fmt::format("{} is malformed", path_), .help = "delete it: the training goes on without it"});
  }
  void take(void* to, uint64_t n) {
    if (n > bytes_.size() - at_) malformed();
    if (n > 0) std::memcpy(to, bytes_.data() + at_, n);
    at_ += n;
  }

  std::string path_;
  std::string bytes_;
  size_t at_ = 0;
};

// The first line that the two do not share.
std::pair<std::string, std::string> first_difference(const std::string& before, const std::string& now) {
  std::istringstream a(before), b(now);
  std::string line_a, line_b;
  while (true) {
    const bool has_a = static_cast<bool>(std::getline(a, line_a));
    const bool has_b = static_cast<bool>(std::getline(b, line_b));
    if (!has_a) line_a = "nothing";
    if (!has_b) line_b = "nothing";
    if (line_a != line_b || (!has_a && !has_b)) return {line_a, line_b};
  }
}

}  // namespace

WorkFolder::WorkFolder(std::string path, const std::string& identity) : path_(std::move(path)) {
  std::error_code failed;
  fs::create_directory(path_, failed);
  if (failed) throw Error(Code::cannot_create, fmt::format("\"{}\" cannot be created: {}", path_, failed.message()));
  lock_ = FileDescriptor(open((path_ + "/lock").c_str(), O_RDWR | O_CREAT | O_CLOEXEC, 0644));
  if (!lock_) throw Error(Code::cannot_create, fmt::format("\"{}/lock\" cannot be created: {}", path_, std::strerror(errno)));
  if (flock(lock_.get(), LOCK_EX | LOCK_NB) != 0) {
    throw Error(Code::run_locked, fmt::format("another process trains in \"{}\"", path_));
  }
  const std::string file = path_ + "/training.txt";
  if (!file_exists(file)) replace_file(file, identity);
  const std::string before = read_file(file);
  if (before == identity) return;
  const auto [old_line, new_line] = first_difference(before, identity);
  throw Error({.code = Code::run_differs,
               .text = fmt::format("\"{}\" holds another training: it has \"{}\", this one \"{}\"", path_, old_line, new_line),
               .help = "delete the folder to start anew, or write to another -o"});
}

uint32_t WorkFolder::n_captured() const {
  const std::string file = path_ + "/captured";
  if (!file_exists(file)) return 0;
  return static_cast<uint32_t>(Reader(file).number());
}

void WorkFolder::set_captured(uint32_t n) {
  Writer writer;
  writer.number(n);
  replace_file(path_ + "/captured", writer.bytes());
}

std::string WorkFolder::layer_file(uint32_t layer) const { return fmt::format("{}/layer{}", path_, layer); }

std::optional<TrainedLayer> WorkFolder::trained(uint32_t layer) const {
  if (!file_exists(layer_file(layer))) return std::nullopt;
  Reader reader(layer_file(layer));
  TrainedLayer result;
  result.parameters = reader.lists();
  result.curve = reader.curve();
  return result;
}

void WorkFolder::set_trained(uint32_t layer, const TrainedLayer& result) {
  Writer writer;
  writer.lists(result.parameters);
  writer.curve(result.curve);
  replace_file(layer_file(layer), writer.bytes());
}

std::optional<LayerState> WorkFolder::checkpoint(uint32_t layer) const {
  const std::string file = path_ + "/checkpoint";
  if (!file_exists(file)) return std::nullopt;
  Reader reader(file);
  if (reader.number() != layer) return std::nullopt;
  LayerState state;
  state.step = reader.number();
  state.parameters = reader.lists();
  state.first = reader.lists();
  state.second = reader.lists();
  state.curve = reader.curve();
  return state;
}

void WorkFolder::set_checkpoint(uint32_t layer, const LayerState& state) {
  Writer writer;
  writer.number(layer);
  writer.number(state.step);
  writer.lists(state.parameters);
  writer.lists(state.first);
  writer.lists(state.second);
  writer.curve(state.curve);
  replace_file(path_ + "/checkpoint", writer.bytes());
}

void WorkFolder::remove() {
  std::error_code ignored;
  fs::remove_all(path_, ignored);
  lock_.reset();
}

}  // namespace tenure
