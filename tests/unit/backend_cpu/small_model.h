// A two-layer model of random weights on a device with a chosen number of workers.
#pragma once

#include <memory>
#include <random>
#include <vector>

#include "device.h"
#include "quantised_source.h"

namespace tenure::cpu::test {

// tenure.exec/1 on threads made for each region.
class Threads {
 public:
  explicit Threads(uint32_t n_workers);
  Exec exec() const { return {&host_, &service_}; }
  // Parallel regions so far.
  uint32_t n_regions() const { return state_.n_regions; }

 private:
  static uint32_t count(const tenure_host* host);
  static void run(const tenure_host* host, uint32_t n_tasks, tenure_task task, void* ctx);

  struct State {
    uint32_t n_workers;
    uint32_t n_regions;
  };
  State state_;
  tenure_host host_;
  tenure_exec_service service_;
};

struct Sizes {
  uint32_t n_embd = 96;
  uint32_t n_ff = 224;
  uint32_t n_heads = 4;
  uint32_t n_kv_heads = 2;
  uint32_t head_dim = 32;
  uint32_t n_vocab = 2100;  // more than two slices of logits
  uint32_t n_layers = 2;
  bool norms = false;  // over the heads of q and k and over what blocks add, in the last layer only
};

// The defaults, widened to whole blocks of the type.
Sizes sizes_for(uint32_t dtype);

// A model's info; keeps its layer table.
struct SmallInfo {
  explicit SmallInfo(const Sizes&);
  std::vector<tenure_layer_info> layers;
  tenure_model_info info;
};

// The weights of the last layer and of no layer, in double; the first layer is there to be told apart.
struct SmallModel {
  SmallModel(uint32_t dtype, uint32_t seed) : SmallModel(dtype, seed, sizes_for(dtype)) {}
  SmallModel(uint32_t dtype, uint32_t seed, const Sizes& sizes);
  // Gives them to a backend.
  std::unique_ptr<Weights> load(const Exec&) const;

  Sizes sizes;
  uint32_t layer;
  Source token_embd, attn_norm, ffn_norm, output_norm, q, k, v, q_bias, k_bias, v_bias, attn_out, gate, up,
      down, head_norm, post_norm;
};

std::unique_ptr<Device> make_device(const Kernels&, const Threads&, const Weights&, uint32_t n_rows,
                                    const PrefillProducts* = nullptr);
std::vector<const Kernels*> usable_kernels();
// Over emulated tiles, and over the machine's where it has some.
std::vector<const PrefillProducts*> usable_prefill_products();
std::vector<float> normal_rows(uint32_t n_rows, uint32_t n, uint32_t seed);

// A forward whose ids, positions and bad layers are there.
struct Forward {
  explicit Forward(uint32_t n_rows);
  std::vector<int32_t> ids, positions, bad;
  std::vector<uint8_t> kinds;  // all TENURE_ROWS_PREFILL at first
  tenure_forward call;
};

// ---- double precision ----
// x / sqrt(mean(x^2) + 1e-5) * weight, a row at a time
std::vector<double> rms_norm(const std::vector<double>& x, const Source& weight);
// (n_rows, n_out) = x (n_rows, n_in) * weight^T
std::vector<double> product(const std::vector<double>& x, const Source& weight);
// |actual - expected| / |expected| over all elements
double relative_error(const std::vector<float>& actual, const std::vector<double>& expected);
// What int8 activations cost at most in one product, or f32 rounding.
double tolerance(uint32_t dtype);

}  // namespace tenure::cpu::test
