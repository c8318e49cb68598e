// Seeded sentences of small words, a few to a line.
#pragma once

#include <random>
#include <string>
#include <vector>

namespace tenure::test {

inline std::vector<std::string> made_text(size_t n_lines) {
  const char* words[] = {"the",    "one", "who", "decides", "is",    "a",
                         "policy", "and", "not", "host",    "cache", "full"};
  std::mt19937 random(5);
  std::vector<std::string> lines;
  for (size_t i = 0; i < n_lines; ++i) {
    std::string line;
    for (int sentence = 0; sentence < 3; ++sentence) {
      line += line.empty() ? "There" : " There";
      for (int word = 0; word < 5; ++word) line += std::string(" ") + words[random() % std::size(words)];
      line += ".";
    }
    lines.push_back(line);
  }
  return lines;
}

}  // namespace tenure::test
