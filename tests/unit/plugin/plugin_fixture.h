// Built plugins as the tests need them: by id, or copied to a place where they can be harmed.
#pragma once

#include <doctest/doctest.h>

#include <filesystem>
#include <fstream>
#include <optional>
#include <string>
#include <string_view>

#include "error/error.h"
#include "plugin/find.h"
#include "plugin/library.h"

namespace tenure::test {

namespace fs = std::filesystem;

// "plugins" are those a user sees, "test_plugins" those of tests/policies.
fs::path built(std::string_view folder, std::string_view stem);
inline fs::path test_plugin(std::string_view stem) {
  return built("test_plugins", stem);
}

// Removed with everything in it. In the system's temporary folder, for nobody but us.
class TemporaryFolder {
 public:
  TemporaryFolder();
  ~TemporaryFolder();
  TemporaryFolder(const TemporaryFolder&) = delete;
  TemporaryFolder& operator=(const TemporaryFolder&) = delete;
  const fs::path& path() const { return path_; }
  // The library and its manifest, as libNAME.so and libNAME.toml.
  fs::path copy(const fs::path& library, std::string_view name) const;

 private:
  fs::path path_;
};

std::string read_file(const fs::path&);
void write_file(const fs::path&, std::string_view content);
void replace_in(const fs::path& file, std::string_view from, std::string_view to);

// What `action` threw; a failed check when it threw nothing.
template <typename Action>
Diagnostic error_of(Action&& action) {
  try {
    action();
  } catch (const Error& error) {
    CHECK(error.diagnostics().size() == 1);
    return error.diagnostics().front();
  }
  FAIL_CHECK("nothing was thrown");
  return {};
}

inline bool contains(std::string_view text, std::string_view part) {
  return text.find(part) != std::string_view::npos;
}

}  // namespace tenure::test
