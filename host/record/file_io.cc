#include "record/file_io.h"

#include <fcntl.h>
#include <fmt/format.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cerrno>
#include <cstdio>
#include <cstring>

#include "error/error.h"

namespace tenure {
namespace {

[[noreturn]] void fail(Code code, std::string_view verb, const std::string& path) {
  const int error = errno;
  throw Error(code, fmt::format("cannot {} {}: {}", verb, path, std::strerror(error)));
}

void sync_directory(const std::string& path) {
  const FileDescriptor directory(open(path.c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC));
  if (!directory || fsync(directory.get()) != 0) fail(Code::write_failed, "sync", path);
}

void replace(const std::string& path, std::string_view content, bool durable) {
  const std::string temporary = path + ".tmp";
  FileDescriptor file(open(temporary.c_str(), O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0644));
  if (!file) fail(Code::cannot_create, "create", temporary);
  if (!write_all(file.get(), content) || (durable && fsync(file.get()) != 0)) {
    const int error = errno;
    unlink(temporary.c_str());
    errno = error;
    fail(Code::write_failed, "write", temporary);
  }
  file.reset();
  if (rename(temporary.c_str(), path.c_str()) != 0) fail(Code::write_failed, "rename to", path);
  if (durable) sync_directory(parent_directory(path));
}

}  // namespace

void FileDescriptor::reset() {
  if (fd_ >= 0) close(fd_);
  fd_ = -1;
}

bool write_all(int fd, std::string_view bytes) {
  while (!bytes.empty()) {
    const ssize_t n = write(fd, bytes.data(), bytes.size());
    if (n < 0 && errno == EINTR) continue;
    if (n < 0) return false;
    bytes.remove_prefix(static_cast<size_t>(n));
  }
  return true;
}

void check_can_create(const std::string& path) {
  const std::string folder = parent_directory(path);
  if (access(folder.c_str(), W_OK) == 0) return;
  throw Error(Code::cannot_create,
              fmt::format("\"{}\" cannot be created: no folder \"{}\" to write in", path, folder));
}

void replace_file(const std::string& path, std::string_view content) {
  replace(path, content, true);
}
void replace_file_quickly(const std::string& path, std::string_view content) {
  replace(path, content, false);
}

std::string read_file(const std::string& path) {
  const FileDescriptor file(open(path.c_str(), O_RDONLY | O_CLOEXEC));
  if (!file)
    fail(errno == ENOENT || errno == ENOTDIR ? Code::input_missing : Code::input_unreadable, "open", path);
  std::string content;
  char block[65536];
  for (;;) {
    const ssize_t n = read(file.get(), block, sizeof block);
    if (n < 0 && errno == EINTR) continue;
    if (n < 0) fail(errno == EISDIR ? Code::input_missing : Code::input_unreadable, "read", path);
    if (n == 0) return content;
    content.append(block, static_cast<size_t>(n));
  }
}

bool file_exists(const std::string& path) {
  struct stat status {};
  return stat(path.c_str(), &status) == 0;
}

std::string parent_directory(const std::string& path) {
  const size_t slash = path.rfind('/');
  if (slash == std::string::npos) return ".";
  return slash == 0 ? "/" : path.substr(0, slash);
}

}  // namespace tenure
