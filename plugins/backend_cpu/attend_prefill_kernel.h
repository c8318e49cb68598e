// Prefill attention of a block of rows against one KV head: key blocks at fixed slots in ascending order, an
// online softmax per row. Keys and values are unpacked once a block and used by all rows of the task. A row's
// arithmetic does not depend on the rows beside it: a tile is only which rows share the loads, and a hidden
// slot adds an exact zero. Included once per instruction set; see attend_vec.h.
#pragma once

#include "attend_kernels.h"
#include "attend_page.h"
#include "attend_vec.h"

namespace tenure::cpu {
namespace {

#if TENURE_VEC_AVX512
constexpr int kTileRows = 6;  // 6 rows x 4 vectors: 24 accumulators of 32 registers
constexpr int kTileVecs = 4;
#elif TENURE_VEC_AVX2
// A Vec is 2 of 16 registers: 12 accumulators, 2 keys, 1 query. 12 % faster than 4 rows, measured in pairs.
constexpr int kTileRows = 6;
constexpr int kTileVecs = 1;
#else
constexpr int kTileRows = 4;
constexpr int kTileVecs = 1;
#endif
constexpr uint32_t kPanelSlots = 16 * kTileVecs;
constexpr uint32_t kBlockPanels = kBlockSlots / kPanelSlots;

// One panel of a key block as a tile's rows see it.
enum class Panel : uint8_t { hidden, checked, open };

// A tile's rows and the values of one key block: sums (n_rows, head_dim) += weights (n_rows, stride) * values
// of the panels that are not hidden, in ascending order.
template <class Element>
struct Weighing {
  uint32_t n_rows;
  uint32_t head_dim;
  const Panel* panels;  // (kBlockPanels)
  const Element* weights;
  uint64_t stride;
  const Element* values;
  float* sums;
};

// Products whose sums stay in vector registers, from those `Fixed` does for a fixed number of rows.
template <class Fixed>
struct RegisterProducts : Fixed {
  using Element = typename Fixed::Element;
  static constexpr uint32_t tile_rows = kTileRows;
  static constexpr uint32_t depth = 1;

  template <int n>
  struct Rows {
    static constexpr int count = n;
  };
  template <class Body>
  static void with_rows(uint32_t n, const Body& body) {
    switch (n) {
      case 1:
        return body(Rows<1>{});
      case 2:
        return body(Rows<2>{});
      case 3:
        return body(Rows<3>{});
#if TENURE_VEC_AVX512 || TENURE_VEC_AVX2
      case 4:
        return body(Rows<4>{});
      case 5:
        return body(Rows<5>{});
#endif
      default:
        return body(Rows<kTileRows>{});
    }
  }

  // scores (n_rows, stride) of one panel
  static void score(uint32_t n_rows, const Element* q, const Element* keys, uint32_t head_dim, float* scores,
                    uint64_t stride) {
    with_rows(n_rows,
              [&](auto rows) { Fixed::template score<rows.count>(q, keys, head_dim, scores, stride); });
  }
  static void weigh(const Weighing<Element>& w) {
    with_rows(w.n_rows, [&](auto rows) {
      uint32_t dim = 0;
      for (; dim + 16 * kTileVecs <= w.head_dim; dim += 16 * kTileVecs)
        weigh_dims<rows.count, kTileVecs>(w, dim);
      for (; dim < w.head_dim; dim += 16) weigh_dims<rows.count, 1>(w, dim);
    });
  }
  template <int kRows, int kVecs>
  static void weigh_dims(const Weighing<Element>& w, uint32_t dim) {
    float* sums = w.sums + dim;
    Vec acc[kRows][kVecs];
    for (int r = 0; r < kRows; ++r)
      for (int j = 0; j < kVecs; ++j) acc[r][j] = load(sums + r * w.head_dim + 16 * j);
    for (uint32_t p = 0; p < kBlockPanels; ++p) {
      if (w.panels[p] == Panel::hidden) continue;
      const Element* values = Fixed::value_at(w.values, w.head_dim, p * kPanelSlots, dim);
      Fixed::template weigh<kRows, kVecs>(w.weights + p * kPanelSlots, w.stride, values, w.head_dim, acc);
    }
    for (int r = 0; r < kRows; ++r)
      for (int j = 0; j < kVecs; ++j) store(sums + r * w.head_dim + 16 * j, acc[r][j]);
  }
};

// f32 products: keys [page][head_dim][16], values [page][16][head_dim].
struct ExactFixed {
  using Element = float;

