// rope, and what cache_move, cache_copy and cache_rotate leave behind, seen through attend: pages are opaque.
#include <doctest/doctest.h>

#include <algorithm>
#include <cmath>
#include <random>

#include "conformance/test_cache.h"
#include "reference/rope.h"

namespace tenure::conformance {
namespace {

const uint32_t kv_types[] = {TENURE_F32, TENURE_F16, TENURE_BF16, TENURE_Q8_0, TENURE_Q4_1};

// Of what decode makes of slots that were moved or copied.
double tolerance(uint32_t type) {
  return type > TENURE_BF16 ? 5e-4 : 5e-5;
}
// A key that is stored once more may fall to the other neighbour.
double rotated_tolerance(uint32_t type) {
  switch (type) {
    case TENURE_F32:
      return 5e-5;
    case TENURE_F16:
      return 1e-3;
    case TENURE_Q4_1:
      return 4e-2;
    default:
      return 8e-3;
  }
}

ModelShape shape_of(uint32_t head_dim, uint32_t rope_kind) {
  return {.n_embd = 64,
          .n_ff = 32,
          .n_vocab = 32,
          .n_heads = 6,
          .n_kv_heads = 2,
          .head_dim = head_dim,
          .rope_dim = head_dim - 16 * (head_dim > 32),
          .rope_kind = rope_kind,
          .rope_factors = head_dim > 64};
}

// A sequence of n rows, then one decode row that sees what is left.
struct Held {
  Held(const TestModel& m, uint32_t type, uint32_t n_rows)
      : model(m), pool(m.backend(), m.shape().head_dim, type, type), sequence(pool, m.layer()), n(n_rows) {
    TestBatch batch(model, 1);
    batch.add(sequence, {.n_rows = n_rows});
    batch.append();
  }
  double error_of_decode(int32_t pos = 500) {
    TestBatch batch(model, 2);
    batch.add(sequence, {.kind = TENURE_ROWS_DECODE, .first_pos = pos, .n_rows = 1});
    batch.attend(false);
    return batch.compare(0).out;
  }
  // Releases slots of every head: `keep` stay, in a place each.
  void move(std::span<const tenure_kv_move> moves, uint32_t n_left) {
    std::vector<tenure_kv_moves> calls;
    for (TestSequence::Head& head : sequence.heads()) {
      calls.push_back({.pool = &sequence.kv(),
                       .pages = head.pages.data(),
                       .moves = moves.data(),
                       .n_moves = static_cast<uint32_t>(moves.size()),
                       .head_dim = model.shape().head_dim});
      head.slots.move(moves);
      for (const tenure_kv_move& m : moves) head.pos[m.dst] = head.pos[m.src];
      head.slots.slots.resize(n_left);
      head.pos.resize(n_left);
      head.mass.resize(n_left);
    }
    require_ok(model.backend().cache_move(calls));
    require_ok(model.backend().synchronize());
    for (TestSequence::Head& head : sequence.heads())
      head.pages.resize((n_left + pool.page_slots() - 1) / pool.page_slots());
  }

