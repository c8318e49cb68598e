// A plugin file that nobody but root and the user can have written, opened once: what is hashed is what is
// mapped.
#pragma once

#include <filesystem>
#include <string>

namespace tenure {

class SafeFile {
 public:
  // Throws plugin_not_found, or plugin_unsafe_file: not a regular file, owned by somebody else, writable by
  // group or others, or in a folder that is (sticky folders are fine).
  explicit SafeFile(const std::filesystem::path& path);
  SafeFile(const SafeFile&) = delete;
  SafeFile& operator=(const SafeFile&) = delete;
  ~SafeFile();

  int descriptor() const { return descriptor_; }
  // Names the open file itself, not whatever lies at its path by now.
  std::string proc_path() const;
  // Changes when the content may have: inode, size, times of change.
  std::string state() const;
  // Gives the descriptor up: it stays open as long as the process lives.
  void keep_open() { owned_ = false; }

 private:
  int descriptor_ = -1;
  bool owned_ = true;
};

}  // namespace tenure
