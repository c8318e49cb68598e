// Networks that a backend lends to policies, against the same arithmetic in double. A backend that lends none passes.
#include <doctest/doctest.h>

#include <algorithm>
#include <cmath>
#include <cstring>
#include <limits>

#include "conformance/subject.h"
#include "conformance/test_model.h"
#include "reference/elements.h"
#include "reference/linear.h"

namespace tenure::conformance {
namespace {

using reference::Matrix;
using reference::Row;

struct NetShape {
  std::vector<uint32_t> parts;   // widths of the rows' parts
  std::vector<uint32_t> widths;  // outputs of each matrix
  uint32_t activation;
  uint32_t dtype;
  bool biased;
};

// A network, its source and what it should compute.
class TestNet {
 public:
  TestNet(const Backend& owner, const NetShape& shape) : owner_(owner), shape_(shape) {
    uint32_t n_in = n_inputs();
    std::vector<tenure_matrix> sources;
    for (uint32_t n_out : shape.widths) {
      const auto seed = static_cast<uint32_t>(matrices_.size());
      std::vector<double> values;
      for (float x : random_floats(uint64_t{n_out} * n_in, 10 + seed)) values.push_back(x / std::sqrt(n_in));
      bytes_.push_back(reference::encode(shape.dtype, values));
      matrices_.push_back({n_out, n_in, reference::decode(shape.dtype, bytes_.back())});
      std::vector<double> bias;
      if (shape.biased) {
        for (float x : random_floats(n_out, 20 + seed)) bias.push_back(x);
      }
      bias_bytes_.push_back(reference::encode(shape.dtype, bias));
      biases_.push_back(reference::decode(shape.dtype, bias_bytes_.back()));
      n_in = n_out;
    }
    for (size_t i = 0; i < matrices_.size(); ++i) {
      sources.push_back({.dtype = shape.dtype,
                         .n_out = matrices_[i].n_out,
                         .n_in = matrices_[i].n_in,
                         .data = bytes_[i].data(),
                         .bias = shape.biased ? bias_bytes_[i].data() : nullptr});
    }
    const tenure_net_config config{.head = {.struct_size = sizeof config},
                                   .n_matrices = static_cast<uint32_t>(sources.size()),
                                   .activation = shape.activation,
                                   .matrices = sources.data()};
    REQUIRE(owner.net_create(&config, &net_, nullptr) == TENURE_OK);
    // The source may vanish.
    for (auto& bytes : bytes_) std::fill(bytes.begin(), bytes.end(), std::byte{0xff});
  }
  ~TestNet() { owner_.net_destroy(net_); }
  TestNet(const TestNet&) = delete;
  TestNet& operator=(const TestNet&) = delete;

  uint32_t n_inputs() const {
    uint32_t n = 0;
    for (uint32_t width : shape_.parts) n += width;
    return n;
  }
  uint32_t n_outputs() const { return shape_.widths.back(); }

  // x (n_rows, n_inputs), handed over as parts whose rows lie `gap` elements apart.
  std::vector<float> run(const std::vector<float>& x, uint32_t n_rows, uint32_t gap) const {
    std::vector<std::vector<float>> held;
    std::vector<tenure_f32_view> views;
    uint32_t first = 0;
    for (uint32_t width : shape_.parts) {
      held.emplace_back(uint64_t{n_rows} * (width + gap), std::numeric_limits<float>::quiet_NaN());
      for (uint32_t r = 0; r < n_rows; ++r)
        std::copy_n(&x[uint64_t{r} * n_inputs() + first], width, &held.back()[uint64_t{r} * (width + gap)]);
      first += width;
      // As evidence comes: heads by their elements.
      views.push_back({.data = held.back().data(),
                       .n_dims = 3,
                       .shape = {n_rows, width % 2 == 0 ? 2 : 1, width % 2 == 0 ? width / 2 : width},
                       .stride = {width + gap, width % 2 == 0 ? width / 2 : width, 1}});
    }
    std::vector<float> out(uint64_t{n_rows} * n_outputs(), std::numeric_limits<float>::quiet_NaN());
    const tenure_net_rows rows{.head = {.struct_size = sizeof rows},
                               .n_rows = n_rows,
                               .n_parts = static_cast<uint32_t>(views.size()),
                               .parts = views.data(),
                               .out = out.data()};
    REQUIRE(owner_.net_run(net_, &rows, nullptr) == TENURE_OK);
    return out;
  }

