#include "tensor/sha256.h"

#include <doctest/doctest.h>

#include <algorithm>
#include <string>

#include "error/error.h"

namespace tenure {
namespace {

std::span<const std::byte> bytes_of(const std::string& text) {
  return std::as_bytes(std::span(text));
}
std::string digest(const std::string& text) {
  return sha256_hex(bytes_of(text));
}

TEST_CASE("SHA-256 - the vectors of FIPS 180-4") {
  CHECK(digest("") == "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855");
  CHECK(digest("abc") == "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad");
  CHECK(digest("abcdbcdecdefdefgefghfghighijhijkijkljklmklmnlmnomnopnopq") ==
        "248d6a61d20638b8e5c026930c3e6039a33ce45964ff2167f6ecedd419db06c1");
  CHECK(digest(std::string(1'000'000, 'a')) ==
        "cdc76e5c9914fb9281a1c7e284d73e67f1809a48a497200e046d39ccc7112cd0");
}

// python3: for n in ...: print(hashlib.sha256(bytes(i % 251 for i in range(n))).hexdigest())
TEST_CASE("SHA-256 - lengths around the padding's edge agree with hashlib") {
  const auto of_length = [](size_t n) {
    std::string text;
    for (size_t i = 0; i < n; ++i) text += static_cast<char>(i % 251);
    return digest(text);
  };
  CHECK(of_length(1) == "6e340b9cffb37a989ca544e6bb780a2c78901d3fb33738768511a30617afa01d");
  CHECK(of_length(55) == "463eb28e72f82e0a96c0a4cc53690c571281131f672aa229e0d45ae59b598b59");
  CHECK(of_length(56) == "da2ae4d6b36748f2a318f23e7ab1dfdf45acdc9d049bd80e59de82a60895f562");
  CHECK(of_length(57) == "2fe741af801cc238602ac0ec6a7b0c3a8a87c7fc7d7f02a3fe03d1c12eac4d8f");
  CHECK(of_length(63) == "29af2686fd53374a36b0846694cc342177e428d1647515f078784d69cdb9e488");
  CHECK(of_length(64) == "fdeab9acf3710362bd2658cdc9a29e8f9c757fcf9811603a8c447cd1d9151108");
  CHECK(of_length(65) == "4bfd2c8b6f1eec7a2afeb48b934ee4b2694182027e6d0fc075074f2fabb31781");
  CHECK(of_length(119) == "da18797ed7c3a777f0847f429724a2d8cd5138e6ed2895c3fa1a6d39d18f7ec6");
  CHECK(of_length(120) == "f52b23db1fbb6ded89ef42a23ce0c8922c45f25c50b568a93bf1c075420bbb7c");
  CHECK(of_length(128) == "471fb943aa23c511f6f72f8d1652d9c880cfa392ad80503120547703e56a2be5");
  CHECK(of_length(1000) == "4e4c294b331f7a2099a379bec34b9f9fc03dc46ab465d998f4d683da53487e6d");
}

TEST_CASE("SHA-256 - pieces of any size give the digest of the whole") {
  std::string text;
  for (int i = 0; i < 1000; ++i) text += static_cast<char>(i * 7);
  for (const size_t step : {1u, 3u, 63u, 64u, 65u, 200u, 999u}) {
    Sha256 hash;
    for (size_t at = 0; at < text.size(); at += step) {
      hash.update(bytes_of(text).subspan(at, std::min(step, text.size() - at)));
    }
    std::string hex;
    for (const std::byte b : hash.finish()) {
      constexpr char digits[] = "0123456789abcdef";
      hex += digits[static_cast<unsigned>(b) >> 4];
      hex += digits[static_cast<unsigned>(b) & 15];
    }
    CHECK(hex == digest(text));
  }
}

TEST_CASE("SHA-256 - a file's digest is that of its bytes, and a missing file is an error") {
  CHECK(sha256_file("tests/data/tiny-llama-q4_1.gguf") ==
        "b177a79865909f829632b46803cdede759a6845cf01d41f9cc352445b7b53dea");
  try {
    sha256_file("tests/data/absent");
    FAIL("no error");
  } catch (const Error& error) {
    CHECK(error.code() == Code::input_missing);
  }
  CHECK_THROWS_AS(sha256_file("tests/data"), Error);
}

}  // namespace
}  // namespace tenure
