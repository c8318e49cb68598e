// Refuses, before toml++ sees it, every text that could crash it or that is no text: one linear pass, no
// recursion.
#pragma once

#include <cstddef>
#include <optional>
#include <string>
#include <string_view>

#include "error/codes.h"

namespace tenure {

constexpr size_t max_toml_bytes = size_t{1} << 20;
constexpr size_t max_key_dots = 64;
constexpr size_t max_toml_nesting = 64;

struct GuardFinding {
  Code code = Code::internal;
  size_t offset = 0;
  size_t length = 1;
  std::string text;
};

// The first reason to refuse the text, or nothing. A leading byte order mark has been removed.
std::optional<GuardFinding> refuse_toml(std::string_view text);

}  // namespace tenure
