// Exactness: a row's bits do not depend on the other rows, their number, the threads, or how a chunk was
// packed.
#include <doctest/doctest.h>

#include <memory>
#include <numeric>

#include "conformance/test_cache.h"

namespace tenure::conformance {
namespace {

using Rows = std::vector<float>;

const ModelShape row_shape = {.n_embd = 96,
                              .n_ff = 160,
                              .n_vocab = 1100,
                              .n_heads = 6,
                              .n_kv_heads = 2,
                              .head_dim = 32,
                              .rope_dim = 32,
                              .biases = true};

const ModelShape family_shape = {.n_embd = 96,
                                 .n_ff = 160,
                                 .n_vocab = 1100,
                                 .n_heads = 3,
                                 .n_kv_heads = 1,
                                 .head_dim = 128,
                                 .rope_dim = 96,
                                 .qk_norm = true,
                                 .attn_post_norm = true,
                                 .ffn_post_norm = true,
                                 .rope_factors = true,
                                 .activation = TENURE_ACTIVATION_GELU_TANH,
                                 .embedding_scale = 9.8f};

// What every op of a forward without a cache makes of these rows, one row after the other.
struct RowResults {
  Rows embedded, q, k, v, q_rotated, mixed, fed, logits;
  std::vector<tenure_logits> results;
};

RowResults run_rows(const TestModel& model, std::span<const float> x, std::span<const float> mixed,
                    std::vector<int32_t> positions) {
  const ModelShape& shape = model.shape();
  Backend& device = model.backend();
  const auto n_rows = static_cast<uint32_t>(positions.size());
  const DeviceFloats in(device, x), q(device, n_rows * shape.n_q()), k(device, n_rows * shape.n_kv()),
      v(device, n_rows * shape.n_kv());
  const DeviceFloats q_rotated(device, n_rows * shape.n_q()), k_rotated(device, n_rows * shape.n_kv()),
      from(device, mixed), out(device, x), fed(device, x), embedded(device, x.size());
  RowResults all;
  all.logits.resize(size_t{n_rows} * shape.n_vocab);
  all.results.resize(n_rows);
  std::vector<tenure_want> wants;
  for (uint32_t row = 0; row < n_rows; ++row) {
    wants.push_back({.row = row,
                     .flags = TENURE_WANT_FULL | TENURE_WANT_LOGSUMEXP,
                     .full = &all.logits[size_t{row} * shape.n_vocab],
                     .result = &all.results[row]});
  }
  TestForward forward(model, std::vector<int32_t>(n_rows, 1), std::move(positions));
  forward.run([&](Backend& b, const tenure_forward& f) {
    require_ok(b.embed(f, embedded.data()));
    require_ok(b.qkv(f, 0, in.data(), q.data(), k.data(), v.data(), nullptr));
    require_ok(b.rope(f, 0, q.data(), k.data(), q_rotated.data(), k_rotated.data()));
    require_ok(b.attn_out(f, 0, from.data(), out.data()));
    require_ok(b.mlp(f, 0, fed.data()));
    require_ok(b.head_logits(f, in.data(), wants));
  });
  all.embedded = embedded.read();
  all.q = q.read();
  all.k = k.read();
  all.v = v.read();
  all.q_rotated = q_rotated.read();
  all.mixed = out.read();
  all.fed = fed.read();
  return all;
}

// Row `row` of `many` is all of `one`.
bool same_row(const RowResults& many, uint32_t row, const RowResults& one) {
  const auto same = [&](const Rows RowResults::*part) {
    const Rows& alone = one.*part;
    return same_bits(std::span(many.*part).subspan(row * alone.size(), alone.size()), alone);
  };
  return same(&RowResults::embedded) && same(&RowResults::q) && same(&RowResults::k) &&
         same(&RowResults::v) && same(&RowResults::q_rotated) && same(&RowResults::mixed) &&
         same(&RowResults::fed) && same(&RowResults::logits) &&
         many.results[row].logsumexp == one.results[0].logsumexp &&
         many.results[row].argmax == one.results[0].argmax;
}

const ModelShape attend_shapes[] = {
    {.n_embd = 64, .n_ff = 32, .n_vocab = 32, .n_heads = 6, .n_kv_heads = 2, .head_dim = 64, .rope_dim = 64},
    {.n_embd = 64,
     .n_ff = 32,
     .n_vocab = 32,
     .n_heads = 8,
     .n_kv_heads = 2,
     .head_dim = 256,
     .rope_dim = 256,
     .window = 96,
     .attention_scale = 0.05}};

// The same five segments of four sequences, in one forward or one forward each.
struct Neighbours {
  Neighbours(const TestModel& model, uint32_t type)
      : pool(model.backend(), model.shape().head_dim, type, type) {
    for (uint32_t i = 0; i < 4; ++i) sequences.push_back(std::make_unique<TestSequence>(pool, model.layer()));
    for (uint32_t i = 0; i < 3; ++i) {
      std::mt19937 random(i);
      TestBatch history(model, 70 + i);
      history.add(*sequences[i], {.n_rows = 210 + 90 * i, .masks = ragged(2, 210 + 90 * i, 0.8, random)});
      history.append();
    }
  }
  std::vector<std::pair<uint32_t, TestRows>> plan() const {
    return {{0, {.kind = TENURE_ROWS_DECODE, .first_pos = 210, .n_rows = 1}},
            {1, {.first_pos = 300, .n_rows = 61, .n_mass_rows = 20}},
            {2, {.kind = TENURE_ROWS_DECODE, .first_pos = 390, .n_rows = 1}},
            {3, {.n_rows = 128}}};
  }
  TestPool pool;
  std::vector<std::unique_ptr<TestSequence>> sequences;
};

struct Outcome {
  std::vector<Rows> out;
  std::vector<Rows> mass;
};

Outcome run_neighbours(const TestModel& model, uint32_t type, bool together) {
  const ModelShape& shape = model.shape();
  Neighbours n(model, type);
  Outcome outcome;
  const auto plan = n.plan();
  const auto keep = [&](const TestBatch& batch, uint32_t segment) {
    outcome.out.emplace_back(batch.out(segment).begin(), batch.out(segment).end());
  };
  const auto values = [&](const TestRows& rows, uint32_t i) {
    return TestBatch::Values{.k = random_floats(rows.n_rows * shape.n_kv(), i),
                             .v = random_floats(rows.n_rows * shape.n_kv(), 10 + i),
                             .q = random_floats(rows.n_rows * shape.n_q(), 20 + i)};
  };
  TestBatch all(model, 1);
  for (uint32_t i = 0; i < plan.size(); ++i) {
    TestBatch one(model, 1);
    TestBatch& batch = together ? all : one;
    batch.give(values(plan[i].second, i));
    batch.add(*n.sequences[plan[i].first], plan[i].second);
    if (together) continue;
    batch.attend(true);
    keep(batch, 0);
  }
  if (together) {
    all.attend(true);
    for (uint32_t i = 0; i < plan.size(); ++i) keep(all, i);
  }
  for (const auto& sequence : n.sequences) {
    for (const TestSequence::Head& head : sequence->heads()) outcome.mass.push_back(head.mass);
  }
  return outcome;
}

bool same(const Outcome& a, const Outcome& b) {
  for (size_t i = 0; i < a.out.size(); ++i) {
    if (!same_bits(a.out[i], b.out[i])) return false;
  }
  for (size_t i = 0; i < a.mass.size(); ++i) {
    if (!same_bits(a.mass[i], b.mass[i])) return false;
  }
  return a.out.size() == b.out.size() && a.mass.size() == b.mass.size();
}

// Rows of one model alone, then among others.
void check_rows(const ModelShape& shape, uint32_t dtype) {
  const uint32_t most = 300;
  const Rows x = random_floats(most * shape.n_embd, 1);
  const Rows mixed = random_floats(most * shape.n_q(), 2);
  const TestModel one_thread(backend(1), shape, dtype), two_threads(backend(2), shape, dtype);
  std::vector<RowResults> alone;
  for (uint32_t row : {0u, 1u, 4u, 6u, 13u, 64u, 299u}) {
    alone.push_back(run_rows(one_thread, std::span(x).subspan(row * shape.n_embd, shape.n_embd),
                             std::span(mixed).subspan(row * shape.n_q(), shape.n_q()),
                             {static_cast<int32_t>(row)}));
  }
  for (uint32_t n_rows : {1u, 2u, 5u, 7u, 14u, 65u, 300u}) {
    for (const TestModel* model : {&one_thread, &two_threads}) {
      CAPTURE(n_rows);
      CAPTURE(model == &two_threads);
      std::vector<int32_t> positions(n_rows);
      std::iota(positions.begin(), positions.end(), 0);
      const RowResults many = run_rows(*model, std::span(x).first(n_rows * shape.n_embd),
                                       std::span(mixed).first(n_rows * shape.n_q()), positions);
      size_t i = 0;
      for (uint32_t row : {0u, 1u, 4u, 6u, 13u, 64u, 299u}) {
        CAPTURE(row);
        if (row < n_rows) CHECK(same_row(many, row, alone[i]));
        ++i;
      }
    }
  }
}

constexpr uint32_t cut_rows = 192;

// The same rows of one sequence, so many a forward or the next that the backend allows.
Rows run_cut(const TestModel& model, uint32_t type, uint32_t rows_at_once) {
  const uint32_t n_kv = model.shape().n_kv(), n_q = model.shape().n_q();
  const Rows k = random_floats(cut_rows * n_kv, 1), v = random_floats(cut_rows * n_kv, 2),
             q = random_floats(cut_rows * n_q, 3);
  const auto part = [](const Rows& all, uint32_t first, uint32_t n, uint32_t width) {
    return Rows(all.begin() + first * width, all.begin() + (first + n) * width);
  };
  TestPool pool(model.backend(), model.shape().head_dim, type, type);
  TestSequence sequence(pool, model.layer());
  const uint32_t granularity = model.backend().properties().row_granularity;
  const uint32_t step = (rows_at_once + granularity - 1) / granularity * granularity;
  Rows out;
  for (uint32_t first = 0; first < cut_rows; first += step) {
    const uint32_t n = std::min(step, cut_rows - first);
    TestBatch batch(model, 1);
    batch.give({.k = part(k, first, n, n_kv), .v = part(v, first, n, n_kv), .q = part(q, first, n, n_q)});
    batch.add(sequence, {.first_pos = static_cast<int32_t>(first), .n_rows = n});
    batch.attend(false);
    out.insert(out.end(), batch.out(0).begin(), batch.out(0).end());
  }
  return out;
}

}  // namespace

TEST_CASE(
    "strict - a row's bits are the same alone, among any number of rows, and on any number of threads") {
  for (const ModelShape& shape : {row_shape, family_shape}) {
    for (uint32_t dtype : all_weight_dtypes) {
      CAPTURE(shape.qk_norm);
      CAPTURE(std::string(dtype_name(dtype)));
      check_rows(shape.widened_for(dtype), dtype);
    }
  }
}

TEST_CASE(
    "strict - attention and its mass have the same bits alone, among others, and on any number of threads") {
  for (const ModelShape& shape : attend_shapes) {
    const TestModel one_thread(backend(1), shape, TENURE_F32), two_threads(backend(2), shape, TENURE_F32);
    for (uint32_t type : {TENURE_F32, TENURE_F16, TENURE_BF16, TENURE_Q8_0, TENURE_Q4_1}) {
      if (!keeps(backend(2), shape.head_dim, type, type)) continue;
      CAPTURE(shape.head_dim);
      CAPTURE(std::string(dtype_name(type)));
      const Outcome alone = run_neighbours(one_thread, type, false);
      CHECK(same(alone, run_neighbours(one_thread, type, true)));
      CHECK(same(alone, run_neighbours(two_threads, type, false)));
      CHECK(same(alone, run_neighbours(two_threads, type, true)));
    }
  }
}

TEST_CASE("strict - a chunk may be cut at multiples of row_granularity") {
  for (const ModelShape& shape : attend_shapes) {
    const TestModel model(backend(2), shape, TENURE_F32);
    for (uint32_t type : {TENURE_F32, TENURE_F16, TENURE_BF16, TENURE_Q8_0, TENURE_Q4_1}) {
      if (!keeps(backend(2), shape.head_dim, type, type)) continue;
      CAPTURE(shape.head_dim);
      CAPTURE(std::string(dtype_name(type)));
      const Rows whole = run_cut(model, type, cut_rows);
      for (uint32_t rows_at_once : {1u, 5u, 48u, 100u}) {
        CAPTURE(rows_at_once);
        CHECK(same_bits(run_cut(model, type, rows_at_once), whole));
      }
    }
  }
}

}  // namespace tenure::conformance
