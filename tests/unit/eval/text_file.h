// A file of text for one test, gone with it.
#pragma once

#include <unistd.h>

#include <filesystem>
#include <fstream>
#include <string>

namespace tenure::test {

class TextFile {
 public:
  explicit TextFile(const std::string& content) { std::ofstream(path_, std::ios::binary) << content; }
  TextFile(const TextFile&) = delete;
  TextFile& operator=(const TextFile&) = delete;
  ~TextFile() { std::filesystem::remove(path_); }
  const std::string& path() const { return path_; }

 private:
  static inline int n_ = 0;
  std::string path_ = (std::filesystem::temp_directory_path() /
                       ("tenure_text_" + std::to_string(getpid()) + "_" + std::to_string(n_++)))
                          .string();
};

}  // namespace tenure::test
