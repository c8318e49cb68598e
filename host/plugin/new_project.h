// `tenure plugin new`: a project that builds a plugin from the SDK's headers alone.
#pragma once

#include <filesystem>
#include <string_view>
#include <vector>

#include "manifest/manifest.h"

namespace tenure {

// The folder beside this program that holds tenure/policy.h, or empty: then a project asks CMake for the
// installed SDK.
std::filesystem::path sdk_include_folder();

// Writes the copy-me policy under its new name into `folder`, which must be empty or absent. `sdk_include`
// becomes the project's default for TENURE_SDK. Returns the files written. Throws Error: usage (a name that
// is no plugin id, a kind without a project to copy), cannot_create.
std::vector<std::filesystem::path> create_project(PluginKind kind, std::string_view name,
                                                  const std::filesystem::path& folder,
                                                  const std::filesystem::path& sdk_include);

}  // namespace tenure
