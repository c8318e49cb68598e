#include "plugin/new_project.h"

#include <fmt/format.h>

#include <algorithm>
#include <fstream>
#include <string>

#include "error/error.h"
#include "plugin/template_files.h"

namespace tenure {
namespace fs = std::filesystem;
namespace {

constexpr std::string_view placeholder = "template";

bool is_plugin_id(std::string_view name) {
  const auto is_lower = [](char c) { return c >= 'a' && c <= 'z'; };
  const auto is_inner = [&](char c) { return is_lower(c) || (c >= '0' && c <= '9') || c == '_' || c == '-'; };
  return !name.empty() && is_lower(name.front()) && std::all_of(name.begin(), name.end(), is_inner);
}

std::string replaced(std::string_view text, std::string_view from, std::string_view to) {
  std::string result;
  for (size_t start = 0;;) {
    const size_t found = text.find(from, start);
    result += text.substr(start, found - start);
    if (found == std::string_view::npos) return result;
    result += to;
    start = found + from.size();
  }
}

void write_file(const fs::path& path, std::string_view content) {
  std::ofstream file(path, std::ios::binary);
  file << content;
  file.close();
  if (!file) throw Error(Code::cannot_create, fmt::format("cannot write {}", path.string()));
}

}  // namespace

fs::path sdk_include_folder() {
  std::error_code failure;
  const fs::path program = fs::read_symlink("/proc/self/exe", failure);
  const fs::path folder = program.parent_path().parent_path() / "include";
  return !failure && fs::exists(folder / "tenure/policy.h") ? folder : fs::path();
}

std::vector<fs::path> create_project(PluginKind kind, std::string_view name, const fs::path& folder,
                                     const fs::path& sdk_include) {
  if (kind != PluginKind::policy) {
    throw Error(Code::usage, fmt::format("there is no project to copy for a {}", name_of(kind)));
  }
  if (!is_plugin_id(name)) {
    throw Error(
        Code::usage,
        fmt::format("\"{}\" is no plugin id: lower-case letters, digits, _ and -, a letter first", name));
  }
  std::error_code failure;
  fs::create_directories(folder, failure);
  if (failure) throw Error(Code::cannot_create, fmt::format("{}: {}", folder.string(), failure.message()));
  if (!fs::is_empty(folder))
    throw Error(Code::cannot_create, fmt::format("{} is not empty", folder.string()));

  std::vector<fs::path> files;
  for (const TemplateFile& file : template_files()) {
    std::string content = replaced(file.content, placeholder, name);
    if (!sdk_include.empty()) {
      content = replaced(content, "set(TENURE_SDK \"\"",
                         fmt::format("set(TENURE_SDK \"{}\"", sdk_include.string()));
    }
    files.push_back(folder / replaced(file.name, placeholder, name));
    write_file(files.back(), content);
  }
  return files;
}

}  // namespace tenure
