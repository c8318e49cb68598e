#include "plugin/safe_file.h"

#include <fcntl.h>
#include <fmt/format.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cerrno>
#include <cstring>

#include "error/error.h"

namespace tenure {
namespace fs = std::filesystem;
namespace {

[[noreturn]] void refuse(const fs::path& path, std::string why, std::string help = {}) {
  throw Error(Diagnostic{.code = Code::plugin_unsafe_file,
                         .text = fmt::format("{} {}", path.string(), why),
                         .help = std::move(help)});
}

void check_owner_and_mode(const fs::path& path, const struct stat& status) {
  if (status.st_uid != 0 && status.st_uid != geteuid()) {
    refuse(path, fmt::format("belongs to user {}, neither to root nor to you", status.st_uid));
  }
  const bool is_sticky_folder = S_ISDIR(status.st_mode) && (status.st_mode & S_ISVTX) != 0;
  if ((status.st_mode & (S_IWGRP | S_IWOTH)) != 0 && !is_sticky_folder) {
    refuse(path, "can be written by its group or by others", fmt::format("chmod go-w {}", path.string()));
  }
}

}  // namespace

SafeFile::SafeFile(const fs::path& path) {
  std::error_code failure;
  const fs::path real = fs::canonical(path, failure);
  if (failure) throw Error(Code::plugin_not_found, fmt::format("{}: {}", path.string(), failure.message()));
  // O_NONBLOCK: a FIFO in the plugin's place must not hang us.
  descriptor_ = open(real.c_str(), O_RDONLY | O_CLOEXEC | O_NOFOLLOW | O_NONBLOCK);
  if (descriptor_ < 0)
    throw Error(Code::plugin_not_found, fmt::format("{}: {}", real.string(), std::strerror(errno)));
  try {
    struct stat status {};
    if (fstat(descriptor_, &status) != 0 || !S_ISREG(status.st_mode)) refuse(real, "is not a regular file");
    check_owner_and_mode(real, status);
    for (fs::path folder = real.parent_path();; folder = folder.parent_path()) {
      if (stat(folder.c_str(), &status) != 0) refuse(folder, std::strerror(errno));
      check_owner_and_mode(folder, status);
      if (folder == folder.root_path()) break;
    }
  } catch (...) {
    close(descriptor_);
    throw;
  }
}

SafeFile::~SafeFile() {
  if (owned_) close(descriptor_);
}

std::string SafeFile::proc_path() const {
  return fmt::format("/proc/self/fd/{}", descriptor_);
}

std::string SafeFile::state() const {
  struct stat status {};
  fstat(descriptor_, &status);
  return fmt::format("{}:{}:{}:{}.{}:{}.{}", status.st_dev, status.st_ino, status.st_size,
                     status.st_mtim.tv_sec, status.st_mtim.tv_nsec, status.st_ctim.tv_sec,
                     status.st_ctim.tv_nsec);
}

}  // namespace tenure
