#include "train/adamw.h"

#include <doctest/doctest.h>

#include "unit/train/training_goldens.h"

namespace tenure::test {

TEST_CASE("AdamW - ten steps are torch.optim.AdamW's after clip_grad_value_") {
  const auto& golden = training_goldens()["adamw"];
  std::vector<float> values = floats(golden["start"]);
  std::vector<float> first(values.size(), 0.0f), second(values.size(), 0.0f);
  uint64_t n = 0;
  for (const auto& step : golden["steps"]) {
    const std::vector<float> gradient = floats(step["gradient"]);
    update({.learning_rate = step["learning_rate"], .beta1 = golden["beta1"], .beta2 = golden["beta2"],
            .weight_decay = golden["weight_decay"], .value_clip = golden["value_clip"]},
           ++n, {.values = values, .first = first, .second = second, .gradient = gradient});
    CHECK(largest_error(values, floats(step["after"])) < 1e-6);
  }
  CHECK(n == 10);
}

}  // namespace tenure::test