  static void pack_queries(const float* q, uint32_t n, float scale, Element* packed) {
    for (uint32_t i = 0; i < n; i += 16) store(packed + i, load(q + i) * broadcast(scale));
  }
  template <class K>
  static void pack_keys(const uint8_t* page, uint32_t head_dim, Element* packed) {
    const PageKeys<K> keys(page, head_dim);
    for (uint32_t d = 0; d < head_dim; ++d) store(packed + d * 16, keys(d));
  }
  template <class V>
  static void pack_values(const uint8_t* page, uint32_t head_dim, uint32_t n_slots, Element* packed) {
    for (uint32_t d = 0; d < head_dim; d += 16) {
      const PageValues<V> values(page, head_dim, d);
      for (uint32_t s = 0; s < 16; ++s) store(packed + s * head_dim + d, s < n_slots ? values(s) : zero());
    }
  }
  // scores of kRows rows against kTileVecs pages
  template <int kRows>
  static void score(const Element* q, const Element* keys, uint32_t head_dim, float* scores,
                    uint64_t stride) {
    Vec acc[kRows][kTileVecs];
    for (int r = 0; r < kRows; ++r)
      for (int j = 0; j < kTileVecs; ++j) acc[r][j] = zero();
    for (uint32_t d = 0; d < head_dim; ++d) {
      Vec key[kTileVecs];
      for (int j = 0; j < kTileVecs; ++j) key[j] = load(keys + (j * head_dim + d) * 16);
      for (int r = 0; r < kRows; ++r) {
        const Vec query = broadcast(q[r * head_dim + d]);
        for (int j = 0; j < kTileVecs; ++j) acc[r][j] = fma(query, key[j], acc[r][j]);
      }
    }
    for (int r = 0; r < kRows; ++r)
      for (int j = 0; j < kTileVecs; ++j) store(scores + r * stride + 16 * j, acc[r][j]);
  }
  // sums (kRows, head_dim) += weights of one panel * values
  template <int kRows, int kVecs>
  static void weigh(const Element* weights, uint64_t stride, const Element* values, uint32_t head_dim,
                    Vec (&acc)[kRows][kVecs]) {
    for (uint32_t t = 0; t < kPanelSlots; ++t) {
      Vec value[kVecs];
      for (int j = 0; j < kVecs; ++j) value[j] = load(values + t * head_dim + 16 * j);
      for (int r = 0; r < kRows; ++r) {
        const Vec weight = broadcast(weights[r * stride + t]);
        for (int j = 0; j < kVecs; ++j) acc[r][j] = fma(weight, value[j], acc[r][j]);
      }
    }
  }
  static const Element* value_at(const Element* values, uint32_t head_dim, uint32_t slot, uint32_t dim) {
    return values + slot * head_dim + dim;
  }
};
using ExactProducts = RegisterProducts<ExactFixed>;

// A row of n elements as dot products take it: n rounded up to whole steps.
template <class Products>
constexpr uint32_t padded(uint32_t n) {
  return (n + Products::depth - 1) / Products::depth * Products::depth;
}

template <class Products>
class Prefill {
  using Element = typename Products::Element;
  static constexpr uint32_t tile_rows = Products::tile_rows;
  static_assert(tile_rows <= kMaxTileRows);

 public:
  explicit Prefill(const PrefillTask& task)
      : t_(task), head_dim_(task.cache.head_dim), key_dim_(padded<Products>(task.cache.head_dim)) {}

  void run() {
    for (uint32_t r = 0; r < t_.n_rows; ++r) {
      t_.max[r] = kNoScore;
      t_.total[r] = 0;
      for (uint32_t d = 0; d < head_dim_; d += 16) store(t_.sums + r * head_dim_ + d, zero());
    }
    for (first_ = 0; first_ < t_.cache.n_slots; first_ += kBlockSlots) block();
    finish();
    if (t_.mass) sum_mass();
  }

