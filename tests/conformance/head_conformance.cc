// head_logits: every want, ties, and rows that are not numbers.
#include <doctest/doctest.h>

#include <algorithm>
#include <cmath>
#include <limits>

#include "conformance/test_model.h"

namespace tenure::conformance {
namespace {

// Wants of everything for every row of x.
struct AllWants {
  AllWants(const TestModel& model, uint32_t n_rows)
      : n_vocab(model.shape().n_vocab),
        ids{0, static_cast<int32_t>(n_vocab) - 1, static_cast<int32_t>(n_vocab / 2), 0},
        results(n_rows),
        full(size_t{n_rows} * n_vocab, std::numeric_limits<float>::quiet_NaN()),
        at(size_t{n_rows} * 4, std::numeric_limits<float>::quiet_NaN()) {
    for (uint32_t row = 0; row < n_rows; ++row) {
      wants.push_back(
          {.row = row,
           .flags = TENURE_WANT_ARGMAX | TENURE_WANT_LOGSUMEXP | TENURE_WANT_LOGITS_AT | TENURE_WANT_FULL,
           .n_ids = 4,
           .ids = ids.data(),
           .logits_at = &at[row * 4],
           .full = &full[size_t{row} * n_vocab],
           .result = &results[row]});
    }
  }
  std::span<const float> logits(uint32_t row) const { return {&full[size_t{row} * n_vocab], n_vocab}; }

