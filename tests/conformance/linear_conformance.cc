// embed, qkv, attn_out, mlp: every weight type, odd shapes, few and many rows.
#include <doctest/doctest.h>

#include <algorithm>
#include <cmath>

#include "conformance/test_model.h"

namespace tenure::conformance {
namespace {

using reference::Products;
using reference::Row;

const ModelShape shapes[] = {
    {},
    {.n_embd = 96,
     .n_ff = 160,
     .n_vocab = 101,
     .n_heads = 3,
     .n_kv_heads = 1,
     .head_dim = 32,
     .rope_dim = 32,
     .biases = true},
    {.n_embd = 256,
     .n_ff = 352,
     .n_vocab = 130,
     .n_heads = 4,
     .n_kv_heads = 1,
     .head_dim = 64,
     .rope_dim = 64,
     .own_output = false},
    // Each of what some families add, alone; heads that are wider or narrower than n_embd / n_heads.
    {.embedding_scale = 8.5f},
    {.n_heads = 2, .n_kv_heads = 1, .head_dim = 128, .rope_dim = 128, .qk_norm = true},
    {.head_dim = 48, .rope_dim = 48, .biases = true, .qk_norm = true},
    {.attn_post_norm = true},
    {.ffn_post_norm = true},
    {.n_ff = 224, .activation = TENURE_ACTIVATION_GELU_TANH},
    // All of them.
    {.n_embd = 160,
     .n_ff = 288,
     .n_vocab = 70,
     .n_heads = 3,
     .n_kv_heads = 1,
     .head_dim = 256,
     .rope_dim = 256,
     .biases = true,
     .own_output = false,
     .qk_norm = true,
     .attn_post_norm = true,
     .ffn_post_norm = true,
     .activation = TENURE_ACTIVATION_GELU_TANH,
     .embedding_scale = 12.65f},
};
constexpr uint32_t row_counts[] = {1, 3, 5, 17, 40};

Row row_of(const std::vector<float>& rows, uint32_t row, uint32_t width) {
  return {rows.begin() + uint64_t{row} * width, rows.begin() + uint64_t{row + 1} * width};
}

Row magnitudes(Row row) {
  for (double& x : row) x = std::abs(x);
  return row;
}

// Each head of a row of queries or keys, normed.
Products normed_heads(const TestModel& model, const Products& row, std::span<const double> gain) {
  Products all;
  for (size_t at = 0; at < row.values.size(); at += gain.size()) {
    const auto head = [&](const Row& from) {
      const auto first = from.begin() + static_cast<ptrdiff_t>(at);
      return Row(first, first + static_cast<ptrdiff_t>(gain.size()));
    };
    const Products normed =
        reference::rms_norm({head(row.values), head(row.magnitudes)}, gain, model.epsilon());
    all.values.insert(all.values.end(), normed.values.begin(), normed.values.end());
    all.magnitudes.insert(all.magnitudes.end(), normed.magnitudes.begin(), normed.magnitudes.end());
  }
  return all;
}

// x and what a block adds to it.
Products block_sum(const TestModel& model, const Row& x, const Products& added, uint32_t post_norm) {
  const std::span<const double> gain = model.gain(post_norm);
  return reference::add(x, gain.empty() ? added : reference::rms_norm(added, gain, model.epsilon()));
}

// The worst |got - want| of one row as a share of what the tolerance allows.
double excess(const std::vector<float>& got, uint32_t row, const Products& want, double tolerance) {
  double worst = 0;
  const size_t width = want.values.size();
  for (size_t i = 0; i < width; ++i) {
    const double share =
        std::abs(got[row * width + i] - want.values[i]) / (tolerance * want.magnitudes[i] + 1e-6);
    if (!(share <= worst)) worst = share;
  }
  return worst;
}

template <typename Body>
void for_every_model(Body&& body) {
  for (const ModelShape& shape : shapes) {
    for (uint32_t dtype : all_weight_dtypes) {
      for (uint32_t n_threads : {1u, 2u}) {
        CAPTURE(shape.n_embd);
        CAPTURE(std::string(dtype_name(dtype)));
        CAPTURE(n_threads);
        const TestModel model(backend(n_threads), shape, dtype);
        for (uint32_t n_rows : row_counts) {
          CAPTURE(n_rows);
          body(model, n_rows);
        }
      }
    }
  }
}

}  // namespace

TEST_CASE("embed - gives the rows of the token ids, scaled") {
  for_every_model([](const TestModel& model, uint32_t n_rows) {
    const uint32_t n_embd = model.shape().n_embd;
    const DeviceFloats x(model.backend(), n_rows * n_embd);
    TestForward::of_rows(model, n_rows).run([&](Backend& b, const tenure_forward& f) {
      require_ok(b.embed(f, x.data()));
    });
    const std::vector<float> got = x.read();
    const reference::Matrix& table = model.matrix(TENURE_WEIGHT_TOKEN_EMBD);
    double worst = 0;
    for (uint32_t row = 0; row < n_rows; ++row) {
      const uint64_t id = row * 7 % model.shape().n_vocab;
      for (uint32_t i = 0; i < n_embd; ++i) {
        const double want =
            table.values[id * n_embd + i] * static_cast<double>(model.shape().embedding_scale);
        const double error = std::abs(got[row * n_embd + i] - want) / (std::abs(want) + 1);
        if (!(error <= worst)) worst = error;
      }
    }
    CHECK(worst <= 1e-6);  // decoding rounds to f32
  });
}

TEST_CASE("qkv - projects the normed rows, adds biases, norms heads and shows the normed rows") {
  for_every_model([](const TestModel& model, uint32_t n_rows) {
    const ModelShape& shape = model.shape();
    Backend& device = model.backend();
    const std::vector<float> x = random_floats(n_rows * shape.n_embd, 5);
    const DeviceFloats in(device, x), q(device, n_rows * shape.n_q()), k(device, n_rows * shape.n_kv());
    const DeviceFloats v(device, n_rows * shape.n_kv()), hidden(device, n_rows * shape.n_embd);
    TestForward forward = TestForward::of_rows(model, n_rows);
    forward.run([&](Backend& b, const tenure_forward& f) {
      require_ok(b.qkv(f, 0, in.data(), q.data(), k.data(), v.data(), hidden.data()));
    });
    const std::vector<float> got[] = {q.read(), k.read(), v.read()};
    const std::vector<float> got_hidden = hidden.read();
    for (uint32_t row = 0; row < n_rows; ++row) {
      const Row h = reference::rms_norm(row_of(x, row, shape.n_embd), model.vector(TENURE_WEIGHT_ATTN_NORM),
                                        model.epsilon());
      for (uint32_t part = 0; part < 3; ++part) {
        const std::span<const double> bias =
            shape.biases ? model.vector(TENURE_WEIGHT_Q_BIAS + part) : std::span<const double>{};
        Products want = reference::multiply(model.matrix(TENURE_WEIGHT_Q + part), h, bias);
        if (shape.qk_norm && part < 2)
          want = normed_heads(model, want, model.gain(TENURE_WEIGHT_Q_NORM + part));
        CHECK(excess(got[part], row, want, product_tolerance(model.dtype())) <= 1);
      }
      CHECK(excess(got_hidden, row, {h, magnitudes(h)}, 1e-5) <= 1);
      CHECK(forward.bad_layers()[row] == -1);
    }
    const DeviceFloats again(device, n_rows * shape.n_q());
    TestForward::of_rows(model, n_rows).run([&](Backend& b, const tenure_forward& f) {
      require_ok(b.qkv(f, 0, in.data(), again.data(), k.data(), v.data(), nullptr));
    });
    CHECK_MESSAGE(same_bits(again.read(), got[0]), "asking for the normed rows changes q");
  });
}

TEST_CASE("attn_out - adds the projection to x") {
  for_every_model([](const TestModel& model, uint32_t n_rows) {
    const ModelShape& shape = model.shape();
    const std::vector<float> x = random_floats(n_rows * shape.n_embd, 6);
    const std::vector<float> mixed = random_floats(n_rows * shape.n_q(), 7);
    const DeviceFloats in(model.backend(), mixed), out(model.backend(), x);
    TestForward::of_rows(model, n_rows).run([&](Backend& b, const tenure_forward& f) {
      require_ok(b.attn_out(f, 0, in.data(), out.data()));
    });
    const std::vector<float> got = out.read();
    for (uint32_t row = 0; row < n_rows; ++row) {
      const Products added =
          reference::multiply(model.matrix(TENURE_WEIGHT_ATTN_OUT), row_of(mixed, row, shape.n_q()));
      const Products want =
          block_sum(model, row_of(x, row, shape.n_embd), added, TENURE_WEIGHT_ATTN_POST_NORM);
      CHECK(excess(got, row, want, product_tolerance(model.dtype())) <= 1);
    }
  });
}

TEST_CASE("mlp - adds the gated feed-forward of the normed row to x") {
  for_every_model([](const TestModel& model, uint32_t n_rows) {
    const ModelShape& shape = model.shape();
    const std::vector<float> x = random_floats(n_rows * shape.n_embd, 8);
    const DeviceFloats out(model.backend(), x);
    TestForward::of_rows(model, n_rows).run([&](Backend& b, const tenure_forward& f) {
      require_ok(b.mlp(f, 0, out.data()));
    });
    const std::vector<float> got = out.read();
    for (uint32_t row = 0; row < n_rows; ++row) {
      const Row from = row_of(x, row, shape.n_embd);
      const Row h = reference::rms_norm(from, model.vector(TENURE_WEIGHT_FFN_NORM), model.epsilon());
      const Row y = reference::gated(shape.activation, model.matrix(TENURE_WEIGHT_FFN_GATE),
                                     model.matrix(TENURE_WEIGHT_FFN_UP), h);
      const Products added = reference::multiply(model.matrix(TENURE_WEIGHT_FFN_DOWN), y);
      // Three products one after the other: each adds its own error.
      CHECK(excess(got, row, block_sum(model, from, added, TENURE_WEIGHT_FFN_POST_NORM),
                   4 * product_tolerance(model.dtype())) <= 1);
    }
  });
}

}  // namespace tenure::conformance
