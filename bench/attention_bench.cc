// attention_bench: decode attention over pages as the pool hands them out, against the same over consecutive pages.
//
//   attention_bench MODEL [SLOTS] [THREADS] [f16|q8_0|q4]
//
// One row attends to SLOTS slots in every layer and KV head. "runs": four consecutive pages each, in random order, as
// after many sessions have come and gone. The two are timed in turn; the figure is the median of the ratios of pairs.
#include <fmt/format.h>

#include <algorithm>
#include <chrono>
#include <cstdlib>
#include <cstring>
#include <iostream>
#include <random>
#include <vector>

#include "bench/bench_plan.h"
#include "cache/page_pool.h"
#include "error/error.h"
#include "graph/runtime.h"

namespace {

using Clock = std::chrono::steady_clock;
using namespace tenure;

constexpr uint32_t n_pairs = 41;
constexpr uint64_t spread = 4;  // the pool has so many times the pages that are used

// Page tables of every (layer, KV head), and a forward of one decode row over them.
class PagedRow {
 public:
  PagedRow(const Model& model, const PagePool& pool, uint32_t n_slots, const std::vector<uint32_t>& runs) {
    const uint32_t n_runs = pool.runs_for(n_slots);
    pos_.resize(n_slots);
    for (uint32_t i = 0; i < n_slots; ++i) pos_[i] = static_cast<int32_t>(i);
    position_ = static_cast<int32_t>(n_slots) - 1;
    size_t next = 0;
    for (const LayerConfig& layer : model.config().layers) {
      for (uint32_t head = 0; head < layer.n_kv_heads; ++head, next += n_runs) {
        std::vector<uint32_t>& pages = pages_.emplace_back();
        for (uint32_t run = 0; run < n_runs; ++run) {
          for (uint32_t page = 0; page < run_pages; ++page) pages.push_back(runs[next + run] * run_pages + page);
        }
      }
    }
    for (const std::vector<uint32_t>& pages : pages_) {
      views_.push_back({.pages = pages.data(), .pos = pos_.data(), .n_slots = n_slots, .n_unmasked = n_slots - 1, .first_slot = n_slots - 1});
    }
    const tenure_kv_view* first = views_.data();
    for (const LayerConfig& layer : model.config().layers) {
      segments_.push_back({.kind = TENURE_ROWS_DECODE, .n_rows = 1, .first_pos = position_, .pool = &pool.kv(), .heads = first});
      first += layer.n_kv_heads;
    }
    forward_ = {.head = {.struct_size = sizeof(tenure_forward)}, .weights = model.weights().get(), .n_rows = 1, .n_segments = 1,
                .ids = &id_, .positions = &position_, .first_bad_layer = &bad_layer_};
  }

  double seconds(Backend& backend, const Activations& a) {
    if (!backend.forward_begin(forward_).ok()) std::abort();
    const Clock::time_point began = Clock::now();
    for (uint32_t layer = 0; layer < segments_.size(); ++layer) {
      if (!backend.attend(forward_, layer, &segments_[layer], a.q.floats(), a.mixed.floats()).ok()) std::abort();
    }
    const double took = std::chrono::duration<double>(Clock::now() - began).count();
    if (!backend.forward_end(forward_).ok() || !backend.synchronize().ok()) std::abort();
    return took;
  }

 private:
  std::vector<std::vector<uint32_t>> pages_;
  std::vector<int32_t> pos_;
  std::vector<tenure_kv_view> views_;
  std::vector<tenure_segment> segments_;  // (n_layers)
  tenure_forward forward_{};
  int32_t id_ = 0;
  int32_t position_ = 0;
  int32_t bad_layer_ = -1;
};

double median(std::vector<double> values) {
  std::nth_element(values.begin(), values.begin() + static_cast<ptrdiff_t>(values.size() / 2), values.end());
  return values[values.size() / 2];
}

void run(const std::string& model_path, uint32_t n_slots, uint32_t threads, Dtype kv) {
  PluginSearch search = search_plugins(search_folders());
  const Plan plan = bench_plan({.model = model_path, .threads = threads}, search);
  Runtime runtime(std::move(search), {});
  runtime.load(plan.cells.front());
  Backend& backend = runtime.backend();
  const Model& model = runtime.model();
  uint32_t n_heads = 0;
  for (const LayerConfig& layer : model.config().layers) n_heads += layer.n_kv_heads;

  const uint32_t head_dim = model.config().layers.front().head_dim;
  const tenure_page_layout layout = backend.page_layout(head_dim, kv, kv);
  const uint64_t n_runs = uint64_t{n_heads} * ((n_slots + layout.page_slots * run_pages - 1) / (layout.page_slots * run_pages));
  PagePool pool(backend, head_dim, kv, kv, spread * n_runs * layout.page_bytes * run_pages);
  std::memset(pool.kv().base, 1, spread * n_runs * pool.run_bytes());
  backend.reserve(model.weights(), 1, 1, n_slots + 1);
  const Activations activations(backend, model.config(), 1);
  std::memset(activations.q.data(), 0, activations.q.bytes());

  std::vector<uint32_t> in_order(spread * n_runs);
  for (uint32_t i = 0; i < in_order.size(); ++i) in_order[i] = i;
  std::vector<uint32_t> shuffled = in_order;
  std::shuffle(shuffled.begin(), shuffled.end(), std::mt19937(1));
  PagedRow contiguous(model, pool, n_slots, in_order);
  PagedRow paged(model, pool, n_slots, shuffled);

  std::vector<double> ratios, of_contiguous, of_paged;
  for (uint32_t pair = 0; pair < n_pairs; ++pair) {
    of_contiguous.push_back(contiguous.seconds(backend, activations));
    of_paged.push_back(paged.seconds(backend, activations));
    ratios.push_back(of_paged.back() / of_contiguous.back());
  }
  const double per_slot = 1e9 * threads / (double{1} * n_slots * n_heads);
  std::cout << fmt::format("slots {} threads {}: paged / contiguous {:.3f} | {:.2f} and {:.2f} ns per slot, KV head and thread\n", n_slots,
                           threads, median(ratios), median(of_paged) * per_slot, median(of_contiguous) * per_slot);
}

}  // namespace

int main(int argc, char** argv) {
  if (argc < 2) {
    std::cerr << "usage: attention_bench MODEL [SLOTS] [THREADS] [f16|q8_0|q4]\n";
    return 64;
  }
  try {
    const std::string kv = argc > 4 ? argv[4] : "f16";
    run(argv[1], argc > 2 ? static_cast<uint32_t>(std::atoi(argv[2])) : 8064, argc > 3 ? static_cast<uint32_t>(std::atoi(argv[3])) : 2,
        kv == "q8_0" ? Dtype::q8_0 : kv == "q4" ? Dtype::q4_1 : Dtype::f16);
  } catch (const Error& error) {
    std::cerr << error.what() << "\n";
    return error.exit_code();
  }
  return 0;
}