  // One row, and what its rounding errors are a share of.
  reference::Products want(const Row& x) const {
    reference::Products at{x, x};
    for (size_t i = 0; i < matrices_.size(); ++i) {
      at = reference::multiply(matrices_[i], at.values, biases_[i]);
      if (i + 1 == matrices_.size()) break;
      for (double& value : at.values) value = reference::activated(shape_.activation, value);
    }
    return at;
  }

 private:
  const Backend& owner_;
  NetShape shape_;
  std::vector<std::vector<std::byte>> bytes_;
  std::vector<Matrix> matrices_;
  std::vector<std::vector<std::byte>> bias_bytes_;
  std::vector<std::vector<double>> biases_;
  tenure_net* net_ = nullptr;
};

const NetShape shapes[] = {
    // A head on q, k, v; one of odd sizes; a linear one; three matrices; wide in the middle.
    {{64, 32, 32}, {128, 3}, TENURE_ACTIVATION_SILU, TENURE_F32, false},
    {{576, 192, 192}, {128, 3}, TENURE_ACTIVATION_SILU, TENURE_F16, false},
    {{48, 16, 16}, {24, 1}, TENURE_ACTIVATION_GELU_TANH, TENURE_F16, true},
    {{7, 5}, {13, 2}, TENURE_ACTIVATION_SILU, TENURE_BF16, true},
    {{100}, {3}, TENURE_ACTIVATION_SILU, TENURE_F32, true},
    {{33}, {17, 40, 9}, TENURE_ACTIVATION_GELU_TANH, TENURE_F32, true},
    {{32}, {300, 4}, TENURE_ACTIVATION_SILU, TENURE_BF16, false},
    {{1}, {1}, TENURE_ACTIVATION_SILU, TENURE_F32, false},
};
constexpr uint32_t row_counts[] = {1, 2, 5, 31, 64, 200, 513};

}  // namespace

TEST_CASE("net_run - is the matrices with the activation between, for every shape, type and number of rows") {
  if (!backend().lends_nets()) return;
  for (const NetShape& shape : shapes) {
    const TestNet net(backend(), shape);
    for (uint32_t n_rows : row_counts) {
      CAPTURE(net.n_inputs());
      CAPTURE(n_rows);
      const std::vector<float> x = random_floats(uint64_t{n_rows} * net.n_inputs(), 1);
      const std::vector<float> got = net.run(x, n_rows, n_rows % 3);
      double worst = 0;
      for (uint32_t r = 0; r < n_rows; ++r) {
        const auto row = x.begin() + int64_t{r} * net.n_inputs();
        const reference::Products want = net.want(Row(row, row + net.n_inputs()));
        for (uint32_t o = 0; o < net.n_outputs(); ++o) {
          // Matrices of 16 bits may be multiplied as bf16, and so may what goes into them.
          const double allowed = (shape.dtype == TENURE_F32 ? 1e-5 : 8e-3) * want.magnitudes[o] + 1e-6;
          const double share = std::abs(got[uint64_t{r} * net.n_outputs() + o] - want.values[o]) / allowed;
          if (!(share <= worst)) worst = share;
        }
      }
      CHECK(worst <= 1);
    }
  }
}

TEST_CASE("net_run - a row has the same bits alone, among others, and on any number of threads") {
  if (!backend().lends_nets()) return;
  for (const NetShape& shape : shapes) {
    const uint32_t n_rows = 300;
    const TestNet net(backend(), shape);
    const std::vector<float> x = random_floats(uint64_t{n_rows} * net.n_inputs(), 2);
    const std::vector<float> all = net.run(x, n_rows, 0);
    const auto same_as_part = [&](const TestNet& other, uint32_t first, uint32_t n) {
      const std::vector<float> part(x.begin() + int64_t{first} * net.n_inputs(), x.begin() + int64_t{first + n} * net.n_inputs());
      const std::vector<float> alone = other.run(part, n, 1);
      return same_bits(alone, std::span(all).subspan(uint64_t{first} * net.n_outputs(), alone.size()));
    };
    for (uint32_t first : {0u, 1u, 17u, 128u, 299u}) CHECK(same_as_part(net, first, 1));
    CHECK(same_as_part(net, 3, 130));
    for (uint32_t n_threads : {2u, 4u}) CHECK(same_as_part(TestNet(backend(n_threads), shape), 0, n_rows));
  }
}

TEST_CASE("net_run - what is not finite stays in its row") {
  if (!backend().lends_nets()) return;
  const TestNet net(backend(), shapes[0]);
  std::vector<float> x = random_floats(uint64_t{9} * net.n_inputs(), 3);
  const std::vector<float> before = net.run(x, 9, 0);
  x[4 * net.n_inputs() + 5] = std::numeric_limits<float>::quiet_NaN();
  const std::vector<float> after = net.run(x, 9, 0);
  for (uint32_t i = 0; i < after.size(); ++i) {
    CHECK(std::isnan(after[i]) == (i / net.n_outputs() == 4));
    if (i / net.n_outputs() != 4) CHECK(after[i] == before[i]);
  }
}

TEST_CASE("net_create, net_run - refuse what they cannot compute and say what") {
  if (!backend().lends_nets()) return;
  const std::vector<float> values(64, 1);
  const tenure_matrix good[] = {{.dtype = TENURE_F32, .n_out = 4, .n_in = 8, .data = values.data()},
                                {.dtype = TENURE_F32, .n_out = 2, .n_in = 4, .data = values.data()}};
  const auto create = [&](auto change, tenure_net** net) {
    tenure_matrix matrices[] = {good[0], good[1]};
    tenure_net_config config{.head = {.struct_size = sizeof config}, .n_matrices = 2, .activation = 0, .matrices = matrices};
    change(config, matrices);
    tenure_error error{.head = {.struct_size = sizeof error}};
    const tenure_status status = backend().net_create(&config, net, &error);
    CHECK((status == TENURE_OK) == (std::strlen(error.text) == 0));
    return status;
  };
  tenure_net* net = nullptr;
  using Config = tenure_net_config;
  CHECK(create([](Config& c, tenure_matrix*) { c.n_matrices = 0; }, &net) == TENURE_UNSUPPORTED);
  CHECK(create([](Config& c, tenure_matrix*) { c.n_matrices = 9; }, &net) == TENURE_UNSUPPORTED);
  CHECK(create([](Config& c, tenure_matrix*) { c.activation = 77; }, &net) == TENURE_UNSUPPORTED);
  CHECK(create([](Config&, tenure_matrix* m) { m[1].n_in = 5; }, &net) == TENURE_UNSUPPORTED);
  CHECK(create([](Config&, tenure_matrix* m) { m[0].dtype = TENURE_Q8_0; }, &net) == TENURE_UNSUPPORTED);
  CHECK(create([](Config&, tenure_matrix* m) { m[0].n_out = m[1].n_in = 0; }, &net) == TENURE_UNSUPPORTED);
  CHECK(create([](Config&, tenure_matrix* m) { m[0].data = nullptr; }, &net) == TENURE_UNSUPPORTED);
  REQUIRE(create([](Config&, tenure_matrix*) {}, &net) == TENURE_OK);
  float out[2];
  for (int64_t width : {7, 9}) {
    const tenure_f32_view part{.data = const_cast<float*>(values.data()), .n_dims = 2, .shape = {1, width}, .stride = {width, 1}};
    const tenure_net_rows rows{.head = {.struct_size = sizeof rows}, .n_rows = 1, .n_parts = 1, .parts = &part, .out = out};
    CHECK(backend().net_run(net, &rows, nullptr) == TENURE_UNSUPPORTED);
  }
  backend().net_destroy(net);
}

}  // namespace tenure::conformance
