#include "eval/text_lines.h"

#include <doctest/doctest.h>

#include <filesystem>
#include <fstream>

#include "error/error.h"

namespace tenure::test {
namespace {

class File {
 public:
  explicit File(const std::string& content) { std::ofstream(path_, std::ios::binary) << content; }
  ~File() { std::filesystem::remove(path_); }
  const std::string& path() const { return path_; }

 private:
  std::string path_ =
      (std::filesystem::temp_directory_path() / ("tenure_text_lines_" + std::to_string(n_++))).string();
  static inline int n_ = 0;
};

}  // namespace

TEST_CASE("text lines - of all files in order, without blank ones and carriage returns") {
  const File first("one\n\n  \ntwo\r\n"), second("three");
  CHECK(read_text_lines({first.path(), second.path()}) == std::vector<std::string>{"one", "two", "three"});
}

TEST_CASE("text lines - what is no text is refused by name") {
  const File empty("\n \n"), binary(std::string("a\0b", 3));
  CHECK_THROWS_WITH_AS(read_text_lines({empty.path()}), doctest::Contains("has no line of text"), Error);
  CHECK_THROWS_WITH_AS(read_text_lines({binary.path()}), doctest::Contains("byte of zero"), Error);
  CHECK_THROWS_AS(read_text_lines({"tests/data/no such file"}), Error);
}

}  // namespace tenure::test
