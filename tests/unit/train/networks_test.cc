// The networks of the shipped trainable policies: loss, scores and gradients against PyTorch.
#include <doctest/doctest.h>
#include <fmt/format.h>

#include "unit/train/trainable_rig.h"
#include "unit/train/training_goldens.h"

namespace tenure::test {
namespace {

// What training_goldens.py has in mind.
struct SmallModel {
  explicit SmallModel(uint32_t activation) {
    layers[0] = {.n_kv_heads = 2, .head_dim = 4};
    layers[1] = {.n_kv_heads = 2, .head_dim = 4, .window = 64};
    info = {.head = {.struct_size = sizeof info}, .n_layers = 2, .n_embd = 24, .n_heads = 4, .layer_stride = sizeof layers[0], .layers = layers, .activation = activation};
  }
  tenure_layer_info layers[2]{};
  tenure_model_info info{};
};

std::vector<std::string> settings_of(const nlohmann::json& golden) {
  std::vector<std::string> settings;
  for (const auto& [key, value] : golden["settings"].items()) {
    settings.push_back(fmt::format("{}={}", key, value.is_string() ? value.get<std::string>() : value.dump()));
  }
  return settings;
}

}  // namespace

TEST_CASE("networks - loss, scores and gradients are PyTorch's") {
  TinyHost host;
  for (const auto& golden : training_goldens()["networks"]) {
    const std::string name = golden["plugin"].get<std::string>() + ", " + golden["case"].get<std::string>();
    CAPTURE(name);
    const SmallModel model(golden["case"] == "gelu_tanh" ? TENURE_ACTIVATION_GELU_TANH : TENURE_ACTIVATION_SILU);
    const TrainableRig rig(host.backend(), model.info, golden["plugin"], settings_of(golden));
    const Trainable& trainable = rig.trainable();
    REQUIRE(trainable.layers().size() == 2);
    CHECK(trainable.layers()[1].n_outputs == 0);  // it has a window
    const TrainableLayer& layer = trainable.layers()[0];
    std::vector<std::vector<float>> parameters, gradients;
    std::vector<const float*> parameter_list;
    std::vector<float*> gradient_list;
    for (const TrainableParameter& parameter : layer.parameters) {
      parameters.push_back(floats(golden["parameters"][parameter.name]));
      REQUIRE(parameters.back().size() == parameter.n_elements());
      gradients.emplace_back(parameter.n_elements(), 1e9f);  // to be overwritten
      parameter_list.push_back(parameters.back().data());
      gradient_list.push_back(gradients.back().data());
    }
    const std::vector<float> inputs = floats(golden["inputs"]), labels = floats(golden["labels"]);
    const tenure_training_batch batch{.head = {.struct_size = sizeof batch},
                                      .layer = 0,
                                      .n_rows = golden["n_rows"],
                                      .n_unlabelled = golden["n_unlabelled"],
                                      .inputs = inputs.data(),
                                      .labels = labels.data(),
                                      .parameters = parameter_list.data()};
    for (int again = 0; again < 2; ++again) {
      const float loss = trainable.loss_and_gradient(batch, gradient_list);
      CHECK(loss == doctest::Approx(golden["loss"].get<double>()).epsilon(1e-5));
      for (size_t p = 0; p < layer.parameters.size(); ++p) {
        CAPTURE(layer.parameters[p].name);
        CHECK(largest_error(gradients[p], floats(golden["gradients"][layer.parameters[p].name])) < 1e-5);
      }
    }
    std::vector<float> scores(labels.size());
    trainable.scores(batch, scores.data());
    CHECK(largest_error(scores, floats(golden["scores"])) < 1e-5);
  }
}

}  // namespace tenure::test
