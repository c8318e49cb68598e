#include "weights/gguf.h"

#include <doctest/doctest.h>
#include <unistd.h>

#include <cstdio>
#include <cstdlib>
#include <fstream>
#include <functional>
#include <string>
#include <vector>

#include "error/error.h"
#include "unit/weights/gguf_bytes.h"
#include "weights/ggml_type.h"

namespace tenure {
namespace {

using test::GgufBytes;

// One value of each type, nested arrays, and two tensors.
GgufBytes specimen(uint32_t version) {
  using T = GgufType;
  GgufBytes out;
  out.header(2, 16, version);
  out.key("u8", T::u8)
      .u8(200)
      .key("i8", T::i8)
      .number(int8_t{-3})
      .key("u16", T::u16)
      .number(uint16_t{40'000});
  out.key("i16", T::i16)
      .number(int16_t{-4})
      .key("u32", T::u32)
      .u32(4'000'000'000)
      .key("i32", T::i32)
      .number(int32_t{7});
  out.key("f32", T::f32).f32(0.5f).key("yes", T::boolean).u8(1).key("text", T::string).string("a\nb");
  out.key("u64", T::u64)
      .u64(1ull << 40)
      .key("i64", T::i64)
      .number(int64_t{-5})
      .key("f64", T::f64)
      .number(0.1);
  out.key("numbers", T::array).type(T::i16).u64(3).number(int16_t{1}).number(int16_t{2}).number(int16_t{3});
  out.key("texts", T::array).type(T::string).u64(3).string("x").string("").string("yz");
  out.key("none", T::array).type(T::string).u64(0);
  out.key("nested", T::array)
      .type(T::array)
      .u64(2)
      .type(T::u8)
      .u64(1)
      .u8(9)
      .type(T::string)
      .u64(1)
      .string("q");
  out.tensor("plain", {4, 2}, 0, 0).tensor("strange", {256}, 10, 32).pad();
  for (int i = 0; i < 8; ++i) out.f32(static_cast<float>(i));
  return out.zeros(84);
}

std::string refusal(const std::function<void()>& act, Code code) {
  try {
    act();
  } catch (const Error& error) {
    CHECK(error.code() == code);
    return error.diagnostics().front().text;
  }
  return "nothing was thrown";
}

// A file in a place of its own, gone at the end of the test.
class TemporaryFile {
 public:
  explicit TemporaryFile(std::span<const std::byte> bytes) {
    const int file = ::mkstemp(path_.data());
    REQUIRE(file >= 0);
    REQUIRE(::write(file, bytes.data(), bytes.size()) == static_cast<ssize_t>(bytes.size()));
    ::close(file);
  }
  TemporaryFile(const TemporaryFile&) = delete;
  TemporaryFile& operator=(const TemporaryFile&) = delete;
  ~TemporaryFile() { std::remove(path_.c_str()); }
  const std::string& path() const { return path_; }

 private:
  std::string path_ = "/tmp/tenure_gguf_XXXXXX";
};

TEST_CASE("GGUF - versions 2 and 3 give every value with its type") {
  for (const uint32_t version : {2u, 3u}) {
    const GgufBytes bytes = specimen(version);
    const GgufFile file = GgufFile::parse(bytes.bytes(), "specimen");
    CHECK(file.version() == version);
    CHECK(file.find_uint("u8") == 200);
    CHECK(file.find_uint("u16") == 40'000);
    CHECK(file.find_uint("u32") == 4'000'000'000);
    CHECK(file.find_uint("i32") == 7);
    CHECK(file.find_uint("u64") == 1ull << 40);
    CHECK(file.find_float("f32") == 0.5);
    CHECK(file.find_float("f64") == 0.1);
    CHECK(file.find_bool("yes") == true);
    CHECK(file.find_string("text") == "a\nb");
    CHECK(file.find_uints("numbers") == std::vector<uint64_t>{1, 2, 3});
    CHECK(file.find_strings("texts") == std::vector<std::string_view>{"x", "", "yz"});
    CHECK(file.find_strings("none")->empty());
    CHECK(file.values().size() == 16);
    CHECK(file.values()[0].key == "u8");
  }
}

TEST_CASE("GGUF - an absent key is empty, or an error where it is required") {
  const GgufBytes bytes = specimen(3);
  const GgufFile file = GgufFile::parse(bytes.bytes(), "specimen");
  CHECK_FALSE(file.find_uint("absent"));
  CHECK_FALSE(file.find_strings("absent"));
  CHECK(file.require_uint("u8") == 200);
  CHECK(refusal([&] { file.require_uint("absent"); }, Code::model_malformed) ==
        "key \"absent\" is absent; this architecture needs it");
  CHECK_THROWS_AS(file.require_string("absent"), Error);
  CHECK_THROWS_AS(file.require_float("absent"), Error);
}

TEST_CASE("GGUF - a key of another type is refused, not converted") {
  const GgufBytes bytes = specimen(3);
  const GgufFile file = GgufFile::parse(bytes.bytes(), "specimen");
  CHECK(refusal([&] { file.find_uint("text"); }, Code::model_malformed) ==
        "key \"text\" has type string; an integer is expected");
  CHECK(refusal([&] { file.find_strings("numbers"); }, Code::model_malformed) ==
        "key \"numbers\" has type array of i16; an array of strings is expected");
  CHECK(refusal([&] { file.find_uint("i64"); }, Code::model_malformed) ==
        "key \"i64\" is -5; it cannot be negative");
  CHECK_THROWS_AS(file.find_uint("i8"), Error);
  CHECK_THROWS_AS(file.find_uint("i16"), Error);
  CHECK_THROWS_AS(file.find_uint("f32"), Error);
  CHECK_THROWS_AS(file.find_uint("yes"), Error);
  CHECK_THROWS_AS(file.find_uint("numbers"), Error);
  CHECK_THROWS_AS(file.find_float("u32"), Error);
  CHECK_THROWS_AS(file.find_bool("u8"), Error);
  CHECK_THROWS_AS(file.find_string("texts"), Error);
  CHECK_THROWS_AS(file.find_uints("texts"), Error);
  CHECK_THROWS_AS(file.find_uints("u8"), Error);
  CHECK_THROWS_AS(file.find_strings("nested"), Error);
}

TEST_CASE("GGUF - previews are one printable line") {
  const GgufBytes bytes = specimen(3);
  const GgufFile file = GgufFile::parse(bytes.bytes(), "specimen");
  CHECK(preview(*file.find_value("i8")) == "-3");
  CHECK(preview(*file.find_value("i64")) == "-5");
  CHECK(preview(*file.find_value("f32")) == "0.5");
  CHECK(preview(*file.find_value("yes")) == "true");
  CHECK(preview(*file.find_value("text")) == "a\\x0ab");
  CHECK(preview(*file.find_value("numbers")) == "[3 x i16] 1, 2, 3");
  CHECK(preview(*file.find_value("texts")) == "[3 x string] x, , yz");
  CHECK(preview(*file.find_value("nested")) == "[2 x array]");
}

TEST_CASE("GGUF - tensors keep shape, place and bytes") {
  const GgufBytes bytes = specimen(3);
  const GgufFile file = GgufFile::parse(bytes.bytes(), "specimen");
  const TensorView* plain = file.find("plain");
  REQUIRE(plain);
  CHECK(plain->dtype == Dtype::f32);
  CHECK(plain->n_dims == 2);
  CHECK(plain->shape == std::array<uint64_t, 4>{4, 2, 1, 1});
  CHECK(plain->bytes.size() == 32);
  CHECK(load<float>(plain->bytes, 28) == 7.0f);
  CHECK(file.tensors()[0].offset % 32 == 0);
  CHECK(file.bytes().data() + file.tensors()[0].offset == plain->bytes.data());
  CHECK(file.find("absent") == nullptr);
}

TEST_CASE("GGUF - a type that is not run is listed, and refused where it is used") {
  const GgufBytes bytes = specimen(3);
  const GgufFile file = GgufFile::parse(bytes.bytes(), "specimen");
  const GgufTensor& strange = file.tensors()[1];
  CHECK(strange.name == "strange");
  CHECK_FALSE(strange.runnable);
  CHECK(ggml_type_name(strange.ggml_type) == "Q2_K");
  CHECK(strange.view.bytes.size() == 84);
  CHECK(refusal([&] { file.find("strange"); }, Code::model_unsupported) ==
        "tensor \"strange\" has type Q2_K; supported are F32, F16, Q4_0, Q4_1, Q5_0, Q5_1, Q8_0, Q4_K, Q5_K, "
        "Q6_K, "
        "BF16");

  const GgufBytes newer = GgufBytes().header(1, 0).tensor("new", {3}, 99, 0).pad();
  CHECK(refusal([&] { GgufFile::parse(newer.bytes(), "newer").find("new"); }, Code::model_unsupported) ==
        "tensor \"new\" has type type 99; supported are F32, F16, Q4_0, Q4_1, Q5_0, Q5_1, Q8_0, Q4_K, Q5_K, "
        "Q6_K, "
        "BF16");
}

TEST_CASE("GGUF - a file of metadata alone opens") {
  const GgufBytes bytes = GgufBytes().header(0, 1).key("k", GgufType::u8).u8(1);
  const GgufFile file = GgufFile::parse(bytes.bytes(), "vocabulary");
  CHECK(file.tensors().empty());
  CHECK(file.find_uint("k") == 1);
}

TEST_CASE("GGUF - an alignment of its own moves the data") {
  const GgufBytes bytes = GgufBytes()
                              .header(1, 1)
                              .key("general.alignment", GgufType::u32)
                              .u32(256)
                              .tensor("t", {1}, 0, 256)
                              .pad(256)
                              .zeros(256)
                              .f32(2.5f);
  const GgufFile file = GgufFile::parse(bytes.bytes(), "aligned");
  CHECK(file.tensors()[0].offset == 512);
  CHECK(load<float>(file.find("t")->bytes, 0) == 2.5f);
}

TEST_CASE("GGUF file - views outlive a move of their file") {
  const TemporaryFile place(specimen(3).bytes());
  GgufFile first = GgufFile::open(place.path());
  const TensorView* plain = first.find("plain");
  const GgufFile second = std::move(first);
  CHECK(second.find("plain") == plain);
  CHECK(load<float>(plain->bytes, 4) == 1.0f);
  CHECK(second.name() == place.path());
}

TEST_CASE("GGUF file - what cannot be opened says why") {
  CHECK(refusal([] { GgufFile::open("/nonexistent/m.gguf"); }, Code::model_missing) ==
        "cannot open the model file: No such file or directory");
  CHECK(refusal([] { GgufFile::open("tests/data"); }, Code::model_unsupported).find("not a regular file") !=
        std::string::npos);
  const TemporaryFile empty({});
  CHECK(refusal([&] { GgufFile::open(empty.path()); }, Code::model_malformed).find("magic") !=
        std::string::npos);
}

TEST_CASE("GGUF file - dropped pages leave memory and come back unchanged") {
  const size_t page = static_cast<size_t>(::sysconf(_SC_PAGESIZE));
  GgufBytes bytes;
  bytes.header(1, 0).tensor("t", {16 * page / 4}, 0, 0).pad();
  for (size_t i = 0; i < 16 * page / 4; ++i) bytes.f32(static_cast<float>(i));
  const TemporaryFile place(bytes.bytes());
  const GgufFile file = GgufFile::open(place.path());
  const auto part = file.find("t")->bytes;
  volatile std::byte sink{};
  for (size_t i = 0; i < part.size(); i += page) sink = part[i];
  CHECK(sink == part[15 * page]);

  const auto resident_kib = [] {
    std::ifstream smaps("/proc/self/smaps");
    std::string line, found;
    while (std::getline(smaps, line)) {
      if (line.find("tenure_gguf_") != std::string::npos) found = "here";
      if (found == "here" && line.rfind("Rss:", 0) == 0) return std::stoul(line.substr(4));
    }
    return 0ul;
  };
  CHECK(resident_kib() >= 16 * page / 1024);
  file.drop(part);
  CHECK(resident_kib() <= 2 * page / 1024);
  CHECK(load<float>(part, part.size() - 4) == static_cast<float>(16 * page / 4 - 1));
  CHECK(load<float>(part, 0) == 0.0f);
  const std::vector<std::byte> elsewhere(page);
  file.drop(elsewhere);  // not of this file: left alone
  CHECK(elsewhere[0] == std::byte{0});
}

}  // namespace
}  // namespace tenure
