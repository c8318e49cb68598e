// The files of plugins/template, made part of the program by CMakeLists.txt.
#pragma once

#include <span>
#include <string_view>

namespace tenure {

struct TemplateFile {
  std::string_view name;
  std::string_view content;
};

std::span<const TemplateFile> template_files();

}  // namespace tenure
