#include <doctest/doctest.h>

#include <algorithm>
#include <cmath>
#include <fstream>
#include <nlohmann/json.hpp>
#include <string>

#include "kernels.h"
#include "quantised_source.h"
#include "small_model.h"

namespace tenure::cpu::test {
namespace {

// Rows as a kernel takes them for weights of `dtype`, and what those rows are in double precision.
struct Rows {
  std::vector<float> plain;             // (n_rows, n_in)
  std::vector<ActivationBlock> blocks;  // (n_rows, n_in / 32)
  std::vector<double> values;           // (n_rows, n_in)
  const void* row(uint32_t r, uint32_t n_in) const {
    if (blocks.empty()) return plain.data() + size_t{r} * n_in;
    return blocks.data() + size_t{r} * (n_in / kBlock);
  }
};

Rows make_rows(const Kernels& kernels, uint32_t dtype, uint32_t n_rows, uint32_t n_in, std::mt19937& random) {
  Rows rows;
  std::normal_distribution<float> normal(0, 1);
  for (uint32_t i = 0; i < n_rows * n_in; ++i) rows.plain.push_back(normal(random));
  rows.values.assign(rows.plain.begin(), rows.plain.end());
  if (!is_quantised(dtype)) return rows;
  rows.blocks.resize(size_t{n_rows} * n_in / kBlock);
  for (uint32_t r = 0; r < n_rows; ++r) {
    kernels.quantise(rows.plain.data() + size_t{r} * n_in, n_in,
                     rows.blocks.data() + size_t{r} * n_in / kBlock);
  }
  for (size_t i = 0; i < rows.values.size(); ++i) {
    const ActivationBlock& block = rows.blocks[i / kBlock];
    rows.values[i] = static_cast<double>(block.scale) * block.q[i % kBlock];
  }
  return rows;
}

std::vector<float> multiply(const Kernels& kernels, const PackedMatrix& weight, const Rows& rows,
                            uint32_t n_rows) {
  std::vector<float> out(size_t{n_rows} * weight.n_out);
  kernels.linear({.weight = &weight,
                  .group_begin = 0,
                  .group_end = weight.n_groups(),
                  .x = rows.row(0, weight.n_in),
                  .n_rows = n_rows,
                  .accumulate = false,
                  .out = out.data(),
                  .out_stride = weight.n_out,
                  .bias = nullptr});
  return out;
}

struct Shape {
  uint32_t n_rows, n_out, n_in;
};
constexpr Shape kShapes[] = {{1, 1, 32},    {1, 96, 576},  {2, 64, 64},  {3, 17, 96},
                             {4, 130, 160}, {5, 33, 32},   {6, 48, 64},  {7, 79, 192},
                             {8, 200, 32},  {13, 65, 128}, {16, 31, 96}, {70, 45, 64}};

}  // namespace

TEST_CASE("linear - equals the double-precision product for every type, shape and instruction set") {
  std::mt19937 random(1);
  for (const Kernels* kernels : usable_kernels()) {
    for (uint32_t dtype : kAllDtypes) {
      for (Shape shape : kShapes) {
        shape.n_in = whole_blocks(dtype, shape.n_in);
        CAPTURE(std::string(kernels->name));
        CAPTURE(std::string(dtype_name(dtype)));
        CAPTURE(shape.n_rows);
        CAPTURE(shape.n_out);
        const Source source = make_source(dtype, shape.n_out, shape.n_in, random);
        const Packed packed(source);
        const Rows rows = make_rows(*kernels, dtype, shape.n_rows, shape.n_in, random);
        const std::vector<float> out = multiply(*kernels, packed.matrix(), rows, shape.n_rows);
        double worst = 0;
        for (uint32_t r = 0; r < shape.n_rows; ++r) {
          for (uint32_t n = 0; n < shape.n_out; ++n) {
            double sum = 0;
            double magnitude = 0;
            for (uint32_t k = 0; k < shape.n_in; ++k) {
              const double product =
                  rows.values[size_t{r} * shape.n_in + k] * source.values[size_t{n} * shape.n_in + k];
              sum += product;
              magnitude += std::abs(product);
            }
            worst = std::max(worst, std::abs(out[size_t{r} * shape.n_out + n] - sum) / magnitude);
          }
        }
        CHECK(worst < 1e-6);
      }
    }
  }
}

TEST_CASE("linear - a row's bits do not depend on the number of rows or its place among them") {
  std::mt19937 random(2);
  constexpr uint32_t n_rows = 23, n_out = 150;
  for (const Kernels* kernels : usable_kernels()) {
    for (uint32_t dtype : kAllDtypes) {
      const uint32_t n_in = whole_blocks(dtype, 288);
      CAPTURE(std::string(kernels->name));
      CAPTURE(std::string(dtype_name(dtype)));
      const Packed packed(make_source(dtype, n_out, n_in, random));
      const Rows rows = make_rows(*kernels, dtype, n_rows, n_in, random);
      const std::vector<float> all = multiply(*kernels, packed.matrix(), rows, n_rows);
      for (uint32_t first = 0; first < n_rows; ++first) {
        for (uint32_t n : {1u, 2u, 3u, 4u, 5u, 6u, 7u, 11u, 16u}) {
          if (first + n > n_rows) continue;
          std::vector<float> part(size_t{n} * n_out);
          kernels->linear({.weight = &packed.matrix(),
                           .group_begin = 0,
                           .group_end = packed.matrix().n_groups(),
                           .x = rows.row(first, n_in),
                           .n_rows = n,
                           .accumulate = false,
                           .out = part.data(),
                           .out_stride = n_out,
                           .bias = nullptr});
          CHECK(std::equal(part.begin(), part.end(), all.begin() + size_t{first} * n_out));
        }
      }
    }
  }
}

TEST_CASE("linear - a split over groups gives the bits of the whole and writes nothing else") {
  std::mt19937 random(3);
  constexpr uint32_t n_out = 300;
  for (const Kernels* kernels : usable_kernels()) {
    for (uint32_t dtype : kAllDtypes) {
      const uint32_t n_in = whole_blocks(dtype, 96);
      for (uint32_t n_rows : {1u, 2u, 9u}) {
        CAPTURE(std::string(kernels->name));
        CAPTURE(std::string(dtype_name(dtype)));
        const Packed packed(make_source(dtype, n_out, n_in, random));
        const PackedMatrix& weight = packed.matrix();
        const Rows rows = make_rows(*kernels, dtype, n_rows, n_in, random);
        const std::vector<float> whole = multiply(*kernels, weight, rows, n_rows);
        constexpr uint32_t stride = n_out + 3;
        std::vector<float> split(size_t{n_rows} * stride, -777.0f);
        for (uint32_t begin = 0, size = 1; begin < weight.n_groups(); begin += size, size = size % 6 + 1) {
          kernels->linear({.weight = &weight,
                           .group_begin = begin,
                           .group_end = std::min(begin + size, weight.n_groups()),
                           .x = rows.row(0, n_in),
                           .n_rows = n_rows,
                           .accumulate = false,
                           .out = split.data() + begin * kGroupRows,
                           .out_stride = stride,
                           .bias = nullptr});
        }
        for (uint32_t r = 0; r < n_rows; ++r) {
          CHECK(std::equal(whole.begin() + r * n_out, whole.begin() + (r + 1) * n_out,
                           split.begin() + r * stride));
          CHECK(std::count(split.begin() + r * stride + n_out, split.begin() + (r + 1) * stride, -777.0f) ==
                3);
        }
      }
    }
  }
}

TEST_CASE("linear - bias and accumulation are added after the sum") {
  std::mt19937 random(4);
  constexpr uint32_t n_rows = 3, n_out = 41, n_in = 64;
  for (const Kernels* kernels : usable_kernels()) {
    CAPTURE(std::string(kernels->name));
    const Packed packed(make_source(TENURE_Q8_0, n_out, n_in, random));
    const Rows rows = make_rows(*kernels, TENURE_Q8_0, n_rows, n_in, random);
    const std::vector<float> product = multiply(*kernels, packed.matrix(), rows, n_rows);
    std::vector<float> bias(n_out), out(n_rows * n_out);
    for (uint32_t n = 0; n < n_out; ++n) bias[n] = static_cast<float>(n) - 7.5f;
    for (uint32_t i = 0; i < out.size(); ++i) out[i] = 0.25f * static_cast<float>(i);
    kernels->linear({.weight = &packed.matrix(),
                     .group_begin = 0,
                     .group_end = packed.matrix().n_groups(),
                     .x = rows.row(0, n_in),
                     .n_rows = n_rows,
                     .accumulate = true,
                     .out = out.data(),
                     .out_stride = n_out,
                     .bias = bias.data()});
    for (uint32_t i = 0; i < out.size(); ++i) {
      CHECK(out[i] == product[i] + bias[i % n_out] + 0.25f * static_cast<float>(i));
    }
  }
}

TEST_CASE("linear - a row that is not finite poisons itself and no neighbour") {
  std::mt19937 random(5);
  constexpr uint32_t n_rows = 4, n_out = 32;
  for (const Kernels* kernels : usable_kernels()) {
    for (uint32_t dtype : kAllDtypes) {
      const uint32_t n_in = whole_blocks(dtype, 64);
      for (const float bad : {std::nanf(""), -INFINITY}) {
        CAPTURE(std::string(kernels->name));
        CAPTURE(std::string(dtype_name(dtype)));
        const Packed packed(make_source(dtype, n_out, n_in, random));
        Rows rows = make_rows(*kernels, dtype, n_rows, n_in, random);
        const std::vector<float> before = multiply(*kernels, packed.matrix(), rows, n_rows);
        rows.plain[n_in + 40] = bad;
        if (is_quantised(dtype))
          kernels->quantise(rows.plain.data() + n_in, n_in, rows.blocks.data() + n_in / kBlock);
        const std::vector<float> after = multiply(*kernels, packed.matrix(), rows, n_rows);
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
}

TEST_CASE("packed matrix - a row unpacks to the values of its source") {
  std::mt19937 random(6);
  for (uint32_t dtype : kAllDtypes) {
    CAPTURE(std::string(dtype_name(dtype)));
    const Source source = make_source(dtype, 83, whole_blocks(dtype, 288), random);
    const Packed packed(source);
    std::vector<float> row(source.n_in);
    for (uint32_t n = 0; n < source.n_out; ++n) {
      unpack_row(packed.matrix(), n, row.data());
      for (uint32_t k = 0; k < source.n_in; ++k) {
        CHECK(row[k] == doctest::Approx(source.values[size_t{n} * source.n_in + k]).epsilon(1e-6));
      }
    }
  }
}

TEST_CASE("packed matrix - odd blocks unpack to the values that numpy gives them") {
  const nlohmann::json golden = nlohmann::json::parse(std::ifstream("tests/data/block_formats.json"));
  for (uint32_t dtype : kAllDtypes) {
    CAPTURE(std::string(dtype_name(dtype)));
    const nlohmann::json& blocks = golden.at(dtype_name(dtype));
    const std::string hex = blocks.at("hex");
    const std::vector<double> values = blocks.at("values");
    Source source{.dtype = dtype, .n_out = 3, .n_in = static_cast<uint32_t>(values.size() / 3)};
    for (size_t i = 0; i < hex.size(); i += 2) {
      source.bytes.push_back(static_cast<uint8_t>(std::stoi(hex.substr(i, 2), nullptr, 16)));
    }
    REQUIRE(source.bytes.size() == source.n_out * source_row_bytes(dtype, source.n_in));
    const Packed packed(source);
    std::vector<float> row(source.n_in);
    for (uint32_t n = 0; n < source.n_out; ++n) {
      unpack_row(packed.matrix(), n, row.data());
      for (uint32_t k = 0; k < source.n_in; ++k) CHECK(row[k] == values[size_t{n} * source.n_in + k]);
    }
  }
}

TEST_CASE("choose_kernels - obeys a forced name and refuses an unknown one") {
  REQUIRE(choose_kernels("scalar") != nullptr);
  CHECK(std::string(choose_kernels("scalar")->name) == "scalar");
  CHECK(choose_kernels("sse9") == nullptr);
  CHECK(choose_kernels(nullptr) == choose_kernels(""));
}

}  // namespace tenure::cpu::test
