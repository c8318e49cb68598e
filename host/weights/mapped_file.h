// A file's bytes, mapped read-only. The kernel pages them in on first touch and may take them back at any
// time.
#pragma once

#include <cstddef>
#include <span>
#include <string>

namespace tenure {

class MappedFile {
 public:
  // Throws Error: model_missing, input_unreadable, or model_unsupported for what is no regular file.
  static MappedFile open(const std::string& path);

  MappedFile() = default;
  MappedFile(MappedFile&&) noexcept;
  MappedFile& operator=(MappedFile&&) noexcept;
  MappedFile(const MappedFile&) = delete;
  MappedFile& operator=(const MappedFile&) = delete;
  ~MappedFile();

  std::span<const std::byte> bytes() const { return {data_, size_}; }
  // Takes the whole pages inside `part` out of memory; they are read again if touched. Parts outside the
  // mapping are ignored. [any thread]
  void drop(std::span<const std::byte> part) const noexcept;

 private:
  const std::byte* data_ = nullptr;
  size_t size_ = 0;
};

}  // namespace tenure