  uint32_t n_vocab;
  std::vector<int32_t> ids;
  std::vector<tenure_want> wants;
  std::vector<tenure_logits> results;
  std::vector<float> full;
  std::vector<float> at;
};

void run_head(const TestModel& model, const std::vector<float>& x, std::span<const tenure_want> wants,
              TestForward& forward) {
  const DeviceFloats in(model.backend(), x);
  forward.run([&](Backend& b, const tenure_forward& f) { require_ok(b.head_logits(f, in.data(), wants)); });
}

double logsumexp(std::span<const float> logits) {
  const double top = *std::max_element(logits.begin(), logits.end());
  double sum = 0;
  for (float logit : logits) sum += std::exp(logit - top);
  return top + std::log(sum);
}

}  // namespace

TEST_CASE("head_logits - every want says the same about a row's logits") {
  for (bool own_output : {true, false}) {
    for (uint32_t dtype : all_weight_dtypes) {
      CAPTURE(std::string(dtype_name(dtype)));
      const ModelShape shape = ModelShape{.n_vocab = 2101, .own_output = own_output}.widened_for(dtype);
      const TestModel model(backend(2), shape, dtype);
      const uint32_t n_rows = 67;
      const std::vector<float> x = random_floats(n_rows * shape.n_embd, 3);
      AllWants all(model, n_rows);
      TestForward forward = TestForward::of_rows(model, n_rows);
      run_head(model, x, all.wants, forward);
      double worst = 0;
      for (uint32_t row = 0; row < n_rows; ++row) {
        CAPTURE(row);
        const reference::Row from(&x[row * shape.n_embd], &x[row * shape.n_embd] + shape.n_embd);
        const reference::Row h =
            reference::rms_norm(from, model.vector(TENURE_WEIGHT_OUTPUT_NORM), model.epsilon());
        const reference::Products want = reference::multiply(model.output(), h);
        const auto logits = all.logits(row);
        for (uint32_t id = 0; id < all.n_vocab; ++id) {
          const double share = std::abs(logits[id] - want.values[id]) /
                               (product_tolerance(dtype) * want.magnitudes[id] + 1e-6);
          if (!(share <= worst)) worst = share;
        }
        const tenure_logits& result = all.results[row];
        const auto top = std::max_element(logits.begin(), logits.end());
        CHECK(result.status == TENURE_OK);
        CHECK(result.argmax == top - logits.begin());
        CHECK(result.max_logit == *top);
        CHECK(result.logsumexp == doctest::Approx(logsumexp(logits)).epsilon(1e-6));
        for (uint32_t i = 0; i < 4; ++i)
          CHECK(all.at[row * 4 + i] == logits[static_cast<size_t>(all.ids[i])]);
        if (dtype == TENURE_F32)
          CHECK(result.logsumexp ==
                doctest::Approx(reference::head(model.output(), h).logsumexp).epsilon(1e-5));
        CHECK(forward.bad_layers()[row] == -1);
      }
      CHECK(worst <= 1);
    }
  }
}

TEST_CASE("head_logits - a want without arrays writes its result, whatever else is wanted") {
  const TestModel model(backend(), {}, TENURE_F32);
  const std::vector<float> x = random_floats(3 * 64, 4);
  AllWants all(model, 3);
  TestForward forward = TestForward::of_rows(model, 3);
  run_head(model, x, all.wants, forward);
  // One row twice, in any order; the others not at all.
  tenure_logits results[2] = {};
  const tenure_want few[] = {{.row = 2, .flags = TENURE_WANT_ARGMAX, .result = &results[0]},
                             {.row = 0, .flags = TENURE_WANT_LOGSUMEXP, .result = &results[1]}};
  TestForward second = TestForward::of_rows(model, 3);
  run_head(model, x, few, second);
  CHECK(results[0].argmax == all.results[2].argmax);
  CHECK(results[1].logsumexp == all.results[0].logsumexp);
  CHECK(results[1].status == TENURE_OK);
}

TEST_CASE("head_logits - equal logits give the lower id") {
  // Two rows of the output matrix are the same and above all others, far apart.
  for (uint32_t dtype : all_weight_dtypes) {
    CAPTURE(std::string(dtype_name(dtype)));
    const ModelShape shape = ModelShape{.n_vocab = 2101}.widened_for(dtype);
    const uint32_t n = shape.n_embd;
    const auto edit = [&](uint32_t role, std::vector<double>& values) {
      if (role != TENURE_WEIGHT_OUTPUT) return;
      for (double& value : values) value *= 0.01;
      for (uint32_t i = 0; i < n; ++i) values[70 * n + i] = values[2090 * n + i] = values[2095 * n + i] = 1;
    };
    const TestModel model(backend(2), shape, dtype, edit);
    AllWants all(model, 1);
    TestForward forward = TestForward::of_rows(model, 1);
    run_head(model, std::vector<float>(n, 1.0f), all.wants, forward);
    CHECK(all.logits(0)[70] == all.logits(0)[2090]);
    CHECK(all.results[0].argmax == 70);
  }
}

TEST_CASE("first_bad_layer - names the first layer whose input row is not finite, and the head's") {
  for (uint32_t dtype : {uint32_t{TENURE_F32}, uint32_t{TENURE_Q8_0}}) {
    for (uint32_t n_rows : {3u, 9u}) {
      CAPTURE(std::string(dtype_name(dtype)));
      CAPTURE(n_rows);
      const TestModel model(backend(2), {.n_layers = 2}, dtype);
      Backend& device = model.backend();
      const ModelShape& shape = model.shape();
      std::vector<float> good = random_floats(n_rows * 64, 4);
      std::vector<float> bad_1 = good;
      bad_1[1 * 64 + 7] = std::numeric_limits<float>::quiet_NaN();
      std::vector<float> bad_2 = bad_1;
      bad_2[2 * 64 + 63] = std::numeric_limits<float>::infinity();
      const DeviceFloats x(device, good), x_1(device, bad_1), x_2(device, bad_2);
      const DeviceFloats q(device, n_rows * shape.n_q()), k(device, n_rows * shape.n_kv()),
          v(device, n_rows * shape.n_kv());
      AllWants all(model, n_rows);
      TestForward forward = TestForward::of_rows(model, n_rows);
      forward.run([&](Backend& b, const tenure_forward& f) {
        require_ok(b.qkv(f, 0, x.data(), q.data(), k.data(), v.data(), nullptr));
        require_ok(b.qkv(f, 1, x_1.data(), q.data(), k.data(), v.data(), nullptr));
        require_ok(b.head_logits(f, x_2.data(), all.wants));
      });
      CHECK(forward.bad_layers()[0] == -1);
      CHECK(forward.bad_layers()[1] == 1);
      CHECK(forward.bad_layers()[2] == 2);
      CHECK(all.results[0].status == TENURE_OK);
      CHECK(all.results[1].status == TENURE_NUMERIC);
      CHECK(all.results[2].status == TENURE_NUMERIC);
    }
  }
}

}  // namespace tenure::conformance
