#include <doctest/doctest.h>

#include <algorithm>
#include <cmath>
#include <string>

#include "small_model.h"

namespace tenure::cpu::test {
namespace {

std::vector<double> doubles(const std::vector<float>& x) {
  return {x.begin(), x.end()};
}

// One layer's products for some rows.
struct LayerOutput {
  std::vector<float> q, k, v, hidden, after_attn, after_mlp;
  friend bool operator==(const LayerOutput&, const LayerOutput&) = default;
};

struct LayerInput {
  std::vector<float> x;      // (n_rows, n_embd)
  std::vector<float> mixed;  // (n_rows, n_heads * head_dim)
  LayerInput rows(uint32_t first, uint32_t n, const Sizes& s) const {
    const uint32_t n_q = s.n_heads * s.head_dim;
    return {{x.begin() + first * s.n_embd, x.begin() + (first + n) * s.n_embd},
            {mixed.begin() + first * n_q, mixed.begin() + (first + n) * n_q}};
  }
};

LayerInput make_input(uint32_t n_rows, const Sizes& s) {
  return {normal_rows(n_rows, s.n_embd, 21), normal_rows(n_rows, s.n_heads * s.head_dim, 22)};
}

LayerOutput run_layer(Device& device, const Weights& weights, const SmallModel& model, const LayerInput& in,
                      const std::vector<uint8_t>& kinds = {}) {
  const Sizes& s = model.sizes;
  const uint32_t n_rows = static_cast<uint32_t>(in.x.size()) / s.n_embd;
  LayerOutput out;
  out.q.resize(size_t{n_rows} * s.n_heads * s.head_dim);
  out.k.resize(size_t{n_rows} * s.n_kv_heads * s.head_dim);
  out.v = out.k;
  out.hidden.resize(in.x.size());
  Forward forward(n_rows);
  if (!kinds.empty()) forward.kinds.assign(kinds.begin(), kinds.end());
  qkv(device, weights, forward.call,
      {.layer = model.layer,
       .x = in.x.data(),
       .q = out.q.data(),
       .k = out.k.data(),
       .v = out.v.data(),
       .hidden = out.hidden.data()});
  out.after_attn = in.x;
  attn_out(device, weights, forward.call, model.layer, in.mixed.data(), out.after_attn.data());
  out.after_mlp = in.x;
  mlp(device, weights, forward.call, model.layer, out.after_mlp.data());
  return out;
}

std::vector<double> with_bias(std::vector<double> x, const Source& bias) {
  for (size_t i = 0; i < x.size(); ++i) x[i] += bias.values[i % bias.n_in];
  return x;
}

std::vector<double> plus(std::vector<double> x, const std::vector<double>& y) {
  for (size_t i = 0; i < x.size(); ++i) x[i] += y[i];
  return x;
}

}  // namespace

TEST_CASE("qkv, attn_out, mlp - equal the formulas in double precision") {
  for (const Kernels* kernels : usable_kernels()) {
    for (uint32_t dtype : kAllDtypes) {
      for (uint32_t n_rows : {1u, 3u, 21u}) {
        CAPTURE(std::string(kernels->name));
        CAPTURE(std::string(dtype_name(dtype)));
        CAPTURE(n_rows);
        const SmallModel model(dtype, 5);
        const Threads threads(2);
        const auto weights = model.load(threads.exec());
        const auto device = make_device(*kernels, threads, *weights, 32);
        const LayerInput in = make_input(n_rows, model.sizes);
        const LayerOutput out = run_layer(*device, *weights, model, in);

        const std::vector<double> x = doubles(in.x);
        const std::vector<double> normed = rms_norm(x, model.attn_norm);
        CHECK(relative_error(out.hidden, normed) < 1e-6);
        CHECK(relative_error(out.q, with_bias(product(normed, model.q), model.q_bias)) < tolerance(dtype));
        CHECK(relative_error(out.k, with_bias(product(normed, model.k), model.k_bias)) < tolerance(dtype));
        CHECK(relative_error(out.v, with_bias(product(normed, model.v), model.v_bias)) <
              tolerance(TENURE_Q8_0));
        CHECK(relative_error(out.after_attn, plus(x, product(doubles(in.mixed), model.attn_out))) <
              tolerance(dtype));

        const std::vector<double> ffn_normed = rms_norm(x, model.ffn_norm);
        std::vector<double> h = product(ffn_normed, model.gate);
        const std::vector<double> up = product(ffn_normed, model.up);
        for (size_t i = 0; i < h.size(); ++i) h[i] *= up[i] / (1 + std::exp(-h[i]));
        // Two products in a row, and a gate between them.
        CHECK(relative_error(out.after_mlp, plus(x, product(h, model.down))) < 3 * tolerance(dtype));
      }
    }
  }
}

TEST_CASE("qkv, attn_out, mlp - a row's bits do not depend on neighbours or workers") {
  constexpr uint32_t n_rows = 19;
  for (const Kernels* kernels : usable_kernels()) {
    for (uint32_t dtype : {TENURE_Q8_0, TENURE_Q4_1, TENURE_BF16}) {
      CAPTURE(std::string(kernels->name));
      CAPTURE(std::string(dtype_name(dtype)));
      const SmallModel model(dtype, 6);
      const Threads alone(1), three(3);
      const auto weights = model.load(three.exec());
      const auto device_alone = make_device(*kernels, alone, *weights, n_rows);
      const auto device_three = make_device(*kernels, three, *weights, n_rows);
      const LayerInput in = make_input(n_rows, model.sizes);
      const LayerOutput all = run_layer(*device_three, *weights, model, in);
      CHECK(run_layer(*device_alone, *weights, model, in) == all);
      for (uint32_t first : {0u, 7u, 18u}) {
        const LayerOutput one = run_layer(*device_alone, *weights, model, in.rows(first, 1, model.sizes));
        const auto at = [&](const std::vector<float>& whole, const std::vector<float>& part) {
          return std::equal(part.begin(), part.end(),
                            whole.begin() + static_cast<ptrdiff_t>(first * part.size()));
        };
        CHECK(at(all.q, one.q));
        CHECK(at(all.k, one.k));
        CHECK(at(all.v, one.v));
        CHECK(at(all.after_attn, one.after_attn));
        CHECK(at(all.after_mlp, one.after_mlp));
      }
    }
  }
}

TEST_CASE("qkv, attn_out, mlp - prefill's own products equal the formulas to what bf16 keeps") {
  for (const PrefillProducts* prefill : usable_prefill_products()) {
    for (uint32_t dtype : {TENURE_Q8_0, TENURE_Q4_0, TENURE_Q4_1, TENURE_F16}) {
      for (uint32_t n_rows : {1u, 4u, 45u}) {
        CAPTURE(std::string(prefill->name));
        CAPTURE(std::string(dtype_name(dtype)));
        CAPTURE(n_rows);
        const SmallModel model(dtype, 15);
        const Threads threads(2);
        const auto weights = model.load(threads.exec());
        const auto device = make_device(*choose_kernels("avx512"), threads, *weights, 48, prefill);
        const LayerInput in = make_input(n_rows, model.sizes);
        const LayerOutput out = run_layer(*device, *weights, model, in);
        constexpr double kBf16 = 4e-3;

        const std::vector<double> x = doubles(in.x);
        const std::vector<double> normed = rms_norm(x, model.attn_norm);
        CHECK(relative_error(out.hidden, normed) < 1e-6);
        CHECK(relative_error(out.q, with_bias(product(normed, model.q), model.q_bias)) < kBf16);
        CHECK(relative_error(out.k, with_bias(product(normed, model.k), model.k_bias)) < kBf16);
        CHECK(relative_error(out.v, with_bias(product(normed, model.v), model.v_bias)) < kBf16);
        CHECK(relative_error(out.after_attn, plus(x, product(doubles(in.mixed), model.attn_out))) < kBf16);
        std::vector<double> h = product(rms_norm(x, model.ffn_norm), model.gate);
        const std::vector<double> up = product(rms_norm(x, model.ffn_norm), model.up);
        for (size_t i = 0; i < h.size(); ++i) h[i] *= up[i] / (1 + std::exp(-h[i]));
        CHECK(relative_error(out.after_mlp, plus(x, product(h, model.down))) < 3 * kBf16);
      }
    }
  }
}

TEST_CASE("qkv, attn_out, mlp - a row's kind chooses its products, its neighbours' kinds change no bit") {
  constexpr uint32_t n_rows = 60;
  constexpr uint8_t decode = TENURE_ROWS_DECODE, fill = TENURE_ROWS_PREFILL, again = TENURE_ROWS_REBUILD;
  std::vector<uint8_t> mixed(n_rows, fill);
  std::fill_n(mixed.begin(), 3, decode);
  std::fill_n(mixed.begin() + 20, 7, again);
  std::fill_n(mixed.begin() + 50, 2, decode);
  for (const PrefillProducts* prefill : usable_prefill_products()) {
    for (uint32_t dtype : {TENURE_Q8_0, TENURE_Q4_1}) {
      CAPTURE(std::string(prefill->name));
      const SmallModel model(dtype, 16);
      const Threads alone(1), three(3);
      const auto weights = model.load(three.exec());
      const Kernels& kernels = *choose_kernels("avx512");
      const auto general = make_device(kernels, alone, *weights, n_rows);
      const auto device_alone = make_device(kernels, alone, *weights, n_rows, prefill);
      const auto device_three = make_device(kernels, three, *weights, n_rows, prefill);
      const LayerInput in = make_input(n_rows, model.sizes);
      const LayerOutput all = run_layer(*device_three, *weights, model, in, mixed);
      CHECK(run_layer(*device_alone, *weights, model, in, mixed) == all);
      const LayerOutput without = run_layer(*general, *weights, model, in);
      for (uint32_t row : {0u, 2u, 3u, 19u, 22u, 49u, 51u, 59u}) {
        CAPTURE(row);
        const LayerInput one_in = in.rows(row, 1, model.sizes);
        const LayerOutput one = run_layer(*device_alone, *weights, model, one_in, {mixed[row]});
        const auto same = [&](std::vector<float> LayerOutput::*part, const LayerOutput& whole) {
          const std::vector<float>& single = one.*part;
          return std::equal(single.begin(), single.end(),
                            (whole.*part).begin() + static_cast<ptrdiff_t>(row * single.size()));
        };
        for (auto part : {&LayerOutput::q, &LayerOutput::k, &LayerOutput::v, &LayerOutput::hidden,
                          &LayerOutput::after_attn, &LayerOutput::after_mlp}) {
          CHECK(same(part, all));
          if (part != &LayerOutput::hidden) CHECK(same(part, without) == (mixed[row] == decode));
        }
      }
    }
  }
}

TEST_CASE("norms of heads and blocks - a region each, and only in a layer that has them") {
  constexpr uint32_t n_rows = 20;
  const SmallModel model(TENURE_Q8_0, 9, {.norms = true});
  const Threads threads(2);
  const auto weights = model.load(threads.exec());
  const auto device = make_device(*choose_kernels(""), threads, *weights, n_rows);
  LayerInput in = make_input(n_rows, model.sizes);
  std::vector<float> k(n_rows * 64), v(n_rows * 64);
  Forward forward(n_rows);
  const auto regions_of = [&](auto op) {
    const uint32_t before = threads.n_regions();
    op();
    return threads.n_regions() - before;
  };
  for (uint32_t layer : {0u, 1u}) {
    CAPTURE(layer);
    const QkvCall call{.layer = layer,
                       .x = in.x.data(),
                       .q = in.mixed.data(),
                       .k = k.data(),
                       .v = v.data(),
                       .hidden = nullptr};
    CHECK(regions_of([&] { qkv(*device, *weights, forward.call, call); }) == 2 + layer);
    CHECK(regions_of([&] {
            attn_out(*device, *weights, forward.call, layer, in.mixed.data(), in.x.data());
          }) == 2 + layer);
    CHECK(regions_of([&] { mlp(*device, *weights, forward.call, layer, in.x.data()); }) == 4 + layer);
  }
}

TEST_CASE("qkv - notes the first layer whose input is not finite, for that row only") {
  for (uint32_t n_rows : {2u, 12u}) {
    const SmallModel model(TENURE_Q8_0, 7);
    const Threads threads(2);
    const auto weights = model.load(threads.exec());
    const auto device = make_device(*choose_kernels(""), threads, *weights, n_rows);
    std::vector<float> x = normal_rows(n_rows, model.sizes.n_embd, 3);
    x[model.sizes.n_embd + 5] = std::nanf("");
    std::vector<float> q(n_rows * 128), k(n_rows * 64), v(n_rows * 64);
    Forward forward(n_rows);
    for (uint32_t layer : {1u, 0u}) {
      qkv(*device, *weights, forward.call,
          {.layer = layer, .x = x.data(), .q = q.data(), .k = k.data(), .v = v.data(), .hidden = nullptr});
    }
    for (uint32_t r = 0; r < n_rows; ++r) CHECK(forward.bad[r] == (r == 1 ? 1 : -1));
  }
}

TEST_CASE("embed - gives the rows of the ids") {
  for (uint32_t dtype : kAllDtypes) {
    CAPTURE(std::string(dtype_name(dtype)));
    const SmallModel model(dtype, 8);
    const Threads threads(2);
    const auto weights = model.load(threads.exec());
    constexpr uint32_t n_rows = 20;
    const auto device = make_device(*choose_kernels(""), threads, *weights, n_rows);
    Forward forward(n_rows);
    for (uint32_t r = 0; r < n_rows; ++r)
      forward.ids[r] = static_cast<int32_t>((r * 977 + 3) % model.sizes.n_vocab);
    std::vector<float> x(size_t{n_rows} * model.sizes.n_embd);
    embed(*device, *weights, forward.call, x.data());
    std::vector<double> expected;
    for (int32_t id : forward.ids) {
      const auto row = model.token_embd.values.begin() + id * static_cast<int64_t>(model.sizes.n_embd);
      expected.insert(expected.end(), row, row + model.sizes.n_embd);
    }
    CHECK(relative_error(x, expected) < 1e-6);
  }
}

}  // namespace tenure::cpu::test
