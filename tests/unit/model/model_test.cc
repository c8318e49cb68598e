// The forward: the same rows in any company give the same logits.
#include "model/model.h"

#include <algorithm>
#include <cmath>

#include "unit/session/tiny_host.h"

namespace tenure::test {
namespace {

struct Sequence {
  KvAccount account;
  KvCache cache;
  std::vector<int32_t> ids;

  Sequence(TinyHost& host, uint32_t n, uint64_t seed)
      : cache(host.backend(), host.model().weights(), host.memory().kv_config(Dtype::f32, Dtype::f32),
              account),
        ids(some_ids(n, seed)) {}
};

struct Feeder {
  TinyHost& host;
  Activations activations;
  Batch batch;

  explicit Feeder(TinyHost& tiny) : host(tiny), activations(tiny.backend(), tiny.config(), 64) {
    host.backend().reserve(host.model().weights(), 64, 64, 256);
  }
  // Rows [first, first + n) of the sequence; the last one's logits are wanted.
  void add(Sequence& sequence, uint32_t first, uint32_t n, std::vector<float>& logits) {
    sequence.cache.begin_step();
    REQUIRE(sequence.cache.append(static_cast<int32_t>(first), n));
    const uint32_t row = batch.add({.cache = &sequence.cache,
                                    .appended = 0,
                                    .kind = TENURE_ROWS_PREFILL,
                                    .ids = std::span(sequence.ids).subspan(first, n),
                                    .first_pos = static_cast<int32_t>(first),
                                    .n_mass_rows = 0});
    logits.assign(host.config().n_vocab, 0.0f);
    batch.want(row + n - 1,
               {.flags = TENURE_WANT_FULL | TENURE_WANT_ARGMAX | TENURE_WANT_LOGSUMEXP, .full = logits});
  }
  void run() {
    REQUIRE(host.model().forward(batch, activations).ok());
    for (uint32_t row = 0; row < batch.n_rows(); ++row) REQUIRE(batch.first_bad_layer(row) == -1);
  }
};

std::vector<float> alone(TinyHost& host, uint32_t n, uint64_t seed) {
  Sequence sequence(host, n, seed);
  Feeder feeder(host);
  std::vector<float> logits;
  feeder.add(sequence, 0, n, logits);
  feeder.run();
  return logits;
}

double difference(const std::vector<float>& a, const std::vector<float>& b) {
  double worst = 0;
  for (size_t i = 0; i < a.size(); ++i) worst = std::max(worst, std::abs(double{a[i]} - b[i]));
  return worst;
}

}  // namespace

TEST_CASE("model - rows of other sequences change nothing") {
  for (const std::string backend : {"cpu", "toy"}) {
    CAPTURE(backend);
    TinyHost host(backend);
    Sequence a(host, 20, 1), b(host, 7, 2), c(host, 13, 3);
    Feeder feeder(host);
    std::vector<float> of_a, of_b, of_c;
    feeder.add(b, 0, 7, of_b);
    feeder.add(a, 0, 20, of_a);
    feeder.add(c, 0, 13, of_c);
    feeder.run();
    CHECK(of_a == alone(host, 20, 1));  // to the bit
    CHECK(of_b == alone(host, 7, 2));
    CHECK(of_c == alone(host, 13, 3));
  }
}

TEST_CASE("model - a prompt in pieces is the prompt") {
  TinyHost host;
  Sequence sequence(host, 30, 4);
  Feeder feeder(host);
  std::vector<float> logits;
  for (const auto& [first, n] : {std::pair{0u, 11u}, {11u, 1u}, {12u, 18u}}) {
    feeder.batch.clear();
    feeder.add(sequence, first, n, logits);
    feeder.run();
  }
  CHECK(difference(logits, alone(host, 30, 4)) < 1e-4);
}

TEST_CASE("model - two backends agree") {
  for (const std::string file : {"tiny-llama-f32", "tiny-group3-f32", "tiny-llama-q8_0"}) {
    CAPTURE(file);
    TinyHost cpu("cpu", file), toy("toy", file);
    CHECK(difference(alone(cpu, 40, 5), alone(toy, 40, 5)) < (file == "tiny-llama-q8_0" ? 0.2 : 2e-4));
  }
}

TEST_CASE("model - argmax and log-sum-exp are those of the full logits") {
  TinyHost host;
  Sequence sequence(host, 9, 6);
  Feeder feeder(host);
  std::vector<float> logits;
  feeder.add(sequence, 0, 9, logits);
  feeder.run();
  const auto best = std::max_element(logits.begin(), logits.end());
  double sum = 0;
  for (float x : logits) sum += std::exp(double{x} - *best);
  CHECK(feeder.batch.logits(0).argmax == best - logits.begin());
  CHECK(feeder.batch.logits(0).max_logit == *best);
  CHECK(feeder.batch.logits(0).logsumexp == doctest::Approx(*best + std::log(sum)).epsilon(1e-6));
}

TEST_CASE("model info - the plugins' table says what the file says") {
  TinyHost host("cpu", "tiny-group3-f32");
  const ModelInfo info(host.config());
  CHECK(info.abi().n_layers == 2);
  CHECK(info.abi().n_heads == 3);
  CHECK(info.abi().layers[1].n_kv_heads == 1);
  CHECK(info.abi().layers[1].head_dim == 32);
  CHECK(info.abi().layers[0].rope_base == 100000.0f);
  CHECK(std::string(info.abi().fingerprint.ptr, info.abi().fingerprint.len) == host.config().fingerprint);
}

}  // namespace tenure::test
