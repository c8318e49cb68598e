#include <doctest/doctest.h>

#include "small_model.h"

namespace tenure::cpu::test {
namespace {

tenure_weight describe(uint32_t role, uint32_t layer, const Source& source) {
  return {.head = {.struct_size = sizeof(tenure_weight), .rev = 0, .flags = 0},
          .role = role,
          .layer = layer,
          .dtype = source.dtype,
          .reserved0 = 0,
          .n_out = source.n_out,
          .n_in = source.n_in,
          .data = source.bytes.data(),
          .bytes = source.bytes.size()};
}

}  // namespace

TEST_CASE("weights - complete only when every matrix and norm was given") {
  const SmallModel model(TENURE_Q4_0, 41);
  const Threads threads(1);
  CHECK(model.load(threads.exec())->missing().empty());
  const SmallInfo info(model.sizes);
  Weights weights(info.info);
  CHECK(weights.missing() == "the token embedding");
  CHECK(weights.add(describe(TENURE_WEIGHT_TOKEN_EMBD, TENURE_ALL_LAYERS, model.token_embd), threads.exec())
            .empty());
  CHECK(weights.add(describe(TENURE_WEIGHT_OUTPUT_NORM, TENURE_ALL_LAYERS, model.output_norm), threads.exec())
            .empty());
  CHECK(weights.missing() == "the attention norm of layer 0");
}

TEST_CASE("weights - refuses a wrong shape, size, type, place and a second copy") {
  const SmallModel model(TENURE_Q8_0, 42);
  const Threads threads(1);
  const SmallInfo info(model.sizes);
  Weights weights(info.info);
  const tenure_weight good = describe(TENURE_WEIGHT_Q, 0, model.q);
  const auto refused = [&](auto&& change) {
    tenure_weight weight = good;
    change(weight);
    return !weights.add(weight, threads.exec()).empty();
  };
  CHECK(refused([](tenure_weight& w) { w.n_out += 16; }));
  CHECK(refused([](tenure_weight& w) { w.bytes -= 1; }));
  CHECK(refused([](tenure_weight& w) { w.dtype = TENURE_I32; }));
  CHECK(refused([](tenure_weight& w) { w.role = 77; }));
  CHECK(refused([](tenure_weight& w) { w.layer = 2; }));
  CHECK(refused([](tenure_weight& w) { w.layer = TENURE_ALL_LAYERS; }));
  CHECK(weights.add(good, threads.exec()).empty());
  CHECK(refused([](tenure_weight&) {}));
}

TEST_CASE("weights - the packed bytes are those of the file's blocks, padded to 16 rows") {
  // 8.5 bits a weight in the file as here: the offset needs no stored sums.
  const PackedMatrix q8{.dtype = TENURE_Q8_0, .n_out = 576, .n_in = 1536};
  CHECK(q8.bytes() == uint64_t{576} * 1536 / 32 * 34);
  const PackedMatrix q4{.dtype = TENURE_Q4_1, .n_out = 576, .n_in = 1536};
  CHECK(q4.bytes() == uint64_t{576} * 1536 / 32 * 20);
  const PackedMatrix q5{.dtype = TENURE_Q5_0, .n_out = 576, .n_in = 1536};
  CHECK(q5.bytes() == uint64_t{576} * 1536 / 32 * 22);
  const PackedMatrix q6{.dtype = TENURE_Q6_K, .n_out = 576, .n_in = 1536};
  CHECK(q6.bytes() == uint64_t{576} * 1536 / 256 * 210);
  // Scales and minima of 6 bits lie in bytes of their own: 4 bytes more a superblock.
  const PackedMatrix q4_k{.dtype = TENURE_Q4_K, .n_out = 576, .n_in = 1536};
  CHECK(q4_k.bytes() == uint64_t{576} * 1536 / 256 * (144 + 4));
}

TEST_CASE("weights - refuses rows that are no whole number of blocks") {
  const SmallModel model(TENURE_Q8_0, 43);
  const Threads threads(1);
  const SmallInfo info(model.sizes);
  Weights weights(info.info);
  tenure_weight weight = describe(TENURE_WEIGHT_Q, 0, model.q);
  weight.dtype = TENURE_Q4_K;
  for (uint64_t bytes : {weight.bytes, uint64_t{0}}) {
    weight.bytes = bytes;
    CHECK(weights.add(weight, threads.exec()) ==
          "weight 4 of layer 0 has rows of 96, expected a multiple of 256");
  }
}

TEST_CASE("weights - says why a model cannot run here") {
  const auto why = [](auto&& change) {
    Sizes sizes;
    change(sizes);
    return Weights::unsupported(SmallInfo(sizes).info);
  };
  CHECK(why([](Sizes&) {}).empty());
  CHECK(why([](Sizes& s) { s.n_embd = 100; }) == "n_embd is no multiple of 32");
  CHECK(why([](Sizes& s) { s.head_dim = 24; }) == "head_dim of layer 0 is no multiple of 16 up to 256");
  CHECK(why([](Sizes& s) { s.n_kv_heads = 3; }) == "n_kv_heads of layer 0 does not divide n_heads");
}

}  // namespace tenure::cpu::test
