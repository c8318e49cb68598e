// The parser against files that mean harm, one row per rule, and against files as they should be.
#include <doctest/doctest.h>

#include <unistd.h>

#include <filesystem>
#include <fstream>
#include <string>
#include <vector>

#include "error/error.h"
#include "unit/weights/safetensors_bytes.h"
#include "weights/safetensors_folder.h"

namespace tenure {
namespace {

using test::safetensors_bytes;

struct Case {
  std::string name;
  const char* says;  // part of the message
  std::vector<std::byte> bytes;
};

std::string entry(const char* name, const char* dtype, const char* shape, const char* offsets) {
  return std::string("\"") + name + "\":{\"dtype\":\"" + dtype + "\",\"shape\":" + shape +
         ",\"data_offsets\":" + offsets + "}";
}
std::vector<std::byte> one(const char* dtype, const char* shape, const char* offsets, size_t n_data) {
  return safetensors_bytes("{" + entry("t", dtype, shape, offsets) + "}", n_data);
}
std::vector<std::byte> two(const char* first, const char* second, size_t n_data) {
  return safetensors_bytes(
      "{" + entry("a", "F32", "[2]", first) + "," + entry("b", "F32", "[2]", second) + "}", n_data);
}

// nullptr when absent.
const SafetensorsTensor* find(const SafetensorsFile& file, std::string_view name) {
  for (const SafetensorsTensor& tensor : file.tensors()) {
    if (tensor.name == name) return &tensor;
  }
  return nullptr;
}

TEST_CASE("safetensors - what breaks a rule of the format is refused") {
  const std::string nested(200, '[');
  const Case cases[] = {
      {"empty", "0 bytes", {}},
      {"seven bytes", "7 bytes", std::vector<std::byte>(7)},
      {"header longer than the file", "the header has 3", safetensors_bytes("{}", 0, 3)},
      {"header length of all ones", "18446744073709551615", std::vector<std::byte>(64, std::byte{0xff})},
      {"header above the format's limit", "100000000", safetensors_bytes("{}", 0, 100'000'001)},
      {"no JSON object", "does not begin with", safetensors_bytes("[]", 0)},
      {"a blank before it", "does not begin with", safetensors_bytes(" {}", 0)},
      {"JSON cut", "not JSON at byte", safetensors_bytes("{\"a\":", 0)},
      {"not UTF-8", "not JSON at byte", safetensors_bytes("{\"\xff\":{}}", 0)},
      {"a number beyond any", "too large", safetensors_bytes("{\"a\":1e999}", 0)},
      {"nested without end", "nest more than", safetensors_bytes("{\"a\":" + nested, 0)},
      {"same name twice", "occurs twice",
       safetensors_bytes(
           "{" + entry("a", "F32", "[1]", "[0,4]") + "," + entry("a", "F32", "[1]", "[4,8]") + "}", 8)},
      {"same key twice in an entry", "occurs twice",
       safetensors_bytes("{\"a\":{\"dtype\":\"F32\",\"dtype\":\"F16\",\"shape\":[1],\"data_offsets\":[0,4]}}",
                         4)},
      {"entry is no object", "an object is expected", safetensors_bytes("{\"a\":[1]}", 0)},
      {"entry is null", "absent", safetensors_bytes("{\"a\":null}", 0)},
      {"unknown key in an entry", "has the key \"extra\"",
       safetensors_bytes("{\"a\":{\"dtype\":\"F32\",\"shape\":[1],\"data_offsets\":[0,4],\"extra\":1}}", 4)},
      {"empty name", "name has 0 bytes", safetensors_bytes("{" + entry("", "F32", "[1]", "[0,4]") + "}", 4)},
      {"no dtype", "dtype\" is absent",
       safetensors_bytes("{\"a\":{\"shape\":[1],\"data_offsets\":[0,4]}}", 4)},
      {"no shape", "no array \"shape\"",
       safetensors_bytes("{\"a\":{\"dtype\":\"F32\",\"data_offsets\":[0,4]}}", 4)},
      {"negative dimension", "not of integers", one("F32", "[-1]", "[0,4]", 4)},
      {"fraction as a dimension", "not of integers", one("F32", "[1.5]", "[0,4]", 4)},
      {"dimension beyond 64 bits", "not of integers", one("F32", "[18446744073709551616]", "[0,4]", 4)},
      {"shape overflows", "product of its shape overflows",
       one("F32", "[4294967296,4294967296,4]", "[0,4]", 4)},
      {"bits overflow", "size overflows", one("F32", "[1152921504606846976]", "[0,4]", 4)},
      {"bits wrap to the right size", "size overflows", one("F32", "[576460752303423489]", "[0,4]", 4)},
      {"rank beyond any", "has rank 17", one("F32", "[1,1,1,1,1,1,1,1,1,1,1,1,1,1,1,1,1]", "[0,4]", 4)},
      {"one offset", "has 1 data_offsets", one("F32", "[1]", "[0]", 4)},
      {"offsets backwards", "data_offsets [4, 0]", one("F32", "[1]", "[4,0]", 4)},
      {"offsets past the end", "data_offsets [0, 8]", one("F32", "[2]", "[0,8]", 4)},
      {"offset of all ones", "18446744073709551615", one("F32", "[1]", "[0,18446744073709551615]", 4)},
      {"too few bytes for the shape", "ask for 8", one("F32", "[2]", "[0,4]", 4)},
      {"too many bytes for the shape", "ask for 4", one("F32", "[1]", "[0,8]", 8)},
      {"half a byte", "ask for 0", one("F4", "[1]", "[0,1]", 1)},
      {"overlap", "tensors overlap", two("[0,8]", "[4,12]", 12)},
      {"two tensors on the same bytes", "tensors overlap", two("[0,8]", "[0,8]", 8)},
      {"a hole between", "belong to no tensor", two("[0,8]", "[12,20]", 20)},
      {"a hole at the start", "belong to no tensor", one("F32", "[1]", "[4,8]", 8)},
      {"bytes behind the last", "but the file has", one("F32", "[1]", "[0,4]", 5)},
      {"bytes behind no tensor", "but the file has", safetensors_bytes("{}", 1)},
      {"metadata that is no text", "a string is expected",
       safetensors_bytes("{\"__metadata__\":{\"a\":1}}", 0)},
  };
  for (const Case& c : cases) {
    CAPTURE(c.name);
    try {
      SafetensorsFile::parse(c.bytes, "evil.safetensors");
      FAIL_CHECK("accepted");
    } catch (const Error& error) {
      const Diagnostic& d = error.diagnostics().front();
      CHECK(d.code == Code::model_malformed);
      CHECK(d.where.file == "evil.safetensors");
      CHECK_MESSAGE(d.text.find(c.says) != std::string::npos, d.text);
    }
  }
}

TEST_CASE("safetensors - a whole file gives its tensors, metadata and types that are not run") {
  std::string header =
      "{\"__metadata__\":{\"format\":\"pt\"}," + entry("a.b", "BF16", "[2,3]", "[0,12]") + "," +
      entry("i", "I64", "[1]", "[16,24]") + "," + entry("new", "F5_E9", "[7]", "[12,16]") + "," +
      entry("none", "F16", "[0,4]", "[24,24]") + "," + entry("one", "F32", "[]", "[24,28]") + "}";
  header.resize((header.size() + 7) / 8 * 8, ' ');  // as writers align what follows
  const std::vector<std::byte> bytes = safetensors_bytes(header, 28);
  const SafetensorsFile file = SafetensorsFile::parse(bytes, "good");
  REQUIRE(file.tensors().size() == 5);
  CHECK(file.metadata().front() == std::pair<std::string, std::string>("format", "pt"));
  const SafetensorsTensor* found = find(file, "a.b");
  REQUIRE(found != nullptr);
  const TensorView& view = file.view_of(*found);
  CHECK(view.dtype == Dtype::bf16);
  CHECK(view.n_dims == 2);
  CHECK(view.shape == std::array<uint64_t, 4>{3, 2, 1, 1});
  CHECK(view.bytes.data() == bytes.data() + 8 + header.size());
  for (const auto& [name, says] :
       {std::pair("i", "type I64"), std::pair("new", "type F5_E9"), std::pair("one", "rank 0")}) {
    try {
      file.view_of(*find(file, name));
      FAIL_CHECK("accepted");
    } catch (const Error& error) {
      CHECK(error.code() == Code::model_unsupported);
      CHECK(std::string(error.what()).find(says) != std::string::npos);
    }
  }
}

TEST_CASE("safetensors - data that elements are not aligned in are refused when they are asked for") {
  const std::string header = "{" + entry("t", "F32", "[1]", "[0,4]") + "}";
  for (size_t pad = 0; pad < 4; ++pad) {
    const std::vector<std::byte> bytes = safetensors_bytes(header + std::string(pad, ' '), 4);
    const SafetensorsFile file = SafetensorsFile::parse(bytes, "pad");
    const bool aligned = (8 + header.size() + pad) % 4 == 0;
    CHECK(find(file, "t")->view.has_value() == aligned);
  }
}

TEST_CASE(
    "safetensors - a file cut at any byte, or with any byte changed, is an error or a file, never a crash") {
  const std::vector<std::byte> whole = two("[0,8]", "[8,16]", 16);
  REQUIRE_NOTHROW(SafetensorsFile::parse(whole, "whole"));
  for (size_t n = 0; n < whole.size(); ++n) {
    const std::vector<std::byte> cut(whole.begin(), whole.begin() + static_cast<std::ptrdiff_t>(n));
    CHECK_THROWS_AS(SafetensorsFile::parse(cut, "cut"), Error);
    for (const uint8_t flip : {0x01, 0x80, 0xff}) {
      std::vector<std::byte> bytes = whole;
      bytes[n] ^= std::byte{flip};
      try {
        SafetensorsFile::parse(bytes, "flipped");
      } catch (const Error& error) {
        CHECK(error.exit_code() == exit_data);
      }
    }
  }
}

class Folder {
 public:
  Folder() { std::filesystem::create_directories(path_); }
  ~Folder() { std::filesystem::remove_all(path_); }
  void write(const char* name, const std::vector<std::byte>& bytes) const {
    std::ofstream(path_ / name, std::ios::binary)
        .write(reinterpret_cast<const char*>(bytes.data()), static_cast<std::streamsize>(bytes.size()));
  }
  void write_index(const std::string& weight_map) const {
    std::ofstream(path_ / "model.safetensors.index.json") << "{\"weight_map\":" << weight_map << "}";
  }
  std::string refusal() const {
    try {
      SafetensorsFolder::open(path_.string());
      return "accepted";
    } catch (const Error& error) {
      return error.diagnostics().front().text;
    }
  }
  std::string path() const { return path_.string(); }

