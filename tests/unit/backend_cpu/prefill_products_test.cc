// Products of prefill rows: over emulated tiles everywhere, over the hardware's where this machine has them.
#include <doctest/doctest.h>

#include <algorithm>
#include <bit>
#include <cmath>
#include <memory>
#include <string>

#include "emulated_kernels.h"
#include "quantised_source.h"
#include "small_model.h"

namespace tenure::cpu::test {
namespace {

constexpr uint32_t kDtypes[] = {TENURE_Q8_0, TENURE_Q4_0, TENURE_Q4_1, TENURE_Q5_0,
                                TENURE_Q5_1, TENURE_Q4_K, TENURE_Q5_K, TENURE_Q6_K};

struct Shape {
  uint32_t n_rows, n_out, n_in;
};
// Tails in rows and outputs, one tile to several blocks, inputs of one step to three pieces of 2048.
constexpr Shape kShapes[] = {{1, 1, 32},     {1, 96, 576},  {15, 64, 64},   {16, 17, 96},
                             {17, 130, 160}, {31, 33, 32},  {32, 48, 64},   {33, 79, 192},
                             {70, 200, 32},  {2, 20, 2048}, {19, 70, 2080}, {3, 65, 4128}};

// To nearest, ties to even; denormals are zero to the instructions.
float rounded_to_bf16(float x) {
  const uint32_t bits = std::bit_cast<uint32_t>(x);
  if (std::isnan(x) || (bits & 0x7f800000u) == 0) return std::isnan(x) ? x : std::copysign(0.0f, x);
  return std::bit_cast<float>((bits + 0x7fffu + (bits >> 16 & 1)) & 0xffff0000u);
}

struct Rows {
  std::vector<uint16_t> bf16;  // as a kernel takes them; what a tile reads too many is NaN
  std::vector<double> values;  // (n_rows, n_in)
};

Rows make_rows(const PrefillProducts& products, uint32_t n_rows, uint32_t n_in, const std::vector<float>& x) {
  Rows rows;
  const size_t stride = bf16_stride(n_in);
  rows.bf16.assign((size_t{n_rows} + kPrefillRowUnit) * stride, 0x7fc0);
  for (uint32_t r = 0; r < n_rows; ++r)
    products.narrow(x.data() + size_t{r} * n_in, n_in, rows.bf16.data() + r * stride);
  for (float value : x) rows.values.push_back(rounded_to_bf16(value));
  return rows;
}

class Multiplication {
 public:
  explicit Multiplication(const PrefillProducts& products) : products_(products), panel_(kPanelBf16 + 32) {}
  void operator()(const LinearTask& task) {
    void* at = panel_.data();
    size_t bytes = panel_.size() * sizeof(uint16_t);
    products_.linear(task, static_cast<uint16_t*>(std::align(64, size_t{kPanelBf16} * 2, at, bytes)));
  }
  std::vector<float> whole(const PackedMatrix& weight, const Rows& rows, uint32_t first, uint32_t n_rows) {
    std::vector<float> out(size_t{n_rows} * weight.n_out);
    (*this)({.weight = &weight,
             .group_begin = 0,
             .group_end = weight.n_groups(),
             .x = rows.bf16.data() + size_t{first} * bf16_stride(weight.n_in),
             .n_rows = n_rows,
             .accumulate = false,
             .out = out.data(),
             .out_stride = weight.n_out,
             .bias = nullptr});
    return out;
  }

