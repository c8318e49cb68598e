// A hostile file must not make the reader allocate beyond a small multiple of the file's own size.
#include <doctest/doctest.h>
#include <malloc.h>

#include <atomic>
#include <cstdlib>
#include <new>
#include <string>

#include "unit/weights/gguf_bytes.h"
#include "weights/gguf.h"

namespace {

std::atomic<size_t> live_bytes{0};
std::atomic<size_t> peak_bytes{0};

}  // namespace

void* operator new(size_t size) {
  void* memory = std::malloc(size);
  if (!memory) throw std::bad_alloc();
  const size_t now = live_bytes += ::malloc_usable_size(memory);
  for (size_t peak = peak_bytes; peak < now && !peak_bytes.compare_exchange_weak(peak, now);) {
  }
  return memory;
}

void operator delete(void* memory) noexcept {
  if (memory) live_bytes -= ::malloc_usable_size(memory);
  std::free(memory);
}
void operator delete(void* memory, size_t) noexcept {
  operator delete(memory);
}

namespace tenure {
namespace {

using test::GgufBytes;

// Peak bytes while the file is parsed and, where `act` says so, read.
template <typename Act>
size_t peak_of(const GgufBytes& bytes, Act act) {
  const size_t before = live_bytes;
  peak_bytes = before;
  const GgufFile file = GgufFile::parse(bytes.bytes(), "dense");
  act(file);
  return peak_bytes - before;
}

TEST_CASE("GGUF memory - the densest key list costs a small multiple of the file") {
  GgufBytes bytes;
  bytes.header(0, 60'000);
  for (int i = 0; i < 60'000; ++i) bytes.key(std::to_string(i), GgufType::u8).u8(1);
  CHECK(peak_of(bytes, [](const GgufFile&) {}) < 6 * bytes.bytes().size());
}

TEST_CASE("GGUF memory - the densest tensor list costs a small multiple of the file") {
  GgufBytes bytes;
  bytes.header(60'000, 0);
  for (int i = 0; i < 60'000; ++i) bytes.tensor(std::to_string(i), {1}, 0, static_cast<uint64_t>(i) * 32);
  bytes.pad().zeros(60'000 * 32);
  CHECK(peak_of(bytes, [](const GgufFile&) {}) < 6 * bytes.bytes().size());
}

TEST_CASE("GGUF memory - a million empty strings, read out, cost a small multiple of the file") {
  GgufBytes bytes;
  bytes.header(0, 1).key("k", GgufType::array).type(GgufType::string).u64(1'000'000).zeros(8'000'000);
  CHECK(peak_of(bytes, [](const GgufFile& file) { CHECK(file.find_strings("k")->size() == 1'000'000); }) <
        6 * bytes.bytes().size());
}

}  // namespace
}  // namespace tenure
