// Decode attention of one split, page by page: keys give the scores of 16 slots, these weights, and the
// weights meet the values that lie behind the keys. So a page is read once and in address order, which the
// hardware's prefetchers follow: keys of the whole split before its values were 0.7 times as fast from memory
// (Zen 4). The softmax is online: sums are scaled down when a page has a higher score. All query heads of a
// KV head go together. Included once per instruction set; see attend_vec.h.
#pragma once

#include "attend_code_products.h"
#include "attend_kernels.h"
#include "attend_page.h"
#include "attend_vec.h"
#include "read_ahead.h"
#if TENURE_BYTE_PRODUCTS
#include "attend_weigh_bytes.h"
#endif

namespace tenure::cpu {
namespace {

#if TENURE_VEC_AVX512
constexpr int kValueVecs = 4;
constexpr uint32_t kScoreChains =
    2;  // sums of a head's score: a page alone has too few of them to keep multipliers busy
#else
constexpr int kValueVecs = 1;  // a Vec is 2 of 16 registers
constexpr uint32_t kScoreChains = 1;
#endif
constexpr int kHeadsAtOnce = 4;

// Slots [begin, end) of a page.
struct Lanes {
  uint32_t begin;
  uint32_t end;
  bool all() const { return begin == 0 && end == 16; }
};

inline const uint8_t* page_address(const CacheView& cache, uint32_t page) {
  return cache.base + uint64_t{cache.pages[page]} * cache.page_bytes;
}

inline void prefetch_line(const uint8_t* p) {
  __builtin_prefetch(p, 0, 2);
}

inline void prefetch_bytes(const uint8_t* p, uint32_t n) {
#pragma GCC unroll 8
  for (uint32_t i = 0; i < n; i += 64) prefetch_line(p + i);
}

// ---- keys: scores (kHeads, 16) of one page ----

struct Queries {
  const float* plain;       // (kHeads, head_dim)
  const CodedQuery* coded;  // (kHeads, head_dim / kGroup) where keys are quantised
};

template <class K, int kHeads>
void score_heads(const uint8_t* page, const uint8_t* ahead, uint32_t head_dim, const Queries& queries,
                 float* scores) {
  const float* q = queries.plain;
  constexpr uint32_t elements_of_line = 64 / sizeof(K);
  const K* keys = reinterpret_cast<const K*>(page);
  Vec sums[kHeads][kScoreChains];
#pragma GCC unroll 4
  for (int h = 0; h < kHeads; ++h)
#pragma GCC unroll 4
    for (uint32_t c = 0; c < kScoreChains; ++c) sums[h][c] = zero();
  for (uint32_t d = 0; d < head_dim; d += 2) {
    for (uint32_t i = 0; i < 32; i += elements_of_line) prefetch_line(ahead + (d * 16 + i) * sizeof(K));
#pragma GCC unroll 4
    for (uint32_t e = 0; e < 2; ++e) {
      const Vec key = load(keys + (d + e) * 16);
#pragma GCC unroll 4
      for (int h = 0; h < kHeads; ++h) {
        Vec& sum = sums[h][e % kScoreChains];
        sum = fma(broadcast(q[static_cast<uint32_t>(h) * head_dim + d + e]), key, sum);
      }
    }
  }
#pragma GCC unroll 4
  for (int h = 0; h < kHeads; ++h)
    store(scores + 16 * h, kScoreChains == 1 ? sums[h][0] : sums[h][0] + sums[h][kScoreChains - 1]);
}

template <class K, int kHeads>
void score_codes(const uint8_t* page, const uint8_t* ahead, uint32_t head_dim, const Queries& queries,
                 float* scores) {
  const uint32_t n_groups = head_dim / kGroup;
  constexpr uint32_t group_bytes = kGroup * 16 * K::bits / 8;
  const uint8_t* lines = page + halves_bytes<K>(head_dim);
  const uint8_t* lines_ahead = ahead + halves_bytes<K>(head_dim);
  prefetch_bytes(ahead, halves_bytes<K>(head_dim));
  Vec sums[kHeads];
#pragma GCC unroll 4
  for (int h = 0; h < kHeads; ++h) sums[h] = zero();
  for (uint32_t g = 0; g < n_groups; ++g) {
    prefetch_bytes(lines_ahead + g * group_bytes, group_bytes);
    Vec products[kHeads];
    group_products<K, kHeads>(lines + g * group_bytes, queries.coded + g, n_groups, products);
    const Vec scales = scales_at<K>(page, g);
    const Vec minimums = minimums_at<K>(page, head_dim, g);
#pragma GCC unroll 4
    for (int h = 0; h < kHeads; ++h) {
      const CodedQuery& query = queries.coded[static_cast<uint32_t>(h) * n_groups + g];
      sums[h] = fma(products[h] * broadcast(query.scale), scales, sums[h]);
      if constexpr (K::has_minimum)
        sums[h] = fma(broadcast(query.scale * static_cast<float>(query.sum)), minimums, sums[h]);
    }
  }
#pragma GCC unroll 4
  for (int h = 0; h < kHeads; ++h) store(scores + 16 * h, sums[h]);
}

// ---- values: value (kHeads, head_dim) += weights (kHeads, 16) x one page ----

// Parts of the rows of a page to come.
struct RowsAhead {
  const uint8_t* first;
  uint32_t stride;
  uint32_t bytes;
};

template <class V, int kHeads, int kVecs>
inline void weigh_dims(const WeighedValues<V, kHeads, kVecs>& values, const RowsAhead& ahead,
                       uint32_t head_dim, Lanes lanes, float* value) {
  Vec sums[kHeads][kVecs];
#pragma GCC unroll 4
  for (int h = 0; h < kHeads; ++h)
#pragma GCC unroll 4
    for (int j = 0; j < kVecs; ++j) sums[h][j] = load(value + static_cast<uint32_t>(h) * head_dim + 16 * j);
  for (uint32_t t = lanes.begin; t < lanes.end; ++t) {
    prefetch_bytes(ahead.first + t * ahead.stride, ahead.bytes);
    Vec row[kVecs];
    values.row(t, row);
#pragma GCC unroll 4
    for (int h = 0; h < kHeads; ++h) {
#pragma GCC unroll 4
      for (int j = 0; j < kVecs; ++j) sums[h][j] = fma(values.weight(h, t, j), row[j], sums[h][j]);
    }
  }
#pragma GCC unroll 4
  for (int h = 0; h < kHeads; ++h)
#pragma GCC unroll 4
    for (int j = 0; j < kVecs; ++j) store(value + static_cast<uint32_t>(h) * head_dim + 16 * j, sums[h][j]);
}

template <class V, int kHeads>
void weigh_heads(const uint8_t* page, const uint8_t* ahead, uint32_t head_dim, Lanes lanes,
                 const float* weights, float* value) {
  prefetch_bytes(ahead, halves_bytes<V>(head_dim));
  RowsAhead next{.first = ahead + halves_bytes<V>(head_dim),
                 .stride = row_bytes<V>(head_dim),
                 .bytes = row_bytes<V>(16 * kValueVecs)};
  uint32_t dim = 0;
  for (; dim + 16 * kValueVecs <= head_dim; dim += 16 * kValueVecs, next.first += next.bytes)
    weigh_dims<V, kHeads, kValueVecs>({page, head_dim, dim, weights}, next, head_dim, lanes, value + dim);
  next.bytes = row_bytes<V>(16);
  for (; dim < head_dim; dim += 16, next.first += next.bytes)
    weigh_dims<V, kHeads, 1>({page, head_dim, dim, weights}, next, head_dim, lanes, value + dim);
}

// ---- the softmax between them ----

// Of some heads, over the slots so far: weights are 2^(score - max), and `sum` has their sum in 16 parts.
template <int kHeads>
struct Softmax {
  float max[kHeads];
  Vec sum[kHeads];
};

// No slot seen yet leaves nothing to scale.
inline float base_of(float max) {
  return max == kNoScore ? 0.0f : max;
}

// Hides slots outside the lanes, and what the row must not see.
inline Vec visible_scores(const DecodeSplit& split, uint32_t page, Lanes lanes, Vec scores) {
  const uint32_t first = page * 16;
  if (lanes.all()) {
    if (first + 16 <= split.cache.n_unmasked) return scores;
    return visible_only(scores, split.cache.pos + first, split.seen.oldest, split.seen.newest);
  }
  int32_t pos[16];
  for (uint32_t i = 0; i < 16; ++i)
    pos[i] = i >= lanes.begin && i < lanes.end ? split.cache.pos[first + i] : INT32_MAX;
  return visible_only(scores, pos, split.seen.oldest, split.seen.newest);
}

inline void keep_scores(float* kept, Lanes lanes, Vec scores) {
  if (lanes.all()) return store(kept, scores);
  float each[16];
  store(each, scores);
  for (uint32_t i = lanes.begin; i < lanes.end; ++i) kept[i] = each[i];
}

inline void scale_values(float* value, uint32_t head_dim, float factor) {
  for (uint32_t d = 0; d < head_dim; d += 16) store(value + d, load(value + d) * broadcast(factor));
}

// scores [page][kHeads][16] become weights; value (kHeads, head_dim) goes along with a new maximum.
template <int kHeads>
inline void soften(Softmax<kHeads>& softmax, uint32_t n_pages, uint32_t head_dim, float* scores, float* value) {
  Vec highest[kHeads];
#pragma GCC unroll 4
  for (int h = 0; h < kHeads; ++h) {
    highest[h] = load(scores + 16 * h);
    for (uint32_t p = 1; p < n_pages; ++p)
      highest[h] = larger(highest[h], load(scores + (p * kHeads + static_cast<uint32_t>(h)) * 16));
  }
  for (int h = 0; h < kHeads; ++h) {
    if (!any_above(highest[h], softmax.max[h])) continue;
    const float top = largest(highest[h]);
    const float factor = exp2_scalar(softmax.max[h] - top);
    scale_values(value + static_cast<uint32_t>(h) * head_dim, head_dim, factor);
    softmax.sum[h] = softmax.sum[h] * broadcast(factor);
    softmax.max[h] = top;
  }
  for (uint32_t p = 0; p < n_pages; ++p, scores += 16 * kHeads) {
#pragma GCC unroll 4
    for (int h = 0; h < kHeads; ++h) {
      const Vec weights = exp2(load(scores + 16 * h) - broadcast(base_of(softmax.max[h])));
      softmax.sum[h] = softmax.sum[h] + weights;
      store(scores + 16 * h, weights);
    }
  }
}

#if TENURE_BYTE_PRODUCTS
constexpr uint32_t kPagesAtOnce = kBlockPages;
#else
constexpr uint32_t kPagesAtOnce = 1;
#endif

// What some heads make of a block of pages.
struct Block {
  uint32_t first_page;
  uint32_t n_pages;
  const uint8_t* pages[kPagesAtOnce];
  const uint8_t* ahead[kPagesAtOnce];
  Lanes lanes[kPagesAtOnce];
};

// Brings a page's values to L1 right after its keys, so that a block's pages are read in address order too:
// from memory 0.85 of the time of fetching them when they are weighed (Zen 4).
inline void read_values(const uint8_t* values, const uint8_t* ahead, uint32_t n_bytes) {
#pragma GCC unroll 8
  for (uint32_t i = 0; i < n_bytes; i += 64) {
    prefetch_line(ahead + i);
    static_cast<void>(*static_cast<const volatile uint8_t*>(values + i));
  }
}

// Pages of the range from first_page on, at most kPages.
template <uint32_t kPages>
inline Block block_at(const CacheView& cache, SlotRange range, uint32_t first_page) {
  const uint32_t last_page = (cache.n_slots - 1) / 16;
  const uint32_t pages_ahead = kPages > 1 && kReadAhead.pages < 2 ? 2 : kReadAhead.pages;
  Block block;
  block.first_page = first_page;
  block.n_pages = kPages == 1 ? 1 : smaller((range.end + 15) / 16 - first_page, kPages);
  for (uint32_t i = 0; i < block.n_pages; ++i) {
    const uint32_t page = first_page + i;
    block.pages[i] = page_address(cache, page);
    block.ahead[i] = page_address(cache, smaller(page + pages_ahead, last_page));
    block.lanes[i] = {.begin = page * 16 > range.first ? 0 : range.first - page * 16,
                      .end = smaller(range.end - page * 16, 16)};
  }
  return block;
}

// weights [page][kHeads][16]
template <int kHeads>
inline void weigh_pages(const DecodeSplit& split, const Block& block, const float* weights, float* value) {
  constexpr decltype(&weigh_heads<float, kHeads>) weigh[kCacheTypes] = {
      weigh_heads<float, kHeads>, weigh_heads<F16, kHeads>, weigh_heads<Bf16, kHeads>,
      weigh_heads<Q8, kHeads>,    nullptr,                  weigh_heads<Q4, kHeads>};
  const uint32_t v_offset = split.cache.v_offset;
#if TENURE_BYTE_PRODUCTS
  if (split.v_type == TENURE_Q8_0) {
    ValueBlock values{.n_pages = block.n_pages};
    for (uint32_t i = 0; i < block.n_pages; ++i) {
      values.pages[i] = block.pages[i] + v_offset;
      values.begin[i] = block.lanes[i].begin;
      values.end[i] = block.lanes[i].end;
    }
    return weigh_block<kHeads>(values, split.cache.head_dim, weights, value);
  }
#endif
  for (uint32_t i = 0; i < block.n_pages; ++i, weights += 16 * kHeads)
    weigh[split.v_type](block.pages[i] + v_offset, block.ahead[i] + v_offset, split.cache.head_dim, block.lanes[i],
                        weights, value);
}

// Heads [head, head + kHeads) of the group, kPages pages at a time.
template <int kHeads, uint32_t kPages>
void decode_blocks(const DecodeSplit& split, SlotRange range, uint32_t head, const float* q) {
  constexpr decltype(&score_heads<float, kHeads>) score[kCacheTypes] = {
      score_heads<float, kHeads>, score_heads<F16, kHeads>, score_heads<Bf16, kHeads>,
      score_codes<Q8, kHeads>,    nullptr,                  nullptr,
      nullptr,                    nullptr,                  nullptr,
      score_codes<Q5, kHeads>};
  const CacheView& cache = split.cache;
  float* value = split.value + uint64_t{head} * cache.head_dim;
  CodedQuery coded[kHeads * kMaxGroups];
  if (split.k_type == TENURE_Q8_0 || split.k_type == TENURE_Q5_1) code_query(q, kHeads * cache.head_dim, coded);
  const Queries queries{.plain = q, .coded = coded};
  Softmax<kHeads> softmax;
  for (int h = 0; h < kHeads; ++h) {
    softmax.max[h] = split.max[head + h];
    softmax.sum[h] = zero();
  }
  for (uint32_t page = range.first / 16; page * 16 < range.end; page += kPages) {
    const Block block = block_at<kPages>(cache, range, page);
    alignas(64) float weights[kPages][kHeads * 16];
    for (uint32_t i = 0; i < block.n_pages; ++i) {
      score[split.k_type](block.pages[i], block.ahead[i], cache.head_dim, queries, weights[i]);
      if constexpr (kPages > 1)
        read_values(block.pages[i] + cache.v_offset, block.ahead[i] + cache.v_offset,
                    halves_bytes<Q8>(cache.head_dim) + 16 * row_bytes<Q8>(cache.head_dim));
      for (int h = 0; h < kHeads; ++h) {
        const Vec seen = visible_scores(split, page + i, block.lanes[i], load(weights[i] + 16 * h));
        if (split.weights)
          keep_scores(split.weights + (head + h) * kSplitSlots + (page + i) * 16, block.lanes[i], seen);
        store(weights[i] + 16 * h, seen);
      }
    }
    soften<kHeads>(softmax, block.n_pages, cache.head_dim, weights[0], value);
    weigh_pages<kHeads>(split, block, weights[0], value);
  }
  for (int h = 0; h < kHeads; ++h) {
    split.sum[head + h] = split.sum[head + h] * exp2_scalar(split.max[head + h] - base_of(softmax.max[h])) +
                          sum(softmax.sum[h]);
    split.max[head + h] = softmax.max[h];
  }
}

template <int kHeads>
void decode_heads(const DecodeSplit& split, SlotRange range, uint32_t head, const float* q) {
  if (split.v_type == TENURE_Q8_0) return decode_blocks<kHeads, kPagesAtOnce>(split, range, head, q);
  decode_blocks<kHeads, 1>(split, range, head, q);
}

inline void begin_split(const DecodeSplit& split) {
  for (uint32_t h = 0; h < split.group_size; ++h) {
    split.max[h] = kNoScore;
    split.sum[h] = 0;
  }
  for (uint32_t d = 0; d < split.group_size * split.cache.head_dim; d += 16) store(split.value + d, zero());
}

inline void finish_weights(const DecodeSplit& split) {
  for (uint32_t h = 0; h < split.group_size; ++h) {
    float* weights = split.weights + h * kSplitSlots;
    const Vec base = broadcast(base_of(split.max[h]));
    for (uint32_t s = 0; s < split.cache.n_slots; s += 16) store(weights + s, exp2(load(weights + s) - base));
  }
}

void decode(const DecodeSplit& split, SlotRange range, const float* q) {
  if (range.first == 0) begin_split(split);
  for (uint32_t h = 0; h < split.group_size; h += kHeadsAtOnce) {
    const float* queries = q + uint64_t{h} * split.cache.head_dim;
    switch (smaller(kHeadsAtOnce, split.group_size - h)) {
      case 1:
        decode_heads<1>(split, range, h, queries);
        break;
      case 2:
        decode_heads<2>(split, range, h, queries);
        break;
      case 3:
        decode_heads<3>(split, range, h, queries);
        break;
      default:
        decode_heads<4>(split, range, h, queries);
        break;
    }
  }
  if (split.weights && range.end == split.cache.n_slots) finish_weights(split);
}

void decode_merge(const DecodePartials& parts, float* out, float* max, float* inverse_sum) {
  float top = kNoScore;
  for (uint32_t i = 0; i < parts.n_splits; ++i) {
    const float m = parts.max[i * parts.small_stride];
    top = m > top ? m : top;
  }
  for (uint32_t d = 0; d < parts.head_dim; d += 16) store(out + d, zero());
  float total = 0;
  for (uint32_t i = 0; i < parts.n_splits; ++i) {
    const float m = parts.max[i * parts.small_stride];
    if (m == kNoScore) continue;
    const float factor = exp2_scalar(m - top);
    const float* value = parts.value + static_cast<uint64_t>(i) * parts.value_stride;
    total = total + parts.sum[i * parts.small_stride] * factor;
    for (uint32_t d = 0; d < parts.head_dim; d += 16)
      store(out + d, fma(broadcast(factor), load(value + d), load(out + d)));
  }
  const float inverse = total == 0 ? 0.0f : 1.0f / total;
  for (uint32_t d = 0; d < parts.head_dim; d += 16) store(out + d, load(out + d) * broadcast(inverse));
  *max = top;
  *inverse_sum = inverse;
}

void add_scaled(const float* weights, float factor, uint32_t n, float* mass) {
  const Vec f = broadcast(factor);
  uint32_t s = 0;
  for (; s + 16 <= n; s += 16) store(mass + s, fma(load(weights + s), f, load(mass + s)));
  if (s == n) return;
  float lanes[16] = {};
  memcpy(lanes, mass + s, (n - s) * sizeof(float));
  store(lanes, fma(load(weights + s), f, load(lanes)));
  memcpy(mass + s, lanes, (n - s) * sizeof(float));
}

}  // namespace
}  // namespace tenure::cpu
