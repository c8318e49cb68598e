// The files of `tenure demo`, whose tiny model is also what plugins are checked with, and a second one for the checks.
#pragma once

#include <filesystem>

namespace tenure::cli {

// share/tenure/demo beside the program's bin/, in the build tree as after an installation. Throws Error.
std::filesystem::path demo_folder();

}  // namespace tenure::cli
