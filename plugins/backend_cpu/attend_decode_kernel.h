// Decode attention of one split: all query heads of a KV head together, so that keys and values are read
// once. Included once per instruction set; see attend_vec.h.
#pragma once

#include "attend_kernels.h"
#include "attend_vec.h"

namespace tenure::cpu {
namespace {

#if TENURE_VEC_AVX512
constexpr int kScorePages = 4;  // pages at once: 4 heads x 4 pages are 16 accumulators of 32 registers
constexpr int kValueVecs = 4;
#else
constexpr int kScorePages = 1;  // a Vec is 2 of 16 registers
constexpr int kValueVecs = 1;
#endif
constexpr int kHeadsAtOnce = 4;
// Prefetch distance, into L2 (1.22 times as fast as into L1 at 8k slots on Zen 4). Measured from DRAM: 1 and 2
// cost 15-40 %, 12 costs 10-20 %, 6 and 8 are no better than 4.
constexpr uint32_t kPagesAhead = 4;

inline const uint8_t* page_address(const CacheView& cache, uint32_t page) {
  return cache.base + uint64_t{cache.pages[page]} * cache.page_bytes;
}

// Scores of kPages whole pages for kHeads heads; out[p] + head * stride.
template <class K, int kHeads, int kPages>
inline void score_pages(const K* const* keys, const uint8_t* const* ahead, uint32_t head_dim, const float* q,
                        float* const* out, uint32_t stride) {
  Vec acc[kHeads][kPages];
  for (int h = 0; h < kHeads; ++h)
    for (int p = 0; p < kPages; ++p) acc[h][p] = zero();
  for (uint32_t d = 0; d < head_dim; d += 2) {
    for (int p = 0; p < kPages; ++p) __builtin_prefetch(ahead[p] + d * 16 * sizeof(K), 0, 2);
    for (uint32_t e = d; e < d + 2; ++e) {
      Vec key[kPages];
      for (int p = 0; p < kPages; ++p) key[p] = load(keys[p] + e * 16);
      for (int h = 0; h < kHeads; ++h) {
        const Vec query = broadcast(q[h * head_dim + e]);
        for (int p = 0; p < kPages; ++p) acc[h][p] = fma(query, key[p], acc[h][p]);
      }
    }
  }
  for (int h = 0; h < kHeads; ++h)
    for (int p = 0; p < kPages; ++p) store(out[p] + static_cast<uint64_t>(h) * stride, acc[h][p]);
}

template <class K, int kPages>
inline void score_heads(const K* const* keys, const uint8_t* const* ahead, uint32_t head_dim,
                        uint32_t group_size, const float* q, float* const* out, uint32_t stride) {
  float* at[kPages];
  for (int p = 0; p < kPages; ++p) at[p] = out[p];
  for (uint32_t h = 0; h < group_size; h += kHeadsAtOnce) {
    const float* query = q + static_cast<uint64_t>(h) * head_dim;
    switch (smaller(kHeadsAtOnce, group_size - h)) {
      case 1:
        score_pages<K, 1, kPages>(keys, ahead, head_dim, query, at, stride);
        break;
      case 2:
        score_pages<K, 2, kPages>(keys, ahead, head_dim, query, at, stride);
        break;
      case 3:
        score_pages<K, 3, kPages>(keys, ahead, head_dim, query, at, stride);
        break;
      default:
        score_pages<K, 4, kPages>(keys, ahead, head_dim, query, at, stride);
        break;
    }
    for (int p = 0; p < kPages; ++p) at[p] += static_cast<uint64_t>(kHeadsAtOnce) * stride;
  }
}

// A page of which only some slots belong to the range: another run's scores lie beside them.
template <class K>
void score_part(const CacheView& cache, uint32_t page, SlotRange range, uint32_t group_size, const float* q,
                float* scores) {
  const K* keys = reinterpret_cast<const K*>(page_address(cache, page));
  const uint8_t* ahead = reinterpret_cast<const uint8_t*>(keys);
  const uint32_t begin = page * 16 > range.first ? page * 16 : range.first;
  const uint32_t end = smaller(page * 16 + 16, range.end);
  for (uint32_t h = 0; h < group_size; h += kHeadsAtOnce) {
    const uint32_t n_heads = smaller(kHeadsAtOnce, group_size - h);
    float lanes[kHeadsAtOnce * 16];
    float* out = lanes;
    score_heads<K, 1>(&keys, &ahead, cache.head_dim, n_heads, q + static_cast<uint64_t>(h) * cache.head_dim,
                      &out, 16);
    for (uint32_t i = 0; i < n_heads; ++i)
      for (uint32_t s = begin; s < end; ++s)
        scores[(h + i) * kSplitSlots + s] = lanes[i * 16 + s - page * 16];
  }
}

template <class K>
void decode_scores(const CacheView& cache, SlotRange range, uint32_t group_size, const float* q,
                   float* scores) {
  uint32_t page = range.first / 16;
  const uint32_t end_page = range.end / 16;
  const uint32_t last_page = (range.end + 15) / 16;
  if (range.first % 16 != 0 || page == end_page) score_part<K>(cache, page++, range, group_size, q, scores);
  for (uint32_t p = page; p < smaller(page + kPagesAhead, last_page); ++p)
    for (uint32_t b = 0; b < cache.head_dim * 16 * sizeof(K); b += 64)
      __builtin_prefetch(page_address(cache, p) + b, 0, 2);

  const K* keys[kScorePages];
  const uint8_t* ahead[kScorePages];
  float* out[kScorePages];
  const auto aim = [&](uint32_t p, int i) {
    keys[i] = reinterpret_cast<const K*>(page_address(cache, p));
    // Past the last key page come the split's first values.
    ahead[i] = p + kPagesAhead < last_page
                   ? page_address(cache, p + kPagesAhead)
                   : page_address(cache, range.first / 16 + smaller(p + kPagesAhead - last_page,
                                                                    last_page - range.first / 16 - 1)) +
                         cache.v_offset;
    out[i] = scores + p * 16;
  };
  for (; page + kScorePages <= end_page; page += kScorePages) {
    for (int i = 0; i < kScorePages; ++i) aim(page + i, i);
    score_heads<K, kScorePages>(keys, ahead, cache.head_dim, group_size, q, out, kSplitSlots);
  }
  for (; page < end_page; ++page) {
    aim(page, 0);
    score_heads<K, 1>(keys, ahead, cache.head_dim, group_size, q, out, kSplitSlots);
  }
  if (range.end % 16 != 0 && page < last_page && page >= range.first / 16)
    score_part<K>(cache, page, range, group_size, q, scores);
}

// Hides what the row must not see and what lies past the end.
inline void hide_slots(const DecodeSplit& split, float* scores) {
  const CacheView& cache = split.cache;
  const uint32_t tail = cache.n_slots / 16 * 16;
  for (uint32_t s = cache.n_unmasked / 16 * 16; s < tail; s += 16)
    store(scores + s, visible_only(load(scores + s), cache.pos + s, split.seen.oldest, split.seen.newest));
  if (tail == cache.n_slots) return;
  int32_t pos[16];
  for (uint32_t i = 0; i < 16; ++i) pos[i] = tail + i < cache.n_slots ? cache.pos[tail + i] : INT32_MAX;
  store(scores + tail, visible_only(load(scores + tail), pos, split.seen.oldest, split.seen.newest));
}

inline void soften(const DecodeSplit& split, uint32_t head) {
  float* scores = split.weights + head * kSplitSlots;
  const uint32_t n_slots = split.cache.n_slots;
  hide_slots(split, scores);
  Vec top = broadcast(kNoScore);
  for (uint32_t s = 0; s < n_slots; s += 16) top = larger(top, load(scores + s));
  const float max = largest(top);
  const Vec base = broadcast(max == kNoScore ? 0.0f : max);
  Vec total = zero();
  for (uint32_t s = 0; s < n_slots; s += 16) {
    const Vec weight = exp2(load(scores + s) - base);
    total = total + weight;
    store(scores + s, weight);
  }
  split.max[head] = max;
  split.sum[head] = sum(total);
}

// value[h][dim ...] = sum over the split's slots of weight * V.
template <class V, int kHeads, int kVecs>
inline void weigh_values(const DecodeSplit& split, uint32_t head, uint32_t dim) {
  const CacheView& cache = split.cache;
  const float* weights = split.weights + head * kSplitSlots;
  Vec acc[kHeads][kVecs];
  for (int h = 0; h < kHeads; ++h)
    for (int j = 0; j < kVecs; ++j) acc[h][j] = zero();
  const uint32_t last_page = (cache.n_slots - 1) / 16;
  for (uint32_t page = 0; page <= last_page; ++page) {
    const V* rows = reinterpret_cast<const V*>(page_address(cache, page) + cache.v_offset) + dim;
    const V* ahead = reinterpret_cast<const V*>(page_address(cache, smaller(page + kPagesAhead, last_page)) +
                                                cache.v_offset) +
                     dim;
    const uint32_t n = smaller(16, cache.n_slots - page * 16);
    for (uint32_t t = 0; t < n; ++t) {
      for (uint32_t b = 0; b < kVecs * 16 * sizeof(V); b += 64)
        __builtin_prefetch(reinterpret_cast<const uint8_t*>(ahead + t * cache.head_dim) + b, 0, 2);
      Vec value[kVecs];
      for (int j = 0; j < kVecs; ++j) value[j] = load(rows + t * cache.head_dim + 16 * j);
      for (int h = 0; h < kHeads; ++h) {
        const Vec weight = broadcast(weights[h * kSplitSlots + page * 16 + t]);
        for (int j = 0; j < kVecs; ++j) acc[h][j] = fma(weight, value[j], acc[h][j]);
      }
    }
  }
  for (int h = 0; h < kHeads; ++h)
    for (int j = 0; j < kVecs; ++j)
      store(split.value + (head + h) * cache.head_dim + dim + 16 * j, acc[h][j]);
}

template <class V, int kVecs>
inline void weigh_heads(const DecodeSplit& split, uint32_t head, uint32_t dim) {
  switch (smaller(kHeadsAtOnce, split.group_size - head)) {
    case 1:
      weigh_values<V, 1, kVecs>(split, head, dim);
      break;
    case 2:
      weigh_values<V, 2, kVecs>(split, head, dim);
      break;
    case 3:
      weigh_values<V, 3, kVecs>(split, head, dim);
      break;
    default:
      weigh_values<V, 4, kVecs>(split, head, dim);
      break;
  }
}

template <class V>
void decode_weigh(const DecodeSplit& split) {
  for (uint32_t h = 0; h < split.group_size; ++h) soften(split, h);
  for (uint32_t h = 0; h < split.group_size; h += kHeadsAtOnce) {
    uint32_t dim = 0;
    for (; dim + 16 * kValueVecs <= split.cache.head_dim; dim += 16 * kValueVecs)
      weigh_heads<V, kValueVecs>(split, h, dim);
    for (; dim < split.cache.head_dim; dim += 16) weigh_heads<V, 1>(split, h, dim);
  }
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
