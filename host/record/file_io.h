// Files that survive a crash: whole files are replaced atomically, descriptors close themselves.
#pragma once

#include <string>
#include <string_view>
#include <utility>

namespace tenure {

class FileDescriptor {
 public:
  FileDescriptor() = default;
  explicit FileDescriptor(int fd) : fd_(fd) {}
  ~FileDescriptor() { reset(); }
  FileDescriptor(FileDescriptor&& other) noexcept : fd_(std::exchange(other.fd_, -1)) {}
  FileDescriptor& operator=(FileDescriptor&& other) noexcept {
    std::swap(fd_, other.fd_);
    return *this;
  }
  int get() const { return fd_; }
  explicit operator bool() const { return fd_ >= 0; }
  void reset();

 private:
  int fd_ = -1;
};

// Writes `content` beside `path`, fsyncs, renames over it, fsyncs the directory: a reader, and a crash, see
// the old file or the new one. Throws Error(cannot_create | write_failed).
void replace_file(const std::string& path, std::string_view content);

// The same without the fsyncs, for files rewritten each second whose loss costs nothing.
void replace_file_quickly(const std::string& path, std::string_view content);

// Throws Error(input_missing | input_unreadable).
std::string read_file(const std::string& path);

// Throws Error(cannot_create) when `path` has no folder to write in: better before minutes of work than after.
void check_can_create(const std::string& path);

bool file_exists(const std::string& path);
std::string parent_directory(const std::string& path);

// Writes everything, retrying after EINTR and short writes; false leaves errno.
bool write_all(int fd, std::string_view bytes);

}  // namespace tenure
