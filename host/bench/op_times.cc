#include "bench/op_times.h"

#include <algorithm>
#include <array>
#include <chrono>
#include <map>
#include <memory>

#include "cache/page_pool.h"
#include "error/error.h"
#include "plugin/call.h"
#include "record/distribution.h"

namespace tenure {
namespace {

using Clock = std::chrono::steady_clock;

enum Op : uint32_t { op_embed, op_qkv, op_rope, op_append, op_attend, op_attn_out, op_mlp, op_head, n_ops };
constexpr std::array<std::string_view, n_ops> op_names = {"embed",  "qkv",      "rope", "append",
                                                          "attend", "attn_out", "mlp",  "head"};
using Seconds = std::array<double, n_ops>;

// A cache of one sequence, n_slots in every layer and KV head, on consecutive pages.
class FilledCache {
 public:
  FilledCache(Backend& backend, const ModelConfig& config, const PassShape& shape, Dtype kv_type) {
    std::map<uint32_t, uint32_t> n_heads;  // by head_dim: a pool's pages are of one size
    for (const LayerConfig& layer : config.layers) n_heads[layer.head_dim] += layer.n_kv_heads;
    for (const auto& [head_dim, n] : n_heads) {
      const tenure_page_layout layout = backend.page_layout(head_dim, kv_type, kv_type);
      const uint64_t run_slots = uint64_t{layout.page_slots} * run_pages;
      const uint64_t n_runs = n * ((shape.n_slots + run_slots - 1) / run_slots);
      pools_[head_dim] = std::make_unique<PagePool>(backend, head_dim, kv_type, kv_type,
                                                    n_runs * run_pages * layout.page_bytes);
    }
    for (uint32_t i = 0; i < shape.n_slots; ++i) pos_.push_back(static_cast<int32_t>(i));
    for (const LayerConfig& layer : config.layers) add_layer(layer, shape);
    for (const auto& [head_dim, pool] : pools_) fill(backend, *pool);
  }

  const tenure_segment* segments(uint32_t layer) const { return &segments_[layer]; }
  uint64_t bytes() const { return bytes_; }

 private:
  void add_layer(const LayerConfig& layer, const PassShape& shape) {
    PagePool& pool = *pools_.at(layer.head_dim);
    const uint32_t n_before = shape.n_slots - shape.n_rows;
    std::vector<tenure_kv_view>& views = views_.emplace_back();
    for (uint32_t head = 0; head < layer.n_kv_heads; ++head) {
      std::vector<uint32_t>& pages = pages_.emplace_back();
      if (!pool.take(pool.runs_for(shape.n_slots), account_, pages))
        throw Error(Code::internal, "the pool of a benchmark is too small");
      views.push_back({.pages = pages.data(),
                       .pos = pos_.data(),
                       .n_slots = shape.n_slots,
                       .n_unmasked = n_before,
                       .first_slot = n_before});
      bytes_ += shape.n_slots * pool.slot_bytes();
    }
    segments_.push_back({.kind = shape.decode ? uint32_t{TENURE_ROWS_DECODE} : uint32_t{TENURE_ROWS_PREFILL},
                         .n_rows = shape.n_rows,
                         .first_pos = static_cast<int32_t>(n_before),
                         .pool = &pool.kv(),
                         .heads = views.data()});
  }

  // Pages that were never written would all be read from the one zero page.
  static void fill(Backend& backend, const PagePool& pool) {
    const std::vector<char> zeros(std::size_t{1} << 20, 0);
    const uint64_t n_bytes = pool.bytes_in_use();
    for (uint64_t at = 0; at < n_bytes; at += zeros.size()) {
      const uint64_t n = std::min<uint64_t>(zeros.size(), n_bytes - at);
      throw_unless_ok(
          backend.copy(static_cast<char*>(pool.kv().base) + at, zeros.data(), n, CopyDirection::to_device));
    }
    throw_unless_ok(backend.synchronize());
  }

  std::map<uint32_t, std::unique_ptr<PagePool>> pools_;  // by head_dim
  KvAccount account_;
  std::vector<int32_t> pos_;                        // (n_slots)
  std::vector<std::vector<uint32_t>> pages_;        // (layers, KV heads)
  std::vector<std::vector<tenure_kv_view>> views_;  // (n_layers) (n_kv_heads)
  std::vector<tenure_segment> segments_;            // (n_layers)
  uint64_t bytes_ = 0;
};

// The forward that Model::forward makes, with a wait behind every op.
class TimedPass {
 public:
  TimedPass(Backend& backend, const Model& model, const PassShape& shape, Dtype kv_type)
      : backend_(backend),
        model_(model),
        cache_(backend, model.config(), shape, kv_type),
        activations_(backend, model.config(), shape.n_rows),
        ids_(shape.n_rows, 0),
        kinds_(shape.n_rows, shape.decode ? TENURE_ROWS_DECODE : TENURE_ROWS_PREFILL),
        bad_layers_(shape.n_rows, -1) {
    for (uint32_t i = shape.n_slots - shape.n_rows; i < shape.n_slots; ++i)
      positions_.push_back(static_cast<int32_t>(i));
    forward_ = {.head = {.struct_size = sizeof(tenure_forward)},
                .weights = model.weights().get(),
                .n_rows = shape.n_rows,
                .n_segments = 1,
                .ids = ids_.data(),
                .positions = positions_.data(),
                .first_bad_layer = bad_layers_.data(),
                .kinds = kinds_.data()};
    want_ = {.row = shape.n_rows - 1, .flags = TENURE_WANT_ARGMAX, .result = &logits_};
    backend_.reserve(model.weights(), shape.n_rows, 1, shape.n_slots + 1);
  }

