#include "weights/mapped_file.h"

#include <fcntl.h>
#include <fmt/format.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cerrno>
#include <cstring>
#include <functional>
#include <utility>

#include "error/error.h"

namespace tenure {
namespace {

[[noreturn]] void fail(Code code, const std::string& path, std::string text, std::string help = {}) {
  throw Error(
      Diagnostic{.code = code, .text = std::move(text), .where = {.file = path}, .help = std::move(help)});
}

class FileDescriptor {
 public:
  explicit FileDescriptor(int number) : number_(number) {}
  FileDescriptor(const FileDescriptor&) = delete;
  FileDescriptor& operator=(const FileDescriptor&) = delete;
  ~FileDescriptor() {
    if (number_ >= 0) ::close(number_);
  }
  int number() const { return number_; }

 private:
  int number_;
};

}  // namespace

MappedFile MappedFile::open(const std::string& path) {
  // O_NONBLOCK: a FIFO in the model's place must not hang the start; it changes nothing for a regular file.
  const FileDescriptor file(::open(path.c_str(), O_RDONLY | O_CLOEXEC | O_NONBLOCK));
  if (file.number() < 0) {
    const int error = errno;
    const bool missing = error == ENOENT || error == ENOTDIR;
    fail(missing ? Code::model_missing : Code::input_unreadable, path,
         fmt::format("cannot open the model file: {}", std::strerror(error)),
         missing ? "scripts/fetch_model.sh fetches the model of record to models/" : "");
  }
  struct stat status {};
  if (::fstat(file.number(), &status) != 0) fail(Code::input_unreadable, path, std::strerror(errno));
  if (!S_ISREG(status.st_mode)) {
    fail(Code::model_unsupported, path, "not a regular file; a GGUF file, or a folder with safetensors, is expected");
  }
  MappedFile mapped;
  if (status.st_size == 0) return mapped;  // an empty range cannot be mapped
  const size_t size = static_cast<size_t>(status.st_size);
  void* data = ::mmap(nullptr, size, PROT_READ, MAP_PRIVATE, file.number(), 0);
  if (data == MAP_FAILED)
    fail(Code::input_unreadable, path, fmt::format("cannot map the file: {}", std::strerror(errno)));
  mapped.data_ = static_cast<const std::byte*>(data);
  mapped.size_ = size;
  return mapped;
}

MappedFile::MappedFile(MappedFile&& other) noexcept
    : data_(std::exchange(other.data_, nullptr)), size_(std::exchange(other.size_, 0)) {}

MappedFile& MappedFile::operator=(MappedFile&& other) noexcept {
  std::swap(data_, other.data_);
  std::swap(size_, other.size_);
  return *this;
}

MappedFile::~MappedFile() {
  if (data_) ::munmap(const_cast<std::byte*>(data_), size_);
}

void MappedFile::drop(std::span<const std::byte> part) const noexcept {
  const std::less<const std::byte*> before;
  if (!data_ || part.empty() || before(part.data(), data_) ||
      before(data_ + size_, part.data() + part.size()))
    return;
  const size_t page = static_cast<size_t>(::sysconf(_SC_PAGESIZE));
  const size_t first = (static_cast<size_t>(part.data() - data_) + page - 1) / page * page;
  size_t last = static_cast<size_t>(part.data() - data_) + part.size();
  if (last < size_)
    last = last / page * page;  // the file's last page belongs to the part that ends with the file
  if (first < last) ::madvise(const_cast<std::byte*>(data_ + first), last - first, MADV_DONTNEED);
}

}  // namespace tenure