 private:
  const PrefillProducts& products_;
  std::vector<uint16_t> panel_;
};

// The largest |out - rows * weight^T| in units of the sum of magnitudes; the weight as f32 rounded to bf16.
double worst_error(const Source& source, const Rows& rows, const std::vector<float>& out, uint32_t n_rows) {
  std::vector<double> weight;
  for (double value : source.values) weight.push_back(rounded_to_bf16(static_cast<float>(value)));
  double worst = 0;
  for (uint32_t r = 0; r < n_rows; ++r) {
    for (uint32_t n = 0; n < source.n_out; ++n) {
      double sum = 0;
      double magnitude = 1e-30;
      for (uint32_t k = 0; k < source.n_in; ++k) {
        const double product = rows.values[size_t{r} * source.n_in + k] * weight[size_t{n} * source.n_in + k];
        sum += product;
        magnitude += std::abs(product);
      }
      const double error = std::abs(out[size_t{r} * source.n_out + n] - sum) / magnitude;
      if (!(error <= worst)) worst = error;
    }
  }
  return worst;
}

}  // namespace

TEST_CASE("prefill products - equal the double-precision product of the rounded operands") {
  std::mt19937 random(1);
  for (const PrefillProducts* products : usable_prefill_products()) {
    Multiplication multiply(*products);
    for (uint32_t dtype : kDtypes) {
      REQUIRE(products->takes(dtype));
      for (Shape shape : kShapes) {
        const uint32_t block = block_format(dtype).k;  // a K-quant's rows are whole superblocks
        shape.n_in = (shape.n_in + block - 1) / block * block;
        CAPTURE(std::string(products->name));
        CAPTURE(std::string(dtype_name(dtype)));
        CAPTURE(shape.n_rows);
        CAPTURE(shape.n_out);
        CAPTURE(shape.n_in);
        const Source source = make_source(dtype, shape.n_out, shape.n_in, random);
        const Packed packed(source);
        const Rows rows =
            make_rows(*products, shape.n_rows, shape.n_in, normal_rows(shape.n_rows, shape.n_in, 7));
        const std::vector<float> out = multiply.whole(packed.matrix(), rows, 0, shape.n_rows);
        CHECK(worst_error(source, rows, out, shape.n_rows) < 1e-6);
      }
    }
  }
}

TEST_CASE("prefill products - take no plain weights") {
  for (const PrefillProducts* products : usable_prefill_products())
    for (uint32_t dtype : {TENURE_F32, TENURE_F16, TENURE_BF16}) CHECK_FALSE(products->takes(dtype));
}

TEST_CASE("prefill products - a row's bits do not depend on the number of rows or its place among them") {
  std::mt19937 random(2);
  constexpr uint32_t n_rows = 67, n_out = 90, n_in = 2112;
  for (const PrefillProducts* products : usable_prefill_products()) {
    CAPTURE(std::string(products->name));
    Multiplication multiply(*products);
    const Packed packed(make_source(TENURE_Q4_1, n_out, n_in, random));
    const Rows rows = make_rows(*products, n_rows, n_in, normal_rows(n_rows, n_in, 3));
    const std::vector<float> all = multiply.whole(packed.matrix(), rows, 0, n_rows);
    for (uint32_t first : {0u, 1u, 15u, 31u, 40u, 66u}) {
      for (uint32_t n : {1u, 16u, 17u, 26u}) {
        if (first + n > n_rows) continue;
        const std::vector<float> part = multiply.whole(packed.matrix(), rows, first, n);
        CHECK(std::equal(part.begin(), part.end(), all.begin() + size_t{first} * n_out));
      }
    }
  }
}

TEST_CASE("prefill products - a split over groups gives the bits of the whole and writes nothing else") {
  std::mt19937 random(3);
  constexpr uint32_t n_rows = 21, n_out = 300, n_in = 96, stride = n_out + 3;
  for (const PrefillProducts* products : usable_prefill_products()) {
    CAPTURE(std::string(products->name));
    Multiplication multiply(*products);
    const Packed packed(make_source(TENURE_Q8_0, n_out, n_in, random));
    const PackedMatrix& weight = packed.matrix();
    const Rows rows = make_rows(*products, n_rows, n_in, normal_rows(n_rows, n_in, 4));
    const std::vector<float> whole = multiply.whole(weight, rows, 0, n_rows);
    std::vector<float> split(size_t{n_rows} * stride, -777.0f);
    for (uint32_t begin = 0, size = 1; begin < weight.n_groups(); begin += size, size = size % 6 + 1) {
      multiply({.weight = &weight,
                .group_begin = begin,
                .group_end = std::min(begin + size, weight.n_groups()),
                .x = rows.bf16.data(),
                .n_rows = n_rows,
                .accumulate = false,
                .out = split.data() + begin * kGroupRows,
                .out_stride = stride,
                .bias = nullptr});
    }
    for (uint32_t r = 0; r < n_rows; ++r) {
      CHECK(
          std::equal(whole.begin() + r * n_out, whole.begin() + (r + 1) * n_out, split.begin() + r * stride));
      CHECK(std::count(split.begin() + r * stride + n_out, split.begin() + (r + 1) * stride, -777.0f) == 3);
    }
  }
}

TEST_CASE("prefill products - bias and accumulation are added once, whatever the number of pieces") {
  std::mt19937 random(4);
  constexpr uint32_t n_rows = 18, n_out = 41;
  for (const PrefillProducts* products : usable_prefill_products()) {
    Multiplication multiply(*products);
    for (uint32_t n_in : {64u, 2080u}) {
      CAPTURE(std::string(products->name));
      CAPTURE(n_in);
      const Packed packed(make_source(TENURE_Q8_0, n_out, n_in, random));
      const Rows rows = make_rows(*products, n_rows, n_in, normal_rows(n_rows, n_in, 5));
      const std::vector<float> product = multiply.whole(packed.matrix(), rows, 0, n_rows);
      std::vector<float> bias(n_out), out(n_rows * n_out);
      for (uint32_t n = 0; n < n_out; ++n) bias[n] = static_cast<float>(n) - 7.5f;
      for (uint32_t i = 0; i < out.size(); ++i) out[i] = 0.25f * static_cast<float>(i);
      multiply({.weight = &packed.matrix(),
                .group_begin = 0,
                .group_end = packed.matrix().n_groups(),
                .x = rows.bf16.data(),
                .n_rows = n_rows,
                .accumulate = true,
                .out = out.data(),
                .out_stride = n_out,
                .bias = bias.data()});
      for (uint32_t i = 0; i < out.size(); ++i) {
        const double expected = static_cast<double>(product[i]) + bias[i % n_out] + 0.25 * i;
        CHECK(out[i] == doctest::Approx(expected).epsilon(1e-5));
      }
    }
  }
}

TEST_CASE("prefill products - a row that is not finite poisons itself and no neighbour") {
  std::mt19937 random(5);
  constexpr uint32_t n_rows = 4, n_out = 32, n_in = 64;
  for (const PrefillProducts* products : usable_prefill_products()) {
    for (const float bad : {std::nanf(""), -INFINITY}) {
      CAPTURE(std::string(products->name));
      Multiplication multiply(*products);
      const Packed packed(make_source(TENURE_Q4_0, n_out, n_in, random));
      std::vector<float> x = normal_rows(n_rows, n_in, 6);
      const std::vector<float> before =
          multiply.whole(packed.matrix(), make_rows(*products, n_rows, n_in, x), 0, n_rows);
      x[n_in + 40] = bad;
      const std::vector<float> after =
          multiply.whole(packed.matrix(), make_rows(*products, n_rows, n_in, x), 0, n_rows);
      for (uint32_t i = 0; i < before.size(); ++i) {
        if (i / n_out == 1) {
          CHECK(!std::isfinite(after[i]));
        } else {
          CHECK(after[i] == before[i]);
        }
      }
    }
  }
}

TEST_CASE("prefill products - the hardware's tiles give the bits of the emulated ones") {
  if (!choose_prefill_products("amx") || !can_emulate_tiles()) return;
  std::mt19937 random(8);
  Multiplication hardware(kAmxProducts), emulated(kEmulatedProducts);
  for (const Shape& shape : kShapes) {
    const Packed packed(make_source(TENURE_Q4_1, shape.n_out, shape.n_in, random));
    const Rows rows =
        make_rows(kAmxProducts, shape.n_rows, shape.n_in, normal_rows(shape.n_rows, shape.n_in, 9));
    CHECK(hardware.whole(packed.matrix(), rows, 0, shape.n_rows) ==
          emulated.whole(packed.matrix(), rows, 0, shape.n_rows));
  }
}

TEST_CASE("choose_prefill_products - belong to the family amx alone") {
  for (const char* family : {"scalar", "avx2", "avx512", "sse9"})
    CHECK(choose_prefill_products(family) == nullptr);
  CHECK(choose_prefill_products("") == choose_prefill_products("amx"));
  CHECK((choose_kernels("amx") != nullptr) == (choose_prefill_products("amx") != nullptr));
}

}  // namespace tenure::cpu::test
