#include <doctest/doctest.h>

#include "error/error.h"
#include "manifest/manifest.h"

using namespace tenure;

namespace {

const std::string head = R"(manifest = 1
id = "learner"
kind = "policy"
version = "1"
[abi]
major = 1
built = 1
min = 1
[binary]
os = "linux"
arch = "x86_64"
)";

const std::string training = R"([[training]]
name = "width"
type = "int"
default = 128
min = 1
[[training]]
name = "shape"
type = "enum"
values = ["round", "flat"]
default = "round"
[[recipe]]
name = "default"
epochs = 3
[[recipe]]
name = "small"
doc = "less of it"
label = "attention_logit_max"
learning_rate = 0.5
width = 64
)";

// What parsing or changing says is wrong.
template <typename F>
std::string complaint(F&& run) {
  try {
    run();
  } catch (const Error& error) {
    return error.what();
  }
  return "";
}

std::string setting_complaint(const std::string& setting) {
  const PluginManifest manifest = parse_manifest(head + training, "m.toml");
  return complaint([&] { with_settings(manifest.recipes[0], manifest.training, {setting}); });
}

std::string value_of(const Recipe& recipe, const std::string& key) {
  for (const auto& [name, value] : settings_of(recipe)) {
    if (name == key) return value;
  }
  return "absent";
}

}  // namespace

TEST_CASE("recipe - what it does not say is the default, of the host's keys and of the plugin's own") {
  const PluginManifest manifest = parse_manifest(head + training, "m.toml");
  REQUIRE(manifest.training.size() == 2);
  REQUIRE(manifest.recipes.size() == 2);
  const Recipe& plain = manifest.recipes[0];
  CHECK(plain.name == "default");
  CHECK(plain.epochs == 3);
  CHECK(plain.documents == Recipe{}.documents);
  CHECK(plain.label == LabelKind::attention_logprob_max);
  CHECK(value_of(plain, "width") == "128");
  const Recipe& small = manifest.recipes[1];
  CHECK(small.doc == "less of it");
  CHECK(small.label == LabelKind::attention_logit_max);
  CHECK(small.epochs == Recipe{}.epochs);  // not the first recipe's
  CHECK(value_of(small, "learning_rate") == "0.5");
  CHECK(value_of(small, "width") == "64");
  CHECK(value_of(small, "shape") == "round");
}

TEST_CASE("recipe - settings change what they name, and are checked as the manifest is") {
  const PluginManifest manifest = parse_manifest(head + training, "m.toml");
  const Recipe changed = with_settings(manifest.recipes[1], manifest.training,
                                       {"epochs=9", "shape=flat", "label=attention_logprob_max", "width=7", "warm_up=0", "width=8"});
  CHECK(changed.epochs == 9);
  CHECK(changed.label == LabelKind::attention_logprob_max);
  CHECK(changed.warm_up == 0);
  CHECK(value_of(changed, "shape") == "flat");
  CHECK(value_of(changed, "width") == "8");
  CHECK(value_of(changed, "learning_rate") == "0.5");
  CHECK(setting_complaint("epoch=3").find("epoch") != std::string::npos);
  CHECK(setting_complaint("epochs=0").find("epochs") != std::string::npos);
  CHECK(setting_complaint("epochs=many").find("epochs") != std::string::npos);
  CHECK(setting_complaint("width=0").find("width") != std::string::npos);
  CHECK(setting_complaint("shape=square").find("\"round\"") != std::string::npos);
  CHECK(setting_complaint("learning_rate=nan").find("learning_rate") != std::string::npos);
  CHECK(setting_complaint("beta1=1").find("beta1") != std::string::npos);
  CHECK(setting_complaint("epochs").find("KEY=VALUE") != std::string::npos);
  CHECK(setting_complaint("=3").find("KEY=VALUE") != std::string::npos);
  CHECK(!setting_complaint("epochs=\"").empty());
  CHECK(!setting_complaint("name=other").empty());
}

TEST_CASE("recipe - what a manifest says wrong is found with its place") {
  const auto found = [](const std::string& text) { return complaint([&] { parse_manifest(head + text, "m.toml"); }); };
  CHECK(found(training).empty());
  CHECK(found("[[recipe]]\nepochs = 2\n").find("\"name\"") != std::string::npos);
  CHECK(found("[[recipe]]\nname = \"a\"\n[[recipe]]\nname = \"a\"\n").find("two recipes") != std::string::npos);
  CHECK(found("[[recipe]]\nname = \"a\"\nwidth = 3\n").find("width") != std::string::npos);
  CHECK(found("[[recipe]]\nname = \"a\"\nlabel = \"best\"\n").find("attention_logprob_max") != std::string::npos);
  CHECK(found("[[training]]\nname = \"width\"\ntype = \"int\"\n").find("default") != std::string::npos);
  CHECK(found("[[training]]\nname = \"epochs\"\ntype = \"int\"\ndefault = 1\n").find("host key") != std::string::npos);
  CHECK(found("recipe = 3\n").find("recipe") != std::string::npos);
}
