// What `tenure inspect` prints of a Hugging Face model folder or of one .safetensors file. Text of the files
// is escaped before it reaches the terminal.
#pragma once

#include <string>

namespace tenure::cli {

bool is_safetensors(const std::string& path);
std::string safetensors_text(const std::string& path);
std::string safetensors_json(const std::string& path);

}  // namespace tenure::cli