  Seconds run() {
    spent_ = {};
    throw_unless_ok(backend_.forward_begin(forward_));
    const Status status = ops();
    const Status end = backend_.forward_end(forward_);  // due even after a failure: it lets the workers go
    throw_unless_ok(status);
    throw_unless_ok(end);
    throw_unless_ok(backend_.synchronize());
    return spent_;
  }

  uint64_t kv_bytes() const { return cache_.bytes(); }

 private:
  Status ops() {
    const Activations& a = activations_;
    float* x = a.x.floats();
    Status status = timed(op_embed, [&] { return backend_.embed(forward_, x); });
    for (uint32_t i = 0; i < model_.config().n_layers && status.ok(); ++i) status = layer(i);
    if (status.ok()) status = timed(op_head, [&] { return backend_.head_logits(forward_, x, {&want_, 1}); });
    return status;
  }

  Status layer(uint32_t i) {
    const Activations& a = activations_;
    float* x = a.x.floats();
    float* q = a.q.floats();
    float* k = a.k.floats();
    const tenure_segment* segments = cache_.segments(i);
    Status status = timed(op_qkv, [&] { return backend_.qkv(forward_, i, x, q, k, a.v.floats(), nullptr); });
    if (status.ok()) status = timed(op_rope, [&] { return backend_.rope(forward_, i, q, k, q, k); });
    if (status.ok())
      status =
          timed(op_append, [&] { return backend_.cache_append(forward_, i, segments, k, a.v.floats()); });
    if (status.ok())
      status = timed(op_attend, [&] { return backend_.attend(forward_, i, segments, q, a.mixed.floats()); });
    if (status.ok())
      status = timed(op_attn_out, [&] { return backend_.attn_out(forward_, i, a.mixed.floats(), x); });
    if (status.ok()) status = timed(op_mlp, [&] { return backend_.mlp(forward_, i, x); });
    return status;
  }

  template <typename F>
  Status timed(Op op, F&& call) {
    const Clock::time_point began = Clock::now();
    Status status = call();
    if (status.ok()) status = backend_.synchronize();
    spent_[op] += std::chrono::duration<double>(Clock::now() - began).count();
    return status;
  }

  Backend& backend_;
  const Model& model_;
  FilledCache cache_;
  Activations activations_;
  std::vector<int32_t> ids_;
  std::vector<int32_t> positions_;
  std::vector<uint8_t> kinds_;
  std::vector<int32_t> bad_layers_;
  tenure_logits logits_{};
  tenure_want want_{};
  tenure_forward forward_{};
  Seconds spent_{};
};

uint64_t attend_operations(const ModelConfig& config, const PassShape& shape) {
  const uint64_t n_before = shape.n_slots - shape.n_rows;
  const uint64_t n_pairs = n_before * shape.n_rows + uint64_t{shape.n_rows} * (shape.n_rows + 1) / 2;
  uint64_t operations = 0;
  for (const LayerConfig& layer : config.layers) operations += 4 * n_pairs * config.n_heads * layer.head_dim;
  return operations;
}

}  // namespace

PassTimes time_ops(Backend& backend, const Model& model, const PassShape& shape, Dtype kv_type,
                   uint32_t repeat) {
  TimedPass pass(backend, model, shape, kv_type);
  pass.run();  // first touch of buffers is nobody's speed
  std::array<Distribution, n_ops> spent;
  for (uint32_t i = 0; i < repeat; ++i) {
    const Seconds seconds = pass.run();
    for (uint32_t op = 0; op < n_ops; ++op) spent[op].add(seconds[op]);
  }
  PassTimes times{.shape = shape, .ops = {}};
  for (uint32_t op = 0; op < n_ops; ++op)
    times.ops.push_back({.op = op_names[op], .seconds = spent[op].quantile(0.5)});
  const GivenWeights& given = model.given_weights();
  const auto reads = [&](Op op, const GivenWeights::Part& part, uint32_t n_rows) {
    times.ops[op].bytes = model.packed_bytes(part.bytes);
    times.ops[op].operations = 2 * part.n_elements * n_rows;
  };
  reads(op_qkv, given.qkv, shape.n_rows);
  reads(op_attn_out, given.attn_out, shape.n_rows);
  reads(op_mlp, given.mlp, shape.n_rows);
  reads(op_head, given.head, 1);
  times.ops[op_attend].bytes = pass.kv_bytes();
  times.ops[op_attend].operations = attend_operations(model.config(), shape);
  return times;
}

}  // namespace tenure
