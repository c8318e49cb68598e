// attend and cache_append over mixed batches: shapes, types, masks, windows, runs, ragged and empty heads.
#include <doctest/doctest.h>

#include <random>

#include "conformance/test_cache.h"

namespace tenure::conformance {
namespace {

struct KvTypes {
  uint32_t k, v;
};
const KvTypes all_kv_types[] = {{TENURE_F32, TENURE_F32},
                                {TENURE_F16, TENURE_F16},
                                {TENURE_BF16, TENURE_BF16},
                                {TENURE_F16, TENURE_BF16},
                                {TENURE_BF16, TENURE_F32},
                                {TENURE_Q8_0, TENURE_Q8_0},
                                {TENURE_Q4_1, TENURE_Q4_1},
                                {TENURE_Q8_0, TENURE_F32},
                                {TENURE_F16, TENURE_Q4_1}};

ModelShape attention_shape(uint32_t group_size, uint32_t n_kv_heads, uint32_t head_dim, uint32_t window = 0) {
  return {.n_embd = 64,
          .n_ff = 32,
          .n_vocab = 32,
          .n_heads = group_size * n_kv_heads,
          .n_kv_heads = n_kv_heads,
          .head_dim = head_dim,
          .rope_dim = head_dim,
          .window = window};
}
// n_heads * head_dim is a multiple of 32, as every quantised product needs.
const ModelShape shapes[] = {
    attention_shape(1, 2, 16),  attention_shape(3, 2, 16),  attention_shape(3, 1, 32),
    attention_shape(3, 3, 64),  attention_shape(4, 2, 64),  attention_shape(4, 1, 128),
    attention_shape(1, 2, 48),  attention_shape(1, 1, 128), attention_shape(8, 1, 128),
    attention_shape(1, 2, 256), attention_shape(4, 1, 256), attention_shape(8, 1, 256)};

// Caches without f32 allow bf16 products in prefill; decode rows and f32 caches are f32 throughout, but for
// queries of 16 bits where keys are quantised.
double tolerance(const KvTypes& types, uint32_t kind) {
  const bool may_round = kind != TENURE_ROWS_DECODE && types.k != TENURE_F32 && types.v != TENURE_F32;
  const bool quantised = types.k > TENURE_BF16 || types.v > TENURE_BF16;
  if (may_round) return quantised ? 4e-2 : 3e-2;
  return types.k > TENURE_BF16 ? 5e-4 : 5e-5;
}

struct Sequences {
  Sequences(TestPool& pool, const tenure_layer_info& layer)
      : decoding(pool, layer), rebuilding(pool, layer), fresh(pool, layer), hollow(pool, layer) {}
  TestSequence decoding, rebuilding, fresh, hollow;
};

struct Case {
  KvTypes types;
  uint32_t n_held = 133;  // positions held before the forward under test
  uint32_t n_runs = 0;
  int32_t start = 0;  // the first position; what lay before it is trimmed away
};

// What the sequences hold before the forward under test: ragged heads, and one head of `hollow` that holds
// nothing.
void fill(const TestModel& model, Sequences& s, const Case& c) {
  const uint32_t n_held = c.n_held;
  std::mt19937 random(n_held);
  const uint32_t n_kv = model.shape().n_kv_heads;
  TestBatch history(model, 50);
  history.add(s.decoding,
              {.first_pos = c.start, .n_rows = n_held, .masks = ragged(n_kv, n_held, 0.7, random)});
  history.add(s.rebuilding,
              {.first_pos = c.start, .n_rows = n_held, .masks = ragged(n_kv, n_held, 0.5, random)});
  auto hollow = ragged(n_kv, n_held, 0.9, random);
  hollow.front().assign(n_held, 0);
  history.add(s.hollow, {.first_pos = c.start, .n_rows = n_held, .masks = hollow});
  history.append();
}

// Rebuilt rows: a head takes those it does not hold.
std::vector<std::vector<uint8_t>> missing(TestSequence& sequence, int32_t first_pos, uint32_t n_rows) {
  std::vector<std::vector<uint8_t>> masks;
  for (const TestSequence::Head& head : sequence.heads()) {
    masks.emplace_back(n_rows, uint8_t{1});
    for (int32_t pos : head.pos) {
      if (pos >= first_pos && pos < first_pos + static_cast<int32_t>(n_rows))
        masks.back()[static_cast<size_t>(pos - first_pos)] = 0;
    }
  }
  return masks;
}

// Decode, rebuild and prefill rows of four sequences.
void add_rows(TestBatch& batch, Sequences& s, const Case& c) {
  const int32_t end = c.start + static_cast<int32_t>(c.n_held);
  const int32_t lost = c.start + 6;
  batch.add(s.decoding, {.kind = TENURE_ROWS_DECODE, .first_pos = end + 5, .n_rows = 1});
  batch.add(s.rebuilding, {.kind = TENURE_ROWS_REBUILD,
                           .first_pos = lost,
                           .n_rows = 11,
                           .masks = missing(s.rebuilding, lost, 11)});
  batch.add(s.rebuilding, {.first_pos = end, .n_rows = 19, .n_mass_rows = 7});
  batch.add(s.fresh, {.first_pos = c.start, .n_rows = 37, .n_mass_rows = 32});
  batch.add(s.hollow, {.kind = TENURE_ROWS_DECODE, .first_pos = end, .n_rows = 1});
}

// Cuts a head's slots into n runs of unlike shifts.
void give_runs(TestSequence& sequence, uint32_t n_runs) {
  for (TestSequence::Head& head : sequence.heads()) {
    head.runs.clear();
    const auto n_slots = static_cast<uint32_t>(head.pos.size());
    for (uint32_t r = 0; r < n_runs; ++r) {
      head.runs.push_back({.n_slots = n_slots * (r + 1) / n_runs - n_slots * r / n_runs,
                           .shift = static_cast<int32_t>(r * 37 % 50)});
    }
  }
}

void check_batch(const TestModel& model, const Case& c) {
  if (!keeps(model.backend(), model.shape().head_dim, c.types.k, c.types.v)) return;
  TestPool pool(model.backend(), model.shape().head_dim, c.types.k, c.types.v);
  Sequences sequences(pool, model.layer());
  fill(model, sequences, c);
  TestBatch batch(model, 60);
  add_rows(batch, sequences, c);
  for (TestSequence* s : {&sequences.decoding, &sequences.rebuilding, &sequences.fresh}) {
    if (c.n_runs > 0) give_runs(*s, c.n_runs);
  }
  batch.attend(true);
  const uint32_t kinds[] = {TENURE_ROWS_DECODE, TENURE_ROWS_REBUILD, TENURE_ROWS_PREFILL, TENURE_ROWS_PREFILL,
                            TENURE_ROWS_DECODE};
  for (uint32_t segment = 0; segment < batch.n_segments(); ++segment) {
    CAPTURE(segment);
    const double allowed = tolerance(c.types, kinds[segment]);
    const TestBatch::Worst worst = batch.compare(segment);
    CHECK(worst.out <= allowed);
    CHECK(worst.mass <= allowed);
    CHECK(worst.sum <= 1e-2 * allowed + 1e-5);
  }
}

}  // namespace

TEST_CASE("attend - mixed batches of ragged heads agree with double precision") {
  for (const ModelShape& shape : shapes) {
    CAPTURE(shape.n_heads);
    CAPTURE(shape.n_kv_heads);
    CAPTURE(shape.head_dim);
    const TestModel model(backend(2), shape, TENURE_F32);
    for (const KvTypes& types : all_kv_types) {
      CAPTURE(std::string(dtype_name(types.k)));
      CAPTURE(std::string(dtype_name(types.v)));
      check_batch(model, {types});
    }
  }
}

TEST_CASE("attend - long heads are split and merged without a trace") {
  const TestModel model(backend(2), attention_shape(3, 2, 64), TENURE_F32);
  for (uint32_t n_held : {511u, 600u}) {
    CAPTURE(n_held);
    check_batch(model, {.types = {TENURE_F16, TENURE_F16}, .n_held = n_held});
    check_batch(model, {.types = {TENURE_F32, TENURE_F32}, .n_held = n_held, .n_runs = 2});
  }
}

TEST_CASE("attend - a window hides what lies further back") {
  for (uint32_t window : {1u, 24u, 100u}) {
    for (const KvTypes& types : all_kv_types) {
      CAPTURE(window);
      CAPTURE(std::string(dtype_name(types.k)));
      check_batch(TestModel(backend(2), attention_shape(3, 2, 64, window), TENURE_F32), {types});
    }
  }
}

TEST_CASE("attend - a window over heads whose first slots are trimmed away, and over many blocks of slots") {
  for (const ModelShape& shape : {attention_shape(1, 2, 64, 40), attention_shape(8, 1, 128, 40),
                                  attention_shape(4, 1, 256, 600), attention_shape(3, 2, 64, 512)}) {
    CAPTURE(shape.head_dim);
    CAPTURE(shape.window);
    const TestModel model(backend(2), shape, TENURE_F32);
    for (const KvTypes& types : all_kv_types) {
      CAPTURE(std::string(dtype_name(types.k)));
      check_batch(model, {.types = types, .n_held = 133, .start = 1000});
      check_batch(model, {.types = types, .n_held = 620, .start = 77});
    }
  }
}

TEST_CASE("attend - the scale is the layer's") {
  for (double scale : {0.02, 0.0625, 0.3}) {
    ModelShape shape = attention_shape(4, 1, 128);
    shape.attention_scale = scale;
    const TestModel model(backend(2), shape, TENURE_F32);
    for (const KvTypes& types : all_kv_types) {
      CAPTURE(scale);
      CAPTURE(std::string(dtype_name(types.k)));
      check_batch(model, {types});
    }
  }
}

TEST_CASE("attend - runs turn the query by their shift, both ways of pairing") {
  for (uint32_t kind : {TENURE_ROPE_INTERLEAVED, TENURE_ROPE_HALVES}) {
    ModelShape shape = attention_shape(4, 2, 64);
    shape.rope_kind = kind;
    shape.rope_dim = 48;
    for (bool factors : {false, true}) {
      shape.rope_factors = factors;
      const TestModel model(backend(2), shape, TENURE_F32);
      for (uint32_t n_runs : {1u, 2u, 3u, 8u}) {
        for (const KvTypes& types : all_kv_types) {
          CAPTURE(kind);
          CAPTURE(factors);
          CAPTURE(n_runs);
          CAPTURE(std::string(dtype_name(types.k)));
          check_batch(model, {.types = types, .n_runs = n_runs});
        }
      }
    }
  }
}

TEST_CASE("attend - a row that sees no slot gives zeros and no mass") {
  for (uint32_t kind : {TENURE_ROWS_PREFILL, TENURE_ROWS_DECODE}) {
    const TestModel model(backend(), attention_shape(3, 2, 64), TENURE_F32);
    TestPool pool(model.backend(), 64, TENURE_F16, TENURE_F16);
    TestSequence sequence(pool, model.layer());
    TestBatch batch(model, 1);
    batch.add(sequence, {.kind = kind, .first_pos = 0, .n_rows = 1, .masks = {{1}, {0}}});
    batch.attend(true);
    for (size_t i = 0; i < 3 * 64; ++i) CHECK(batch.out(0)[3 * 64 + i] == 0);
    CHECK(batch.compare(0).out <= tolerance({TENURE_F16, TENURE_F16}, kind));
  }
}

TEST_CASE("attend - mass adds up over forwards and never changes out") {
  for (const KvTypes& types : all_kv_types) {
    for (uint32_t n_mass_rows : {0u, 1u, 9u, UINT32_MAX}) {
      CAPTURE(std::string(dtype_name(types.k)));
      CAPTURE(n_mass_rows);
      const TestModel model(backend(2), attention_shape(3, 2, 64), TENURE_F32);
      if (!keeps(model.backend(), 64, types.k, types.v)) continue;
      TestPool pool(model.backend(), 64, types.k, types.v);
      TestSequence with(pool, model.layer()), without(pool, model.layer());
      TestBatch first(model, 1), second(model, 1);
      const TestRows rows{.n_rows = 70, .n_mass_rows = n_mass_rows};
      first.add(with, rows);
      second.add(without, rows);
      first.attend(true);
      second.attend(false);
      CHECK(same_bits(first.out(0), second.out(0)));
      const std::vector<float> once = with.heads()[0].mass;
      // The same rows once more: every number doubles.
      first.attend(true);
      for (size_t s = 0; s < once.size(); ++s)
        CHECK(with.heads()[0].mass[s] == doctest::Approx(2 * once[s]).epsilon(1e-5));
      CHECK(same_bits(first.out(0), second.out(0)));
    }
  }
}

}  // namespace tenure::conformance