 private:
  std::filesystem::path path_ =
      std::filesystem::temp_directory_path() / ("tenure-folder-" + std::to_string(::getpid()));
};

TEST_CASE("safetensors folders - the index may name files of its own folder only, and must be right") {
  const Folder folder;
  CHECK(folder.refusal().find("neither") != std::string::npos);
  folder.write("a.safetensors", safetensors_bytes("{" + entry("x", "F32", "[1]", "[0,4]") + "}", 4));
  folder.write("b.safetensors", safetensors_bytes("{" + entry("y", "F32", "[1]", "[0,4]") + "}", 4));
  for (const char* name : {"../b.safetensors", "/etc/passwd", "sub/b.safetensors", "..", "", ".safetensors",
                           "b.bin", "b\\\\c.safetensors", "b\\u0000.safetensors"}) {
    CAPTURE(name);
    folder.write_index(std::string("{\"x\":\"a.safetensors\",\"y\":\"") + name + "\"}");
    CHECK(folder.refusal().find("in this folder is expected") != std::string::npos);
  }
  folder.write_index("{}");
  CHECK(folder.refusal().find("is empty") != std::string::npos);
  folder.write_index(R"({"x":"a.safetensors","y":"c.safetensors"})");
  CHECK(folder.refusal().find("cannot open") != std::string::npos);
  folder.write_index(R"({"x":"a.safetensors","y":"a.safetensors"})");
  CHECK(folder.refusal().find("\"y\" is not in \"a.safetensors\"") != std::string::npos);
  folder.write_index(R"({"x":"a.safetensors","y":"b.safetensors"})");
  const SafetensorsFolder good = SafetensorsFolder::open(folder.path());
  CHECK(good.tensors().size() == 2);
  CHECK(good.tensors().at("y").file->name() == folder.path() + "/b.safetensors");
  folder.write("b.safetensors", safetensors_bytes("{" + entry("x", "F32", "[1]", "[0,4]") + "}", 4));
  CHECK(folder.refusal().find("is also in") != std::string::npos);
}

}  // namespace
}  // namespace tenure
