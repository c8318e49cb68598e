#include "small_model.h"

#include <atomic>
#include <cmath>
#include <thread>

#include "emulated_kernels.h"

namespace tenure::cpu::test {

Threads::Threads(uint32_t n_workers)
    : state_{n_workers, 0},
      host_{.head = {.struct_size = sizeof host_, .rev = 0, .flags = 0},
            .abi_major = TENURE_ABI_MAJOR,
            .abi_minor = TENURE_ABI_MINOR,
            .ctx = &state_,
            .query = nullptr},
      service_{.head = {.struct_size = sizeof service_, .rev = 1, .flags = 0},
               .n_workers = count,
               .parallel_for = run,
               .hot_begin = [](const tenure_host*) {},
               .hot_end = [](const tenure_host*) {}} {}

uint32_t Threads::count(const tenure_host* host) {
  return static_cast<State*>(host->ctx)->n_workers;
}

void Threads::run(const tenure_host* host, uint32_t n_tasks, tenure_task task, void* ctx) {
  ++static_cast<State*>(host->ctx)->n_regions;
  std::atomic<uint32_t> next{0};
  const auto work = [&](uint32_t worker) {
    for (uint32_t i = next.fetch_add(1); i < n_tasks; i = next.fetch_add(1)) task(ctx, i, worker);
  };
  const uint32_t n = count(host);
  if (n == 1) return work(0);
  std::vector<std::thread> threads;
  for (uint32_t worker = 1; worker < n; ++worker) threads.emplace_back(work, worker);
  work(0);
  for (std::thread& thread : threads) thread.join();
}

Sizes sizes_for(uint32_t dtype) {
  Sizes sizes;
  sizes.n_embd = whole_blocks(dtype, sizes.n_embd);
  sizes.n_ff = whole_blocks(dtype, sizes.n_ff);
  sizes.n_heads = whole_blocks(dtype, sizes.n_heads * sizes.head_dim) / sizes.head_dim;
  return sizes;
}

SmallInfo::SmallInfo(const Sizes& s) {
  layers.assign(s.n_layers, {.n_kv_heads = s.n_kv_heads,
                             .head_dim = s.head_dim,
                             .rope_dim = s.head_dim,
                             .rope_kind = TENURE_ROPE_INTERLEAVED,
                             .window = 0,
                             .reserved0 = 0,
                             .rope_base = 1e4,
                             .rope_factors = nullptr,
                             .attention_scale = 1 / std::sqrt(s.head_dim)});
  info = {};
  info.head.struct_size = sizeof info;
  info.n_layers = s.n_layers;
  info.n_embd = s.n_embd;
  info.n_ff = s.n_ff;
  info.n_vocab = s.n_vocab;
  info.n_ctx = 512;
  info.n_heads = s.n_heads;
  info.norm_epsilon = 1e-5f;
  info.layer_stride = sizeof(tenure_layer_info);
  info.layers = layers.data();
  info.embedding_scale = 1;
}

SmallModel::SmallModel(uint32_t dtype, uint32_t seed, const Sizes& s) : sizes(s), layer(s.n_layers - 1) {
  std::mt19937 random(seed);
  const auto make = [&](uint32_t type, uint32_t n_out, uint32_t n_in) {
    return make_source(type, n_out, n_in, random);
  };
  const uint32_t n_q = s.n_heads * s.head_dim, n_kv = s.n_kv_heads * s.head_dim;
  token_embd = make(dtype, s.n_vocab, s.n_embd);
  attn_norm = make(TENURE_F32, 1, s.n_embd);
  ffn_norm = make(TENURE_F32, 1, s.n_embd);
  output_norm = make(TENURE_F32, 1, s.n_embd);
  q = make(dtype, n_q, s.n_embd);
  k = make(dtype, n_kv, s.n_embd);
  // Files mix types inside a layer.
  v = make(TENURE_Q8_0, n_kv, s.n_embd);
  q_bias = make(TENURE_F32, 1, n_q);
  k_bias = make(TENURE_F32, 1, n_kv);
  v_bias = make(TENURE_F32, 1, n_kv);
  attn_out = make(dtype, s.n_embd, n_q);
  gate = make(dtype, s.n_ff, s.n_embd);
  up = make(dtype, s.n_ff, s.n_embd);
  down = make(dtype, s.n_embd, s.n_ff);
  head_norm = make(TENURE_F32, 1, s.head_dim);
  post_norm = make(TENURE_F32, 1, s.n_embd);
}

std::unique_ptr<Weights> SmallModel::load(const Exec& exec) const {
  const SmallInfo info(sizes);
  auto weights = std::make_unique<Weights>(info.info);
  const auto add = [&](uint32_t role, uint32_t i, const Source& source) {
    weights->add({.head = {.struct_size = sizeof(tenure_weight), .rev = 0, .flags = 0},
                  .role = role,
                  .layer = i,
                  .dtype = source.dtype,
                  .reserved0 = 0,
                  .n_out = source.n_out,
                  .n_in = source.n_in,
                  .data = source.bytes.data(),
                  .bytes = source.bytes.size()},
                 exec);
  };
  add(TENURE_WEIGHT_TOKEN_EMBD, TENURE_ALL_LAYERS, token_embd);
  add(TENURE_WEIGHT_OUTPUT_NORM, TENURE_ALL_LAYERS, output_norm);
  const std::pair<uint32_t, const Source*> of_layer[] = {{TENURE_WEIGHT_ATTN_NORM, &attn_norm},
                                                         {TENURE_WEIGHT_FFN_NORM, &ffn_norm},
                                                         {TENURE_WEIGHT_Q, &q},
                                                         {TENURE_WEIGHT_K, &k},
                                                         {TENURE_WEIGHT_V, &v},
                                                         {TENURE_WEIGHT_Q_BIAS, &q_bias},
                                                         {TENURE_WEIGHT_K_BIAS, &k_bias},
                                                         {TENURE_WEIGHT_V_BIAS, &v_bias},
                                                         {TENURE_WEIGHT_ATTN_OUT, &attn_out},
                                                         {TENURE_WEIGHT_FFN_GATE, &gate},
                                                         {TENURE_WEIGHT_FFN_UP, &up},
                                                         {TENURE_WEIGHT_FFN_DOWN, &down}};
  std::mt19937 random(99);
  for (const auto& [role, source] : of_layer) {
    for (uint32_t i = 0; i < layer; ++i)
      add(role, i, make_source(source->dtype, source->n_out, source->n_in, random));
    add(role, layer, *source);
  }
  if (sizes.norms) {
    add(TENURE_WEIGHT_Q_NORM, layer, head_norm);
    add(TENURE_WEIGHT_K_NORM, layer, head_norm);
    add(TENURE_WEIGHT_ATTN_POST_NORM, layer, post_norm);
    add(TENURE_WEIGHT_FFN_POST_NORM, layer, post_norm);
  }
  return weights;
}

std::unique_ptr<Device> make_device(const Kernels& kernels, const Threads& threads, const Weights& weights,
                                    uint32_t n_rows, const PrefillProducts* prefill) {
  auto device = std::make_unique<Device>();
  device->exec = threads.exec();
  device->kernels = &kernels;
  device->prefill = prefill;
  device->reserve(weights, n_rows);
  return device;
}

std::vector<const Kernels*> usable_kernels() {
  std::vector<const Kernels*> usable;
  for (const char* name : {"scalar", "avx2", "avx512"}) {
    if (const Kernels* kernels = choose_kernels(name)) usable.push_back(kernels);
  }
  return usable;
}

std::vector<const PrefillProducts*> usable_prefill_products() {
  std::vector<const PrefillProducts*> usable;
  if (can_emulate_tiles()) usable.push_back(&kEmulatedProducts);
  if (const PrefillProducts* best = choose_prefill_products("amx")) usable.push_back(best);
  return usable;
}

std::vector<float> normal_rows(uint32_t n_rows, uint32_t n, uint32_t seed) {
  std::mt19937 random(seed);
  std::normal_distribution<float> normal(0, 1);
  std::vector<float> rows(size_t{n_rows} * n);
  for (float& value : rows) value = normal(random);
  return rows;
}

Forward::Forward(uint32_t n_rows)
    : ids(n_rows), positions(n_rows), bad(n_rows, -1), kinds(n_rows, TENURE_ROWS_PREFILL) {
  call = {};
  call.head.struct_size = sizeof call;
  call.n_rows = n_rows;
  call.ids = ids.data();
  call.positions = positions.data();
  call.kinds = kinds.data();
  call.first_bad_layer = bad.data();
}

std::vector<double> rms_norm(const std::vector<double>& x, const Source& weight) {
  std::vector<double> out(x.size());
  const size_t n = weight.n_in;
  for (size_t row = 0; row < x.size(); row += n) {
    double sum = 0;
    for (size_t i = 0; i < n; ++i) sum += x[row + i] * x[row + i];
    const double scale = 1 / std::sqrt(sum / static_cast<double>(n) + 1e-5);
    for (size_t i = 0; i < n; ++i) out[row + i] = x[row + i] * scale * weight.values[i];
  }
  return out;
}

std::vector<double> product(const std::vector<double>& x, const Source& weight) {
  const size_t n_in = weight.n_in;
  std::vector<double> out;
  for (size_t row = 0; row < x.size(); row += n_in) {
    for (size_t n = 0; n < weight.n_out; ++n) {
      double sum = 0;
      for (size_t k = 0; k < n_in; ++k) sum += x[row + k] * weight.values[n * n_in + k];
      out.push_back(sum);
    }
  }
  return out;
}

double relative_error(const std::vector<float>& actual, const std::vector<double>& expected) {
  double error = 0, norm = 0;
  for (size_t i = 0; i < expected.size(); ++i) {
    error += (actual[i] - expected[i]) * (actual[i] - expected[i]);
    norm += expected[i] * expected[i];
  }
  return std::sqrt(error / norm);
}

double tolerance(uint32_t dtype) {
  return is_quantised(dtype) ? 0.02 : 2e-6;
}

}  // namespace tenure::cpu::test