 private:
  int32_t pos_of(uint32_t row) const { return t_.first_pos + static_cast<int32_t>(row / t_.group_size); }
  int32_t oldest_of(int32_t pos) const {
    return t_.window == 0 ? INT32_MIN : pos - static_cast<int32_t>(t_.window) + 1;
  }
  Element* weights_of(uint32_t row) const {
    Element* all = static_cast<Element*>(t_.weights);
    return t_.mass ? all + static_cast<uint64_t>(row) * t_.slot_stride + first_ : all;
  }
  uint64_t weight_stride() const { return t_.mass ? t_.slot_stride : kScoreStride; }

  // What rows at positions [a, b] see of a panel.
  Panel sight(uint32_t panel, int32_t a, int32_t b) const {
    if (lowest_[panel] > b || highest_real_[panel] < oldest_of(a)) return Panel::hidden;
    return highest_[panel] <= a && lowest_[panel] >= oldest_of(b) ? Panel::open : Panel::checked;
  }

  void block() {
    read_positions();
    const int32_t first_pos = t_.first_pos;
    const int32_t last_pos = pos_of(t_.n_rows - 1);
    for (uint32_t p = 0; p < kBlockPanels; ++p)
      if (sight(p, first_pos, last_pos) != Panel::hidden) unpack(p);
    for (uint32_t row = 0; row < t_.n_rows; row += tile_rows) tile(row, smaller(tile_rows, t_.n_rows - row));
  }

  void read_positions() {
    const uint32_t n = smaller(kBlockSlots, t_.cache.n_slots - first_);
    memcpy(pos_, t_.cache.pos + first_, n * sizeof(int32_t));
    for (uint32_t s = n; s < kBlockSlots; ++s) pos_[s] = INT32_MAX;
    for (uint32_t p = 0; p < kBlockPanels; ++p) {
      int32_t low = INT32_MAX;
      int32_t high = INT32_MIN;
      int32_t high_real = INT32_MIN;
      for (uint32_t s = p * kPanelSlots; s < (p + 1) * kPanelSlots; ++s) {
        low = pos_[s] < low ? pos_[s] : low;
        high = pos_[s] > high ? pos_[s] : high;
        const int32_t real = pos_[s] == INT32_MAX ? INT32_MIN : pos_[s];
        high_real = real > high_real ? real : high_real;
      }
      lowest_[p] = low;
      highest_[p] = high;
      highest_real_[p] = high_real;
    }
  }

  static constexpr decltype(&Products::template pack_keys<float>) pack_keys[kCacheTypes] = {
      Products::template pack_keys<float>, Products::template pack_keys<F16>,
      Products::template pack_keys<Bf16>,  Products::template pack_keys<Q8>,
      nullptr,                             nullptr,
      nullptr,                             nullptr,
      nullptr,                             Products::template pack_keys<Q5>};
  static constexpr decltype(&Products::template pack_values<float>) pack_values[kCacheTypes] = {
      Products::template pack_values<float>, Products::template pack_values<F16>,
      Products::template pack_values<Bf16>,  Products::template pack_values<Q8>,
      nullptr,                               Products::template pack_values<Q4>};

  void unpack(uint32_t panel) {
    for (uint32_t slot = panel * kPanelSlots; slot < (panel + 1) * kPanelSlots; slot += 16) {
      Element* keys = static_cast<Element*>(t_.keys) + slot * key_dim_;
      Element* values = static_cast<Element*>(t_.values) + slot * head_dim_;
      if (first_ + slot >= t_.cache.n_slots) {
        memset(keys, 0, 16 * key_dim_ * sizeof(Element));
        memset(values, 0, 16 * head_dim_ * sizeof(Element));
        continue;
      }
      const uint64_t page = t_.cache.pages[(first_ + slot) / 16];
      const uint8_t* at = t_.cache.base + page * t_.cache.page_bytes;
      const uint32_t n = smaller(16, t_.cache.n_slots - first_ - slot);
      pack_keys[t_.k_type](at, head_dim_, keys);
      if (key_dim_ > head_dim_)
        memset(keys + 16 * head_dim_, 0, 16 * (key_dim_ - head_dim_) * sizeof(Element));
      pack_values[t_.v_type](at + t_.cache.v_offset, head_dim_, n, values);
    }
  }

