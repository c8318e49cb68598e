// The parser against files that mean harm: one row per rule, among them every class of flaw that GGUF readers
// of the field are on record for (the number is the CVE or the report).
#include <doctest/doctest.h>

#include <limits>
#include <string>
#include <vector>

#include "error/error.h"
#include "unit/weights/gguf_bytes.h"
#include "weights/gguf.h"

namespace tenure {
namespace {

using test::GgufBytes;
using test::LlamaBytes;

constexpr uint64_t huge = std::numeric_limits<uint64_t>::max();

struct Case {
  std::string name;
  Code code;
  const char* says;  // part of the message
  GgufBytes bytes;
};

GgufBytes header(uint64_t n_tensors, uint64_t n_values, uint32_t version = 3) {
  return GgufBytes().header(n_tensors, n_values, version).zeros(0);
}
GgufBytes value(GgufType type) {
  return header(0, 1).key("k", type);
}
GgufBytes array(GgufType element, uint64_t count) {
  return value(GgufType::array).type(element).u64(count);
}
GgufBytes alignment(uint32_t number) {
  return header(0, 1).key("general.alignment", GgufType::u32).u32(number).zeros(64);
}
// One tensor and 64 bytes of data.
GgufBytes tensor(std::vector<uint64_t> shape, uint32_t type, uint64_t offset) {
  return header(1, 0).tensor("t", std::move(shape), type, offset).pad().zeros(64);
}
GgufBytes nested(int depth) {
  GgufBytes out = value(GgufType::array);
  for (int i = 1; i < depth; ++i) out.type(GgufType::array).u64(1);
  return out.type(GgufType::u8).u64(1).u8(7);
}

void expect_refused(const std::vector<Case>& cases) {
  for (const Case& c : cases) {
    CAPTURE(c.name);
    try {
      GgufFile::parse(c.bytes.bytes(), "evil.gguf");
      FAIL_CHECK("accepted");
    } catch (const Error& error) {
      const Diagnostic& d = error.diagnostics().front();
      CHECK(d.code == c.code);
      CHECK(d.where.file == "evil.gguf");
      CHECK_MESSAGE(d.text.find(c.says) != std::string::npos, d.text);
      CHECK_MESSAGE(d.text.find("(byte ") != std::string::npos, d.text);
    }
  }
}

TEST_CASE("GGUF header - a wrong one is refused") {
  expect_refused({
      {"empty file", Code::model_malformed, "the magic number needs 4 bytes", GgufBytes()},
      {"three bytes", Code::model_malformed, "the file has 3 left", GgufBytes().raw("GGU")},
      {"other magic", Code::model_malformed, "not a GGUF file", GgufBytes().raw("GGML").zeros(64)},
      {"no version", Code::model_malformed, "the version needs", GgufBytes().raw("GGUF")},
      {"version 0", Code::model_unsupported, "version 0", header(0, 0, 0)},
      {"version 1", Code::model_unsupported, "version 1", header(0, 0, 1)},
      {"version 4", Code::model_unsupported, "version 4", header(0, 0, 4)},
      {"big-endian", Code::model_unsupported, "big-endian", header(0, 0, 0x03000000)},
      {"no counts", Code::model_malformed, "needs 8 bytes", GgufBytes().raw("GGUF").u32(3)},
      {"CVE-2024-21836 tensor count times size wraps", Code::model_malformed, "number of tensors",
       header(huge / 56 + 2, 0)},
      {"CVE-2024-23605 key count times size wraps", Code::model_malformed, "number of metadata keys",
       header(0, huge / 48 + 2)},
      {"tensor count above the cap", Code::model_malformed, "at most 65536",
       header(65'537, 0).zeros(4 << 20)},
      {"key count above the cap", Code::model_malformed, "at most 65536", header(0, 65'537).zeros(4 << 20)},
      {"tensor count beyond the file", Code::model_malformed, "bytes left hold at most", header(1'000, 0)},
      {"key count beyond the file", Code::model_malformed, "bytes left hold at most", header(0, 1'000)},
  });
}

TEST_CASE("GGUF metadata - wrong lengths, types and counts are refused") {
  using T = GgufType;
  expect_refused({
      {"key length wraps when 1 is added (CVE-2024-23496)", Code::model_malformed, "the key has",
       header(0, 1).u64(huge).zeros(64)},
      {"key above the cap", Code::model_malformed, "at most 65535", header(0, 1).u64(65'536).zeros(70'000)},
      {"key beyond the file", Code::model_malformed, "the key needs 60 bytes",
       header(0, 1).u64(60).zeros(20)},
      {"empty key", Code::model_malformed, "the key is empty", header(0, 1).key("", T::u8).zeros(64)},
      {"unknown value type", Code::model_malformed, "types go from 0 to 12",
       header(0, 1).string("k").u32(13).zeros(64)},
      {"value type as a negative index", Code::model_malformed, "types go from 0 to 12",
       header(0, 1).string("k").u32(0xffffffff).zeros(64)},
      {"value cut", Code::model_malformed, "the value needs 8 bytes", value(T::u64).zeros(7)},
      {"bool that is neither", Code::model_malformed, "a bool is the byte 2", value(T::boolean).u8(2)},
      {"bool in an array", Code::model_malformed, "a bool is the byte 255",
       array(T::boolean, 2).u8(1).u8(255)},
      {"CVE-2024-23496 string length + 1 wraps", Code::model_malformed, "a string has",
       value(T::string).u64(huge).zeros(64)},
      {"CVE-2025-49847 string longer than an int32", Code::model_malformed, "a string has 2147483648",
       value(T::string).u64(1ull << 31).zeros(64)},
      {"string above the cap", Code::model_malformed, "at most 16777216",
       value(T::string).u64((16 << 20) + 1).zeros(64)},
      {"string beyond the file", Code::model_malformed, "a string needs 9 bytes",
       value(T::string).u64(9).zeros(8)},
      {"CVE-2024-21825 array count times 8 wraps", Code::model_malformed, "array elements",
       array(T::u64, 1ull << 61)},
      {"CVE-2024-21825 array of strings", Code::model_malformed, "array elements",
       array(T::string, huge / 16 + 1).zeros(64)},
      {"array count beyond the file", Code::model_malformed, "array elements is 65",
       array(T::u8, 65).zeros(64)},
      {"array of an unknown type", Code::model_malformed, "the array's element type",
       value(T::array).u32(99).u64(1).zeros(9)},
      {"string inside an array beyond the file", Code::model_malformed, "a string",
       array(T::string, 2).string("a").u64(400)},
      {"arrays nested without end", Code::model_malformed, "nest more than 4", nested(5)},
      {"a thousand nested arrays", Code::model_malformed, "nest more than 4", nested(1000)},
      {"same key twice", Code::model_malformed, "key \"k\" occurs twice",
       header(0, 2).key("k", T::u8).u8(1).key("k", T::u8).u8(2)},
      {"names are made printable", Code::model_malformed, "key \"\\x1b[31m\"",
       header(0, 1).key("\x1b[31m", T::boolean).u8(9)},
  });
}

TEST_CASE("GGUF alignment - only powers of two from 8 to 1 MiB") {
  std::vector<Case> cases;
  for (const uint32_t number : {0u, 1u, 3u, 4u, 24u, 0x00200000u, 0x80000000u, 0xffffffffu}) {
    cases.push_back(
        {"general.alignment", Code::model_malformed, "a power of two from 8 to 1048576", alignment(number)});
  }
  cases.push_back({"wrong type", Code::model_malformed, "u32 is expected",
                   header(0, 1).key("general.alignment", GgufType::u64).u64(32)});
  cases.push_back({"text", Code::model_malformed, "u32 is expected",
                   header(0, 1).key("general.alignment", GgufType::string).string("32")});
  expect_refused(cases);
}

TEST_CASE("GGUF tensors - wrong shapes, sizes and places are refused") {
  const uint64_t dim32 = 1ull << 32;
  expect_refused({
      {"name beyond the file", Code::model_malformed, "the name needs", header(1, 0).u64(64).zeros(40)},
      {"name above the cap", Code::model_malformed, "at most 64", header(1, 0).u64(65).zeros(200)},
      {"empty name", Code::model_malformed, "the name is empty",
       header(1, 0).tensor("", {1}, 0, 0).pad().zeros(32)},
      {"rank 0", Code::model_malformed, "rank 0", tensor({}, 0, 0)},
      {"openvino.genai#4170 rank 5", Code::model_malformed, "rank 5", tensor({1, 1, 1, 1, 1}, 0, 0)},
      {"rank beyond any array", Code::model_malformed, "rank 4294967295",
       header(1, 0).string("t").u32(0xffffffff).zeros(200)},
      {"first dimension 0", Code::model_malformed, "dimension 0 is 0", tensor({0, 1}, 0, 0)},
      {"CVE-2024-21802 a later dimension 0 divides by zero", Code::model_malformed, "dimension 1 is 0",
       tensor({1, 0}, 0, 0)},
      {"CVE-2024-21802 dimensions overflow", Code::model_malformed, "product of the dimensions overflows",
       tensor({dim32, dim32}, 0, 0)},
      {"dimensions overflow to a small product", Code::model_malformed, "product of the dimensions overflows",
       tensor({dim32 + 1, dim32 + 1, dim32, 1}, 0, 0)},
      {"CVE-2026-33298 bytes wrap to zero", Code::model_malformed, "size overflows",
       tensor({1ull << 62}, 0, 0)},
      {"CVE-2026-33298 bytes wrap to something small", Code::model_malformed, "size overflows",
       tensor({(1ull << 62) + 8}, 0, 0)},
      {"quantised row that is no whole block", Code::model_malformed, "whole number of Q8_0 blocks",
       tensor({33}, 8, 0)},
      {"offset not aligned", Code::model_malformed, "multiple of the alignment 32", tensor({1}, 0, 4)},
      {"CVE-2026-7482 data past the file's end", Code::model_malformed, "end past the file's",
       tensor({17}, 0, 0)},
      {"offset past the end", Code::model_malformed, "end past the file's", tensor({1}, 0, 96)},
      {"CVE-2025-53630 offset + size wraps", Code::model_malformed, "end past the file's",
       tensor({16}, 0, huge - 31)},
      {"CVE-2026-27940 section + offset wraps", Code::model_malformed, "end past the file's",
       tensor({1}, 0, huge - 95)},
      {"unknown type past the end", Code::model_malformed, "end past the file's", tensor({1}, 99, 1 << 20)},
      {"no data at all", Code::model_malformed, "end past the file's", header(1, 0).tensor("t", {1}, 0, 0)},
      {"cut inside the list", Code::model_malformed, "",
       header(1, 0).string("t").u32(2).u64(1).u64(1).u32(0).u32(0)},
      {"two tensors on the same bytes", Code::model_malformed, "overlap",
       header(2, 0).tensor("a", {8}, 0, 0).tensor("b", {8}, 0, 0).pad().zeros(64)},
      {"one inside another", Code::model_malformed, "\"b\" (byte",
       header(2, 0).tensor("a", {16}, 0, 0).tensor("b", {4}, 0, 32).pad().zeros(64)},
      {"same name twice", Code::model_malformed, "tensor \"a\" occurs twice",
       header(2, 0).tensor("a", {8}, 0, 0).tensor("a", {8}, 0, 32).pad().zeros(64)},
  });
}

TEST_CASE("GGUF truncation - a file cut at any byte is an error, never a crash (CVE-2024-32878)") {
  const GgufBytes whole = LlamaBytes().file();
  REQUIRE_NOTHROW(GgufFile::parse(whole.bytes(), "whole"));
  for (size_t n = 0; n < whole.bytes().size(); ++n) {
    // A copy of exactly n bytes: a sanitizer sees the first byte read behind them.
    const std::vector<std::byte> cut(whole.bytes().begin(),
                                     whole.bytes().begin() + static_cast<std::ptrdiff_t>(n));
    CAPTURE(n);
    CHECK_THROWS_AS(GgufFile::parse(cut, "cut"), Error);
  }
}

TEST_CASE(
    "GGUF corruption - any single byte changed gives a file or an error, never a crash (CVE-2024-41130)") {
  const GgufBytes whole = LlamaBytes().file();
  size_t n_refused = 0;
  for (size_t n = 0; n < whole.bytes().size(); ++n) {
    for (const uint8_t flip : {0x01, 0x80, 0xff}) {
      std::vector<std::byte> bytes(whole.bytes().begin(), whole.bytes().end());
      bytes[n] ^= std::byte{flip};
      try {
        const GgufFile file = GgufFile::parse(bytes, "flipped");
        for (const GgufValue& v : file.values()) CHECK(preview(v).size() < 1000);
      } catch (const Error& error) {
        ++n_refused;
        CHECK(error.exit_code() == exit_data);
      }
    }
  }
  CHECK(n_refused > 500);
}

}  // namespace
}  // namespace tenure
