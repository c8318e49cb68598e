// The templates that golden lines name: tests/fuzz/corpus/chat_template.
#pragma once

#include <doctest/doctest.h>

#include <fstream>
#include <iterator>
#include <nlohmann/json.hpp>
#include <string>

namespace tenure {

inline std::string chat_seed(const std::string& family) {
  std::ifstream file("tests/fuzz/corpus/chat_template/" + family + ".jinja", std::ios::binary);
  REQUIRE(file);
  return {std::istreambuf_iterator<char>(file), {}};
}

// Of a line of tests/data/chat_goldens.jsonl.
inline std::string source_of(const nlohmann::json& golden) {
  return golden.contains("family") ? chat_seed(golden["family"]) : golden["template"].get<std::string>();
}

}  // namespace tenure
