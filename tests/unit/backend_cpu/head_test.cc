#include <doctest/doctest.h>

#include <algorithm>
#include <cmath>
#include <cstring>
#include <string>

#include "small_model.h"

namespace tenure::cpu::test {
namespace {

struct Answer {
  tenure_logits result{};
  std::vector<float> full;
  std::vector<float> at;
};

// Asks for everything of rows 0..n_rows-1.
std::vector<Answer> ask_all(Device& device, const Weights& weights, Forward& forward,
                            const std::vector<float>& x, const std::vector<int32_t>& ids) {
  const uint32_t n_rows = forward.call.n_rows;
  std::vector<Answer> answers(n_rows);
  std::vector<tenure_want> wants;
  for (uint32_t r = 0; r < n_rows; ++r) {
    answers[r].full.resize(weights.n_vocab());
    answers[r].at.resize(ids.size());
    wants.push_back(
        {.row = r,
         .flags = TENURE_WANT_ARGMAX | TENURE_WANT_LOGSUMEXP | TENURE_WANT_LOGITS_AT | TENURE_WANT_FULL,
         .n_ids = static_cast<uint32_t>(ids.size()),
         .reserved0 = 0,
         .ids = ids.data(),
         .logits_at = answers[r].at.data(),
         .full = answers[r].full.data(),
         .result = &answers[r].result});
  }
  head_logits(device, weights, forward.call, x.data(), n_rows, wants.data());
  return answers;
}

}  // namespace

TEST_CASE("head_logits - logits, argmax, log-sum-exp and logits at ids agree with double precision") {
  const std::vector<int32_t> ids = {0, 1023, 1024, 2099, 7, 7};
  for (const Kernels* kernels : usable_kernels()) {
    for (uint32_t dtype : kAllDtypes) {
      for (uint32_t n_rows : {1u, 9u, 70u}) {
        CAPTURE(std::string(kernels->name));
        CAPTURE(std::string(dtype_name(dtype)));
        CAPTURE(n_rows);
        const SmallModel model(dtype, 31);
        const Threads threads(2);
        const auto weights = model.load(threads.exec());
        const auto device = make_device(*kernels, threads, *weights, n_rows);
        const std::vector<float> x = normal_rows(n_rows, model.sizes.n_embd, 32);
        Forward forward(n_rows);
        const std::vector<Answer> answers = ask_all(*device, *weights, forward, x, ids);

        std::vector<float> logits;
        for (const Answer& answer : answers)
          logits.insert(logits.end(), answer.full.begin(), answer.full.end());
        const std::vector<double> normed = rms_norm({x.begin(), x.end()}, model.output_norm);
        CHECK(relative_error(logits, product(normed, model.token_embd)) < tolerance(dtype));
        for (const Answer& answer : answers) {
          const auto max = std::max_element(answer.full.begin(), answer.full.end());
          CHECK(answer.result.status == TENURE_OK);
          CHECK(answer.result.argmax == max - answer.full.begin());
          CHECK(answer.result.max_logit == *max);
          double sum = 0;
          for (float logit : answer.full) sum += std::exp(static_cast<double>(logit) - *max);
          CHECK(answer.result.logsumexp == doctest::Approx(*max + std::log(sum)).epsilon(1e-6));
          for (size_t i = 0; i < ids.size(); ++i)
            CHECK(answer.at[i] == answer.full[static_cast<size_t>(ids[i])]);
        }
      }
    }
  }
}

TEST_CASE("head_logits - equal logits in different slices go to the lower id") {
  SmallModel model(TENURE_F32, 33);
  const uint32_t n = model.sizes.n_embd;
  std::memcpy(model.token_embd.bytes.data() + 1900 * n * 4, model.token_embd.bytes.data() + 40 * n * 4,
              n * 4);
  const Threads threads(2);
  const auto weights = model.load(threads.exec());
  const auto device = make_device(*choose_kernels(""), threads, *weights, 1);
  // A row along that embedding after the norm's weights are taken out again: no other token comes near.
  std::vector<float> x(n);
  for (uint32_t i = 0; i < n; ++i) {
    x[i] = static_cast<float>(model.token_embd.values[40 * n + i] / model.output_norm.values[i]);
    x[i] = std::clamp(x[i], -3.0f, 3.0f);
  }
  Forward forward(1);
  const std::vector<Answer> answers = ask_all(*device, *weights, forward, x, {});
  CHECK(answers[0].full[1900] == answers[0].result.max_logit);
  CHECK(answers[0].result.argmax == 40);
}

TEST_CASE("head_logits - a row's bits do not depend on the other wants or on workers") {
  constexpr uint32_t n_rows = 70;
  for (const Kernels* kernels : usable_kernels()) {
    CAPTURE(std::string(kernels->name));
    const SmallModel model(TENURE_Q8_0, 34);
    const Threads alone(1), three(3);
    const auto weights = model.load(three.exec());
    const auto device_alone = make_device(*kernels, alone, *weights, n_rows);
    const auto device_three = make_device(*kernels, three, *weights, n_rows);
    const std::vector<float> x = normal_rows(n_rows, model.sizes.n_embd, 35);
    Forward forward(n_rows);
    const std::vector<Answer> all = ask_all(*device_three, *weights, forward, x, {5});
    for (uint32_t r : {0u, 33u, 69u}) {
      Forward one(1);
      const std::vector<float> row(x.begin() + r * model.sizes.n_embd,
                                   x.begin() + (r + 1) * model.sizes.n_embd);
      const Answer answer = ask_all(*device_alone, *weights, one, row, {5})[0];
      CHECK(answer.full == all[r].full);
      CHECK(answer.result.logsumexp == all[r].result.logsumexp);
      CHECK(answer.result.argmax == all[r].result.argmax);
    }
  }
}

TEST_CASE("head_logits - a row that is not finite is reported, its neighbours are answered") {
  const SmallModel model(TENURE_Q4_0, 36);
  const Threads threads(2);
  const auto weights = model.load(threads.exec());
  const auto device = make_device(*choose_kernels(""), threads, *weights, 3);
  std::vector<float> x = normal_rows(3, model.sizes.n_embd, 37);
  x[model.sizes.n_embd + 1] = INFINITY;
  Forward forward(3);
  const std::vector<Answer> answers = ask_all(*device, *weights, forward, x, {});
  CHECK(answers[0].result.status == TENURE_OK);
  CHECK(answers[1].result.status == TENURE_NUMERIC);
  CHECK(answers[2].result.status == TENURE_OK);
  CHECK(forward.bad == std::vector<int32_t>{-1, static_cast<int32_t>(model.sizes.n_layers), -1});
}

}  // namespace tenure::cpu::test