  void tile(uint32_t row, uint32_t n_rows) {
    const int32_t a = pos_of(row);
    const int32_t b = pos_of(row + n_rows - 1);
    Element* weights = weights_of(row);
    Panel panels[kBlockPanels];
    bool any = false;
    for (uint32_t p = 0; p < kBlockPanels; ++p) {
      panels[p] = sight(p, a, b);
      any = any || panels[p] != Panel::hidden;
      if (panels[p] == Panel::hidden) {
        if (t_.mass)
          for (uint32_t r = 0; r < n_rows; ++r)
            memset(weights + r * weight_stride() + p * kPanelSlots, 0, kPanelSlots * sizeof(Element));
      } else {
        score_panel(row, n_rows, p);
      }
    }
    if (any) {
      for (uint32_t r = 0; r < n_rows; ++r)
        soften(row + r, t_.scores + r * kScoreStride, weights + r * weight_stride(), panels);
      products_.weigh({.n_rows = n_rows,
                       .head_dim = head_dim_,
                       .panels = panels,
                       .weights = weights,
                       .stride = weight_stride(),
                       .values = static_cast<const Element*>(t_.values),
                       .sums = t_.sums + row * head_dim_});
    }
    if (t_.mass)
      for (uint32_t r = 0; r < n_rows; ++r) block_max(row + r) = t_.max[row + r];
  }

  float& block_max(uint32_t row) const {
    return t_.block_max[static_cast<uint64_t>(row) * (t_.slot_stride / kBlockSlots) + first_ / kBlockSlots];
  }

  // A run that ends inside the panel: its slots take the scores of its own queries.
  void score_panel(uint32_t row, uint32_t n_rows, uint32_t panel) {
    const Element* keys = static_cast<const Element*>(t_.keys) + panel * kPanelSlots * key_dim_;
    float* scores = t_.scores + panel * kPanelSlots;
    uint32_t begin = first_ + panel * kPanelSlots;
    const uint32_t end = begin + kPanelSlots;
    for (uint32_t i = 0; i < t_.n_runs && begin < end; ++i) {
      const uint32_t stop = i + 1 == t_.n_runs ? end : smaller(t_.runs[i].end_slot, end);
      if (stop <= begin) continue;
      const Element* q = static_cast<const Element*>(t_.runs[i].rows) + static_cast<uint64_t>(row) * key_dim_;
      if (stop - begin == kPanelSlots) {
        products_.score(n_rows, q, keys, head_dim_, scores, kScoreStride);
      } else {
        alignas(64) float part[tile_rows * kPanelSlots];
        products_.score(n_rows, q, keys, head_dim_, part, kPanelSlots);
        const uint32_t lane = begin % kPanelSlots;
        for (uint32_t r = 0; r < n_rows; ++r)
          memcpy(scores + r * kScoreStride + lane, part + r * kPanelSlots + lane,
                 (stop - begin) * sizeof(float));
      }
      begin = stop;
    }
  }

  // Scores of one row in this block to weights; rescales what the row has summed so far.
  void soften(uint32_t row, float* scores, Element* weights, const Panel* panels) {
    const int32_t pos = pos_of(row);
    const int32_t oldest = oldest_of(pos);
    Vec top = broadcast(t_.max[row]);
    for (uint32_t p = 0; p < kBlockPanels; ++p) {
      if (panels[p] == Panel::hidden) continue;
      float* at = scores + p * kPanelSlots;
      if (panels[p] == Panel::checked)
        for (uint32_t s = 0; s < kPanelSlots; s += 16)
          store(at + s, visible_only(load(at + s), pos_ + p * kPanelSlots + s, oldest, pos));
      for (uint32_t s = 0; s < kPanelSlots; s += 16) top = larger(top, load(at + s));
    }
    const float max = largest(top);
    const Vec base = broadcast(max == kNoScore ? 0.0f : max);
    Vec total = zero();
    for (uint32_t p = 0; p < kBlockPanels; ++p) {
      if (panels[p] == Panel::hidden) continue;
      for (uint32_t s = p * kPanelSlots; s < (p + 1) * kPanelSlots; s += 16) {
        const Vec weight = exp2(load(scores + s) - base);
        total = total + weight;
        store(weights + s, weight);
      }
    }
    rescale(row, max, sum(total));
  }

