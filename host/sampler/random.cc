#include "sampler/random.h"

namespace tenure {
namespace {

class Fnv1a {
 public:
  void add(std::string_view bytes) {
    for (char byte : bytes) add_byte(static_cast<uint8_t>(byte));
  }
  void add(uint64_t value, int n_bytes) {
    for (int i = 0; i < n_bytes; ++i) add_byte(static_cast<uint8_t>(value >> (8 * i)));
  }
  uint64_t hash() const { return hash_; }

 private:
  void add_byte(uint8_t byte) { hash_ = (hash_ ^ byte) * 0x100000001B3u; }
  uint64_t hash_ = 0xCBF29CE484222325u;
};

}  // namespace

std::array<uint32_t, 4> philox(std::array<uint32_t, 4> counter, std::array<uint32_t, 2> key) {
  constexpr int n_rounds = 10;
  for (int round = 0; round < n_rounds; ++round) {
    const uint64_t a = uint64_t{0xD2511F53u} * counter[0];
    const uint64_t b = uint64_t{0xCD9E8D57u} * counter[2];
    counter = {static_cast<uint32_t>(b >> 32) ^ counter[1] ^ key[0], static_cast<uint32_t>(b),
               static_cast<uint32_t>(a >> 32) ^ counter[3] ^ key[1], static_cast<uint32_t>(a)};
    key[0] += 0x9E3779B9u;
    key[1] += 0xBB67AE85u;
  }
  return counter;
}

double uniform(uint64_t key, uint64_t step) {
  const auto bits = philox({static_cast<uint32_t>(step), static_cast<uint32_t>(step >> 32), 0, 0},
                           {static_cast<uint32_t>(key), static_cast<uint32_t>(key >> 32)});
  const uint64_t word = (uint64_t{bits[1]} << 32) | bits[0];
  return static_cast<double>(word >> 11) * 0x1p-53;
}

uint64_t seed_key(uint64_t seed, std::string_view id, std::string_view cell, uint32_t sample) {
  Fnv1a fields;
  fields.add(seed, 8);
  fields.add(id.size(), 8);
  fields.add(id);
  fields.add(cell.size(), 8);
  fields.add(cell);
  fields.add(sample, 4);
  uint64_t x = fields.hash();
  x = (x ^ (x >> 30)) * 0xBF58476D1CE4E5B9u;
  x = (x ^ (x >> 27)) * 0x94D049BB133111EBu;
  return x ^ (x >> 31);
}

}  // namespace tenure
