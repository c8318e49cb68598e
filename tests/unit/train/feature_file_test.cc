#include "train/feature_file.h"

#include <doctest/doctest.h>
#include <stdlib.h>

#include <filesystem>
#include <vector>

#include "error/error.h"

namespace tenure::test {
namespace {

struct Folder {
  Folder() {
    char path[] = "/tmp/tenure-features-XXXXXX";
    REQUIRE(mkdtemp(path) != nullptr);
    name = path;
  }
  ~Folder() { std::filesystem::remove_all(name); }
  std::string name;
};

}  // namespace

TEST_CASE("feature file - holds every layer's rows and labels apart, layers without outputs not at all") {
  const Folder folder;
  const FeatureLayout layout({3, 5}, {{.n_inputs = 4, .n_outputs = 2}, {.n_inputs = 4, .n_outputs = 0}, {.n_inputs = 6, .n_outputs = 1}});
  CHECK(layout.n_documents() == 2);
  CHECK(layout.longest() == 5);
  CHECK(layout.layer_begin(1) == layout.layer_begin(2));
  const std::string path = folder.name + "/features";
  const auto input = [](uint32_t layer, uint32_t document, uint32_t i) { return static_cast<uint16_t>(1000 * layer + 100 * document + i); };
  const auto label = [](uint32_t layer, uint32_t document, uint32_t i) { return -0.5f * static_cast<float>(100 * layer + 10 * document + i); };
  FeatureWriter writer(path, layout);
  for (const uint32_t layer : {2u, 0u}) {
    for (const uint32_t document : {1u, 0u}) {
      const uint32_t width = layout.layer(layer).n_inputs;
      std::vector<uint16_t> rows(layout.n_tokens(document) * width);
      for (uint32_t i = 0; i < rows.size(); ++i) rows[i] = input(layer, document, i);
      // In two parts, as forwards cut a document.
      writer.write_inputs(layer, document, 2, std::span(rows).subspan(2 * width));
      writer.write_inputs(layer, document, 0, std::span(rows).first(2 * width));
      std::vector<float> labels(layout.n_tokens(document) * layout.layer(layer).n_outputs);
      for (uint32_t i = 0; i < labels.size(); ++i) labels[i] = label(layer, document, i);
      writer.write_labels(layer, document, labels);
    }
  }
  writer.sync();
  const FeatureFile file(path, layout);
  for (const uint32_t layer : {0u, 2u}) {
    for (const uint32_t document : {0u, 1u}) {
      const auto rows = file.inputs(layer, document);
      REQUIRE(rows.size() == layout.n_tokens(document) * layout.layer(layer).n_inputs);
      for (uint32_t i = 0; i < rows.size(); ++i) CHECK(rows[i] == input(layer, document, i));
      const auto labels = file.labels(layer, document);
      REQUIRE(labels.size() == layout.n_tokens(document) * layout.layer(layer).n_outputs);
      for (uint32_t i = 0; i < labels.size(); ++i) CHECK(labels[i] == label(layer, document, i));
    }
    file.drop(layer);
    CHECK(file.inputs(layer, 1)[1] == input(layer, 1, 1));
  }
}

TEST_CASE("feature file - one that was cut short is refused") {
  const Folder folder;
  const FeatureLayout layout({3}, {{.n_inputs = 4, .n_outputs = 2}});
  const std::string path = folder.name + "/features";
  FeatureWriter(path, layout).sync();
  std::filesystem::resize_file(path, layout.bytes() - 1);
  CHECK_THROWS_AS(FeatureFile(path, layout), Error);
}

}  // namespace tenure::test
