#include "unit/plugin/plugin_fixture.h"

#include <stdlib.h>

#include <sstream>

namespace tenure::test {

fs::path built(std::string_view folder, std::string_view stem) {
  const char* build = std::getenv("TENURE_BUILD_DIR");
  REQUIRE_MESSAGE(build != nullptr, "run through ctest, which sets TENURE_BUILD_DIR");
  return fs::path(build) / "lib/tenure" / folder / ("libtenure_" + std::string(stem) + ".so");
}

TemporaryFolder::TemporaryFolder() {
  std::string pattern = (fs::temp_directory_path() / "tenure-plugin-XXXXXX").string();
  REQUIRE(mkdtemp(pattern.data()) != nullptr);
  path_ = pattern;
}

TemporaryFolder::~TemporaryFolder() {
  std::error_code ignored;
  fs::remove_all(path_, ignored);
}

fs::path TemporaryFolder::copy(const fs::path& library, std::string_view name) const {
  const fs::path target = path_ / ("lib" + std::string(name) + ".so");
  fs::path manifest = library;
  fs::copy_file(library, target);
  fs::copy_file(manifest.replace_extension(".toml"), fs::path(target).replace_extension(".toml"));
  return target;
}

std::string read_file(const fs::path& path) {
  std::ifstream file(path, std::ios::binary);
  std::ostringstream content;
  content << file.rdbuf();
  return content.str();
}

void write_file(const fs::path& path, std::string_view content) {
  std::ofstream(path, std::ios::binary | std::ios::trunc) << content;
}

void replace_in(const fs::path& file, std::string_view from, std::string_view to) {
  std::string content = read_file(file);
  const size_t place = content.find(from);
  REQUIRE(place != std::string::npos);
  write_file(file, content.replace(place, from.size(), to));
}

}  // namespace tenure::test
