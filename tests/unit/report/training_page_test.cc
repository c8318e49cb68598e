#include "report/training_page.h"

#include <doctest/doctest.h>

using namespace tenure;

namespace {

size_t n_times(const std::string& text, const std::string& word) {
  size_t n = 0;
  for (size_t at = text.find(word); at != std::string::npos; at = text.find(word, at + 1)) ++n;
  return n;
}

}  // namespace

TEST_CASE("training page - has a curve and a line of the table for every layer, and escapes what it is told") {
  TrainingPage page{.title = "<heads>", .facts = {{"model", "a & b"}}};
  for (const uint32_t layer : {0u, 3u}) {
    page.layers.push_back({.layer = layer, .losses = std::vector<float>(100, 1.5f), .held_out = {{50, 2, 0.25}, {100, 1.25, 0.5}}});
  }
  page.layers.push_back({.layer = 4, .losses = {3, 1}});  // nobody judged
  const std::string html = render(page);
  CHECK(html.find("<heads>") == std::string::npos);
  CHECK(html.find("&lt;heads&gt;") != std::string::npos);
  CHECK(html.find("a &amp; b") != std::string::npos);
  for (const char* title : {"layer 0", "layer 3", "layer 4"}) CHECK(html.find(title) != std::string::npos);
  CHECK(n_times(html, "<svg") == 2 + 3);
  CHECK(n_times(html, "<tr><td") == 3);
  CHECK(n_times(html, "1.250") >= 2);
  CHECK(n_times(html, ">–<") == 2);
}

TEST_CASE("training page - of nothing is a page") {
  CHECK(render(TrainingPage{.title = "t"}).find("</html>") != std::string::npos);
}