  const TestModel& model;
  TestPool pool;
  TestSequence sequence;
  uint32_t n;
};

template <typename Body>
void for_every_cache(Body&& body) {
  for (uint32_t head_dim : {16u, 64u, 128u}) {
    const TestModel model(backend(2), shape_of(head_dim, TENURE_ROPE_INTERLEAVED), TENURE_F32);
    for (uint32_t type : kv_types) {
      CAPTURE(head_dim);
      CAPTURE(std::string(dtype_name(type)));
      if (!keeps(model.backend(), head_dim, type, type)) continue;
      Held held(model, type, 77);
      body(held, type);
    }
  }
}

// The worst |got - want| of queries and keys turned by their row's position.
double error_of_rope(const TestModel& model, uint32_t layer, bool in_place) {
  const uint32_t head_dim = model.shape().head_dim;
  const std::vector<int32_t> positions = {0, 1, 2, 77, 1000, 2047, 3};
  const auto n_rows = static_cast<uint32_t>(positions.size());
  const std::vector<float> q = random_floats(n_rows * model.shape().n_q(), 1);
  const std::vector<float> k = random_floats(n_rows * model.shape().n_kv(), 2);
  Backend& device = model.backend();
  const DeviceFloats q_in(device, q), k_in(device, k), q_out(device, q.size()), k_out(device, k.size());
  const DeviceFloats& q_to = in_place ? q_in : q_out;
  const DeviceFloats& k_to = in_place ? k_in : k_out;
  TestForward forward(model, std::vector<int32_t>(n_rows, 0), positions);
  forward.run([&](Backend& b, const tenure_forward& f) {
    require_ok(b.rope(f, layer, q_in.data(), k_in.data(), q_to.data(), k_to.data()));
  });
  double worst = 0;
  const auto check = [&](const std::vector<float>& got, const std::vector<float>& from, uint32_t n_heads) {
    for (size_t at = 0; at < from.size(); at += head_dim) {
      std::vector<double> want(from.begin() + static_cast<ptrdiff_t>(at),
                               from.begin() + static_cast<ptrdiff_t>(at + head_dim));
      reference::rotate(model.layer(layer), positions[at / head_dim / n_heads], want);
      for (uint32_t d = 0; d < head_dim; ++d) {
        const double error = std::abs(got[at + d] - want[d]);
        if (!(error <= worst)) worst = error;
      }
    }
  };
  check(q_to.read(), q, model.shape().n_heads);
  check(k_to.read(), k, model.shape().n_kv_heads);
  return worst;
}

}  // namespace

TEST_CASE("rope - turns queries and keys by their row's position") {
  for (uint32_t kind : {TENURE_ROPE_INTERLEAVED, TENURE_ROPE_HALVES}) {
    for (uint32_t head_dim : {16u, 32u, 64u, 128u, 256u}) {
      const TestModel model(backend(2), shape_of(head_dim, kind), TENURE_F32);
      for (bool in_place : {false, true}) {
        CAPTURE(kind);
        CAPTURE(head_dim);
        CAPTURE(in_place);
        CHECK(error_of_rope(model, 0, in_place) <= 2e-6);
      }
    }
  }
}

TEST_CASE("rope - each layer turns by its own base and factors") {
  for (double odd_base : {10000.0, 1e6}) {  // the even layers' base, and another
    CAPTURE(odd_base);
    ModelShape shape = shape_of(128, TENURE_ROPE_HALVES);
    shape.n_layers = 3;
    shape.odd_rope_base = odd_base;
    const TestModel model(backend(2), shape, TENURE_F32);
    for (uint32_t layer : {0u, 1u, 2u}) {
      CAPTURE(layer);
      CHECK(error_of_rope(model, layer, false) <= 2e-6);
    }
  }
}

TEST_CASE("cache_read - gives what was appended, as the type keeps it") {
  for_every_cache([](Held& held, uint32_t type) {
    const uint32_t head_dim = held.model.shape().head_dim;
    for (TestSequence::Head& head : held.sequence.heads()) {
      std::vector<float> k(size_t{held.n} * head_dim), v(k.size());
      const tenure_kv_read reads[] = {{.pool = &held.sequence.kv(),
                                       .pages = head.pages.data(),
                                       .k = k.data(),
                                       .v = nullptr,
                                       .n_slots = held.n,
                                       .head_dim = head_dim},
                                      {.pool = &held.sequence.kv(),
                                       .pages = head.pages.data(),
                                       .k = nullptr,
                                       .v = v.data(),
                                       .n_slots = held.n - 1,
                                       .head_dim = head_dim}};
      require_ok(held.model.backend().cache_read(reads));
      require_ok(held.model.backend().synchronize());
      double worst = 0;
      for (uint32_t slot = 0; slot < held.n; ++slot) {
        for (uint32_t d = 0; d < head_dim; ++d) {
          const size_t at = size_t{slot} * head_dim + d;
          const double value = slot + 1 < held.n ? head.slots.slots[slot].value[d] : 0.0;
          worst = std::max({worst, std::abs(k[at] - head.slots.slots[slot].key[d]), std::abs(v[at] - value)});
        }
      }
      CHECK(worst <= (type == TENURE_F32 || type == TENURE_F16 || type == TENURE_BF16 ? 0.0 : 1e-5));
    }
  });
}

TEST_CASE("cache_move - compaction keeps the survivors") {
  for_every_cache([](Held& held, uint32_t type) {
    std::vector<tenure_kv_move> moves;
    uint32_t n_left = 0;
    for (uint32_t slot = 0; slot < held.n; ++slot) {
      if (slot % 3 == 1) continue;
      if (slot != n_left) moves.push_back({.src = slot, .dst = n_left});
      ++n_left;
    }
    held.move(moves, n_left);
    CHECK(held.error_of_decode() <= tolerance(type));
  });
}

TEST_CASE("cache_move - the last slot fills a hole, and appending goes on behind it") {
  for_every_cache([](Held& held, uint32_t type) {
    for (uint32_t step = 0; step < 20; ++step) {
      const auto n_slots = static_cast<uint32_t>(held.sequence.heads()[0].pos.size());
      const tenure_kv_move move{.src = n_slots - 1, .dst = step * 13 % (n_slots - 1)};
      held.move({&move, 1}, n_slots - 1);
      CHECK(held.error_of_decode(500 + static_cast<int32_t>(step)) <= tolerance(type));
    }
  });
}

TEST_CASE("cache_copy - a copied page holds the same, and what follows leaves the original alone") {
  for_every_cache([](Held& held, uint32_t type) {
    std::vector<std::vector<uint32_t>> originals;
    std::vector<TestSequence::Head> before = held.sequence.heads();
    held.sequence.move_to_fresh_pages(held.model.backend());
    const tenure_kv_move move{.src = held.n - 1, .dst = 3};
    held.move({&move, 1}, held.n - 1);
    CHECK(held.error_of_decode() <= tolerance(type));
    held.sequence.heads() = before;
    CHECK(held.error_of_decode() <= tolerance(type));
  });
}

TEST_CASE("cache_rotate - turns each slot's key by its own delta") {
  for (uint32_t kind : {TENURE_ROPE_INTERLEAVED, TENURE_ROPE_HALVES}) {
    for (uint32_t head_dim : {16u, 64u, 128u, 256u}) {
      const TestModel model(backend(2), shape_of(head_dim, kind), TENURE_F32);
      for (uint32_t type : kv_types) {
        CAPTURE(kind);
        CAPTURE(head_dim);
        CAPTURE(std::string(dtype_name(type)));
        if (!keeps(model.backend(), head_dim, type, type)) continue;
        Held held(model, type, 77);
        std::vector<int32_t> delta(held.n);
        for (uint32_t i = 0; i < held.n; ++i) delta[i] = i % 4 == 0 ? 0 : -static_cast<int32_t>(i * 5);
        std::vector<tenure_kv_rotation> rotations;
        for (TestSequence::Head& head : held.sequence.heads()) {
          rotations.push_back({.pool = &held.sequence.kv(),
                               .pages = head.pages.data(),
                               .delta = delta.data(),
                               .n_slots = held.n,
                               .layer = 0});
          head.slots.rotate(model.layer(), delta);
        }
        require_ok(model.backend().cache_rotate(model.weights(), rotations));
        require_ok(model.backend().synchronize());
        CHECK(held.error_of_decode() <= rotated_tolerance(type));
      }
    }
  }
}

TEST_CASE("cache_rotate - turning the keys is turning the query the other way") {
  const TestModel model(backend(), shape_of(64, TENURE_ROPE_INTERLEAVED), TENURE_F32);
  Held turned(model, TENURE_F32, 60), shifted(model, TENURE_F32, 60);
  const std::vector<int32_t> delta(60, 25);
  std::vector<tenure_kv_rotation> rotations;
  for (TestSequence::Head& head : turned.sequence.heads()) {
    rotations.push_back({.pool = &turned.sequence.kv(),
                         .pages = head.pages.data(),
                         .delta = delta.data(),
                         .n_slots = 60,
                         .layer = 0});
  }
  require_ok(model.backend().cache_rotate(model.weights(), rotations));
  require_ok(model.backend().synchronize());
  TestBatch a(model, 2), b(model, 2);
  const TestRows row{.kind = TENURE_ROWS_DECODE, .first_pos = 70, .n_rows = 1};
  a.add(turned.sequence, row);
  b.add(shifted.sequence, row);
  for (TestSequence::Head& head : shifted.sequence.heads())
    head.runs = {{.n_slots = 60, .shift = 25}, {.n_slots = 1, .shift = 0}};
  a.attend(false);
  b.attend(false);
  for (size_t i = 0; i < a.out(0).size(); ++i)
    CHECK(a.out(0)[i] == doctest::Approx(b.out(0)[i]).epsilon(1e-4).scale(1));
}

}  // namespace tenure::conformance
