// A step allocates nothing: every allocation of the program is counted.
#include <doctest/doctest.h>

#include <atomic>
#include <cstdlib>
#include <new>

#include "small_model.h"

namespace {
std::atomic<uint64_t> n_allocations{0};
}  // namespace

void* operator new(size_t bytes) {
  ++n_allocations;
  if (void* p = std::malloc(bytes)) return p;
  throw std::bad_alloc();
}
void operator delete(void* p) noexcept {
  std::free(p);
}
void operator delete(void* p, size_t) noexcept {
  std::free(p);
}

namespace tenure::cpu::test {

TEST_CASE("ops - allocate nothing inside what was reserved") {
  const SmallModel model(TENURE_Q4_1, 51, {.norms = true});
  const Sizes& s = model.sizes;
  const Threads alone(1);
  const auto weights = model.load(alone.exec());
  const auto device = make_device(*choose_kernels(""), alone, *weights, 40);
  const uint32_t layer = model.layer;
  for (uint32_t n_rows : {1u, 40u}) {
    CAPTURE(n_rows);
    Forward forward(n_rows);
    std::vector<float> x(size_t{n_rows} * s.n_embd), q(size_t{n_rows} * s.n_heads * s.head_dim);
    std::vector<float> k(size_t{n_rows} * s.n_kv_heads * s.head_dim), v = k;
    tenure_logits result{};
    const tenure_want want{.row = 0, .flags = TENURE_WANT_ARGMAX, .result = &result};
    const uint64_t before = n_allocations;
    embed(*device, *weights, forward.call, x.data());
    qkv(*device, *weights, forward.call,
        {.layer = layer, .x = x.data(), .q = q.data(), .k = k.data(), .v = v.data(), .hidden = nullptr});
    attn_out(*device, *weights, forward.call, layer, q.data(), x.data());
    mlp(*device, *weights, forward.call, layer, x.data());
    head_logits(*device, *weights, forward.call, x.data(), 1, &want);
    CHECK(n_allocations == before);
    CHECK(result.status == TENURE_OK);
  }
}

}  // namespace tenure::cpu::test