  void rescale(uint32_t row, float max, float added) {
    if (max == t_.max[row] || t_.max[row] == kNoScore) {
      t_.total[row] = t_.total[row] + added;
    } else {
      const float factor = exp2_scalar(t_.max[row] - max);
      t_.total[row] = t_.total[row] * factor + added;
      float* sums = t_.sums + row * head_dim_;
      for (uint32_t d = 0; d < head_dim_; d += 16) store(sums + d, load(sums + d) * broadcast(factor));
    }
    t_.max[row] = max;
  }

  void finish() {
    for (uint32_t r = 0; r < t_.n_rows; ++r) {
      const Vec inverse = broadcast(t_.total[r] == 0 ? 0.0f : 1.0f / t_.total[r]);
      float* out = t_.out + r / t_.group_size * t_.out_stride + r % t_.group_size * head_dim_;
      for (uint32_t d = 0; d < head_dim_; d += 16)
        store(out + d, load(t_.sums + r * head_dim_ + d) * inverse);
    }
  }

  // Weights are relative to the row's maximum at their block; block_max becomes the factor that makes them
  // final.
  void sum_mass() {
    const uint32_t n_blocks = t_.slot_stride / kBlockSlots;
    for (uint32_t r = t_.first_mass_row; r < t_.n_rows; ++r) {
      const float share = t_.total[r] == 0 ? 0.0f : 1.0f / (t_.total[r] * static_cast<float>(t_.group_size));
      float* factor = t_.block_max + static_cast<uint64_t>(r) * n_blocks;
      for (uint32_t b = 0; b < n_blocks; ++b)
        factor[b] = factor[b] == kNoScore ? 0.0f : exp2_scalar(factor[b] - t_.max[r]) * share;
    }
    const uint32_t group_rows = kMassTokens * t_.group_size;
    for (uint32_t first = 0, g = 0; first < t_.n_rows; first += group_rows, ++g) {
      const uint32_t begin = first > t_.first_mass_row ? first : t_.first_mass_row;
      const uint32_t end = smaller(first + group_rows, t_.n_rows);
      sum_group(begin, end, t_.mass + static_cast<uint64_t>(g) * t_.slot_stride);
    }
  }

  void sum_group(uint32_t begin, uint32_t end, float* mass) {
    const Element* weights = static_cast<const Element*>(t_.weights);
    const uint32_t n_blocks = t_.slot_stride / kBlockSlots;
    for (uint32_t s = 0; s < t_.slot_stride; s += kPanelSlots) {
      Vec acc[kTileVecs];
      for (int j = 0; j < kTileVecs; ++j) acc[j] = zero();
      for (uint32_t r = begin; r < end; ++r) {
        const Vec factor = broadcast(t_.block_max[static_cast<uint64_t>(r) * n_blocks + s / kBlockSlots]);
        const Element* at = weights + static_cast<uint64_t>(r) * t_.slot_stride + s;
        for (int j = 0; j < kTileVecs; ++j) acc[j] = fma(load(at + 16 * j), factor, acc[j]);
      }
      for (int j = 0; j < kTileVecs; ++j) store(mass + s + 16 * j, acc[j]);
    }
  }

  const PrefillTask& t_;
  const uint32_t head_dim_;
  const uint32_t key_dim_;
  [[no_unique_address]] Products products_;
  uint32_t first_ = 0;  // slot of the current block
  alignas(64) int32_t pos_[kBlockSlots];
  int32_t lowest_[kBlockPanels];
  int32_t highest_[kBlockPanels];
  int32_t highest_real_[kBlockPanels];  // without the slots past the end
};

template <class Products>
void prefill(const PrefillTask& task) {
  Prefill<Products>(task).run();
}
template <class Products>
void prefill_pack(const float* q, uint32_t n_rows, uint32_t head_dim, float scale, void* packed) {
  auto* row = static_cast<typename Products::Element*>(packed);
  for (uint32_t r = 0; r < n_rows; ++r, q += head_dim, row += padded<Products>(head_dim)) {
    Products::pack_queries(q, head_dim, scale, row);
    memset(row + head_dim, 0, (padded<Products>(head_dim) - head_dim) * sizeof *row);
  }
}
template <class Products>
constexpr PrefillKernel prefill_kernel() {
  return {sizeof(typename Products::Element), Products::depth, prefill_pack<Products>, prefill<Products>};
}

}  // namespace
}  // namespace tenure::cpu
