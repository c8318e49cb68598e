#include "weights/safetensors_writer.h"

#include <doctest/doctest.h>

#include <cstring>
#include <limits>

#include "error/error.h"
#include "tensor/dtype.h"
#include "weights/safetensors.h"

using namespace tenure;

TEST_CASE("safetensors writer - what is written is read, with its metadata, as f16") {
  const std::vector<float> a = {1, -2.5f, 0, 65504, 1e-7f, 3}, b = {0.1f};
  const std::vector<std::pair<std::string, std::string>> metadata = {{"format", "x"}, {"model", "a \"quoted\" näme\n"}};
  const std::string bytes = safetensors_f16({{"layers.0.w1", {2, 3}, a}, {"layers.0.b", {1}, b}}, metadata);
  std::vector<uint64_t> aligned(bytes.size() / 8 + 1);
  std::memcpy(aligned.data(), bytes.data(), bytes.size());
  const SafetensorsFile file = SafetensorsFile::parse(std::as_bytes(std::span(aligned)).first(bytes.size()), "f");
  CHECK(std::vector(file.metadata().begin(), file.metadata().end()) == metadata);
  REQUIRE(file.tensors().size() == 2);
  CHECK(file.tensors()[0].name == "layers.0.w1");
  CHECK(file.tensors()[0].shape == std::vector<uint64_t>{2, 3});
  const TensorView& view = file.view_of(file.tensors()[0]);
  CHECK(view.dtype == Dtype::f16);
  for (size_t i = 0; i < a.size(); ++i) {
    uint16_t half;
    std::memcpy(&half, view.bytes.data() + 2 * i, sizeof half);
    CHECK(half == f32_to_f16(a[i]));
  }
  CHECK(file.tensors()[1].shape == std::vector<uint64_t>{1});
}

TEST_CASE("safetensors writer - a value that f16 does not hold is refused with its tensor's name") {
  for (const float value : {65536.0f, -1e9f, std::numeric_limits<float>::infinity(), std::numeric_limits<float>::quiet_NaN()}) {
    const std::vector<float> values = {1, value};
    try {
      static_cast<void>(safetensors_f16({{"layers.3.w2", {2}, values}}, {}));
      FAIL("written");
    } catch (const Error& error) {
      CHECK(std::string(error.what()).find("layers.3.w2") != std::string::npos);
    }
  }
}
