#include "paged_cache.h"

#include <algorithm>
#include <atomic>
#include <bit>
#include <cmath>
#include <cstring>
#include <limits>
#include <numeric>
#include <random>
#include <thread>

#include "emulated_kernels.h"
#include "page_layout.h"
#include "tensor/dtype.h"

namespace tenure::cpu {
namespace {

bool is_coded(uint32_t dtype) {
  return dtype == TENURE_Q8_0 || dtype == TENURE_Q4_1;
}

uint32_t rows_of(bool keys, uint32_t dtype) {
  return keys && dtype == TENURE_Q4_1 ? uint32_t{TENURE_Q5_1} : dtype;
}

// One row's random codes and scales, each of a value that f16 has. Types of rows are Q8_0, Q4_1 and Q5_1.
struct CodedRow {
  std::vector<float> scales;
  std::vector<float> minimums;  // not Q8_0
  std::vector<int> codes;       // (head_dim)
};

CodedRow random_coded(uint32_t head_dim, uint32_t dtype, std::mt19937& random) {
  const bool nibbles = dtype != TENURE_Q8_0;
  const unsigned levels = dtype == TENURE_Q5_1 ? 32 : 16;
  CodedRow row;
  for (uint32_t g = 0; g < head_dim / 32; ++g) {
    row.scales.push_back(static_cast<float>(64 + random() % 64) / (nibbles ? 512 : 4096));
    row.minimums.push_back(nibbles ? -static_cast<float>(random() % 64) / 32 : 0.0f);
  }
  for (uint32_t d = 0; d < head_dim; ++d)
    row.codes.push_back(nibbles ? static_cast<int>(random() % levels) : static_cast<int>(random() % 255) - 127);
  return row;
}

// Where byte i of a row of codes lies, from the first of its page's keys or values.
uint64_t byte_of(bool keys, uint32_t row_bytes, uint32_t lane, uint32_t i) {
  return keys ? i / 4 * 64 + lane * 4 + i % 4 : uint64_t{lane} * row_bytes + i;
}

// side: of a page's keys or values. A row past the end has scales that are no numbers.
void write_coded(uint8_t* side, bool keys, uint32_t dtype, uint32_t lane, const CodedRow* row, uint32_t head_dim) {
  const bool nibbles = dtype != TENURE_Q8_0;
  const uint32_t group_bytes = dtype == TENURE_Q5_1 ? 20 : 16;  // of nibbles, with their fifth bits
  const uint32_t row_bytes = head_dim / 32 * group_bytes;
  const uint32_t n_groups = head_dim / 32;
  uint8_t* codes = side + n_groups * 32 * (nibbles ? 2 : 1);
  for (uint32_t g = 0; g < n_groups; ++g) {
    write_element(side + (g * 16 + lane) * 2, TENURE_F16, row ? row->scales[g] : NAN);
    if (nibbles) write_element(side + ((n_groups + g) * 16 + lane) * 2, TENURE_F16, row ? row->minimums[g] : NAN);
  }
  for (uint32_t d = 0; row && d < head_dim; ++d) {
    if (nibbles) {
      const int nibble = row->codes[d] % 16;
      uint8_t& both = codes[byte_of(keys, row_bytes, lane, d / 32 * group_bytes + d % 16)];
      both = static_cast<uint8_t>(d % 32 < 16 ? nibble : both | nibble << 4);
      if (dtype != TENURE_Q5_1) continue;
      uint8_t& fifths = codes[byte_of(keys, row_bytes, lane, d / 32 * group_bytes + 16 + d % 4)];
      fifths = static_cast<uint8_t>((d % 32 < 4 ? 0 : fifths) | row->codes[d] / 16 << d % 32 / 4);
    } else {
      codes[byte_of(keys, head_dim, lane, d)] = static_cast<uint8_t>(row->codes[d]);
    }
  }
}

// What the codes stand for; keys of Q5_1 are kept times the Hadamard matrix.
void append_values(const CodedRow& row, bool is_spread, std::vector<double>& values) {
  std::vector<double> kept;
  for (size_t d = 0; d < row.codes.size(); ++d)
    kept.push_back(row.codes[d] * double{row.scales[d / 32]} + row.minimums[d / 32]);
  for (size_t d = 0; d < kept.size(); ++d) {
    double x = is_spread ? 0 : kept[d];
    for (size_t i = 0; is_spread && i < 32; ++i)
      x += kept[d / 32 * 32 + i] * (std::popcount(d % 32 & i) % 2 != 0 ? -1 : 1) / 32;
    values.push_back(x);
  }
}

std::vector<double> random_stored(size_t n, uint32_t dtype, std::mt19937& random) {
  std::normal_distribution<double> normal;
  std::vector<double> x(n);
  for (double& value : x) value = stored(normal(random), dtype);
  return x;
}

}  // namespace

std::vector<const AttendKernels*> usable_kernels() {
  std::vector<const AttendKernels*> all{&kAttendScalar};
  if (choose_attend_kernels("avx2")) all.push_back(&kAttendAvx2);
  if (const AttendKernels* best = choose_attend_kernels("avx512")) {
    all.push_back(&kAttendAvx512);
    if (best != &kAttendAvx512) all.push_back(best);
  }
  if (can_emulate_tiles()) all.push_back(&kAttendEmulated);
  if (choose_attend_kernels("amx")) all.push_back(&kAttendAmx);
  return all;
}

TestExec::TestExec(uint32_t n_workers) : n_workers_(n_workers) {
  host_.ctx = &n_workers_;
  service_.n_workers = [](const tenure_host* host) { return *static_cast<const uint32_t*>(host->ctx); };
  service_.parallel_for = [](const tenure_host* host, uint32_t n_tasks, tenure_task fn, void* ctx) {
    std::atomic<uint32_t> next{0};
    const auto work = [&](uint32_t worker) {
      for (uint32_t i = next.fetch_add(1); i < n_tasks; i = next.fetch_add(1)) fn(ctx, i, worker);
    };
    std::vector<std::thread> threads;
    for (uint32_t w = 1; w < *static_cast<const uint32_t*>(host->ctx); ++w) threads.emplace_back(work, w);
    work(0);
    for (std::thread& t : threads) t.join();
  };
}

double stored(double x, uint32_t dtype) {
  uint8_t bytes[4];
  write_element(bytes, dtype, x);
  return read_element(bytes, dtype);
}

void write_element(uint8_t* at, uint32_t dtype, double x) {
  const float f = static_cast<float>(x);
  if (dtype == TENURE_F32) {
    std::memcpy(at, &f, 4);
    return;
  }
  uint16_t half = 0;
  if (dtype == TENURE_F16) {
    half = f32_to_f16(f);
  } else {  // bf16: the nearer neighbour, the even one of two equally near
    uint32_t bits;
    std::memcpy(&bits, &f, 4);
    const uint32_t rest = bits & 0xffff;
    half = static_cast<uint16_t>(bits >> 16);
    if (rest > 0x8000 || (rest == 0x8000 && (half & 1))) ++half;
  }
  std::memcpy(at, &half, 2);
}

double read_element(const uint8_t* at, uint32_t dtype) {
  float f = 0;
  if (dtype == TENURE_F32) {
    std::memcpy(&f, at, 4);
    return f;
  }
  uint16_t half;
  std::memcpy(&half, at, 2);
  if (dtype == TENURE_F16) return f16_to_f32(half);
  const uint32_t bits = uint32_t{half} << 16;
  std::memcpy(&f, &bits, 4);
  return f;
}

std::vector<float> random_floats(size_t n, uint32_t seed) {
  std::mt19937 random(seed);
  std::normal_distribution<float> normal;
  std::vector<float> x(n);
  for (float& value : x) value = normal(random);
  return x;
}

std::vector<int32_t> ascending(uint32_t n, int32_t first) {
  std::vector<int32_t> x(n);
  std::iota(x.begin(), x.end(), first);
  return x;
}

PagedCache::PagedCache(const Shape& shape, const std::vector<std::vector<int32_t>>& positions, uint32_t seed)
    : shape_(shape), positions_(positions) {
  std::mt19937 random(seed);
  const PageLayout layout{shape.head_dim, shape.k_type, shape.v_type};
  uint32_t n_pages = 0;
  for (const auto& head : positions) n_pages += (static_cast<uint32_t>(head.size()) + 15) / 16;
  std::vector<uint32_t> shuffled(n_pages);
  std::iota(shuffled.begin(), shuffled.end(), 0);
  std::shuffle(shuffled.begin(), shuffled.end(), random);
  bytes_.resize(uint64_t{n_pages} * layout.bytes());
  pool_ = {
      .base = bytes_.data(), .page_bytes = layout.bytes(), .k_type = shape.k_type, .v_type = shape.v_type};

  auto next = shuffled.begin();
  for (const auto& head : positions) {
    const auto n_slots = static_cast<uint32_t>(head.size());
    std::vector<uint32_t> pages(next, next + (n_slots + 15) / 16);
    next += (n_slots + 15) / 16;
    keys_.push_back(fill(pages, n_slots, true, random));
    values_.push_back(fill(pages, n_slots, false, random));
    pages_.push_back(std::move(pages));
  }
}

std::vector<double> PagedCache::fill(const std::vector<uint32_t>& pages, uint32_t n_slots, bool keys,
                                     std::mt19937& random) {
  const PageLayout layout{shape_.head_dim, shape_.k_type, shape_.v_type};
  const uint32_t dtype = keys ? shape_.k_type : shape_.v_type;
  std::vector<double> stored_values;
  if (!is_coded(dtype)) stored_values = random_stored(uint64_t{n_slots} * shape_.head_dim, dtype, random);
  for (uint32_t s = 0; s < pages.size() * 16; ++s) {
    uint8_t* side = bytes_.data() + uint64_t{pages[s / 16]} * layout.bytes() + (keys ? 0 : layout.v_offset());
    if (is_coded(dtype)) {
      const uint32_t rows = rows_of(keys, dtype);
      const CodedRow row = random_coded(shape_.head_dim, rows, random);
      write_coded(side, keys, rows, s % 16, s < n_slots ? &row : nullptr, shape_.head_dim);
      if (s < n_slots) append_values(row, rows == TENURE_Q5_1, stored_values);
      continue;
    }
    for (uint32_t d = 0; d < shape_.head_dim; ++d) {
      const uint32_t at_element = keys ? d * 16 + s % 16 : s % 16 * shape_.head_dim + d;
      write_element(side + at_element * row_format(dtype).unit_bytes, dtype,
                    s < n_slots ? at(stored_values, s, d) : std::numeric_limits<double>::quiet_NaN());
    }
  }
  return stored_values;
}

tenure_kv_view PagedCache::view(uint32_t head) const {
  tenure_kv_view view{};
  view.pages = pages_[head].data();
  view.pos = positions_[head].data();
  view.n_slots = static_cast<uint32_t>(positions_[head].size());
  return view;
}

void rotate_reference(double base, uint32_t rope_dim, uint32_t kind, double position,
                      std::vector<double>& x) {
  for (uint32_t i = 0; i < rope_dim / 2; ++i) {
    const double angle = position * std::pow(base, -2.0 * i / rope_dim);
    const uint32_t a = kind == TENURE_ROPE_INTERLEAVED ? 2 * i : i;
    const uint32_t b = kind == TENURE_ROPE_INTERLEAVED ? 2 * i + 1 : i + rope_dim / 2;
    const double u = x[a];
    const double w = x[b];
    x[a] = u * std::cos(angle) - w * std::sin(angle);
    x[b] = w * std::cos(angle) + u * std::sin(angle);
  }
}

Reference reference_attend(const PagedCache& cache, const Rows& rows, const std::vector<float>& q) {
  const Shape& shape = cache.shape();
  const uint32_t dim = shape.head_dim;
  Reference result;
  result.out.resize(uint64_t{rows.n_rows} * shape.n_heads() * dim);
  for (uint32_t h = 0; h < shape.n_kv_heads; ++h) result.mass.emplace_back(cache.positions(h).size(), 0.0);
  for (uint32_t r = 0; r < rows.n_rows; ++r) {
    for (uint32_t head = 0; head < shape.n_heads(); ++head) {
      const uint32_t h = head / shape.group_size;
      const auto& pos = cache.positions(h);
      const int64_t p = rows.first_pos + static_cast<int64_t>(r);
      const uint64_t at = (uint64_t{r} * shape.n_heads() + head) * dim;
      std::vector<double> weight(pos.size(), 0.0);
      double top = -std::numeric_limits<double>::infinity();
      std::vector<std::vector<double>> turned;
      std::vector<size_t> ends;
      for (const tenure_kv_run& run : rows.runs) {
        turned.emplace_back(q.begin() + at, q.begin() + at + dim);
        if (run.shift != 0)
          rotate_reference(rows.rope->base(), rows.rope->rope_dim(), rows.rope->kind(), -run.shift,
                           turned.back());
        ends.push_back((ends.empty() ? 0 : ends.back()) + run.n_slots);
      }
      if (turned.empty()) turned.emplace_back(q.begin() + at, q.begin() + at + dim);
      const auto seen = [&](size_t s) {
        return pos[s] <= p && (rows.window == 0 || pos[s] > p - rows.window);
      };
      for (size_t s = 0; s < pos.size(); ++s) {
        size_t run = 0;
        while (run + 1 < ends.size() && s >= ends[run]) ++run;
        double dot = 0;
        for (uint32_t d = 0; d < dim; ++d) dot += turned[run][d] * cache.key(h, static_cast<uint32_t>(s), d);
        weight[s] = dot / std::sqrt(static_cast<double>(dim));
        if (seen(s)) top = std::max(top, weight[s]);
      }
      double total = 0;
      for (size_t s = 0; s < pos.size(); ++s) {
        weight[s] = seen(s) ? std::exp(weight[s] - top) : 0.0;
        total += weight[s];
      }
      if (total == 0) continue;
      for (size_t s = 0; s < pos.size(); ++s) {
        weight[s] /= total;
        for (uint32_t d = 0; d < dim; ++d)
          result.out[at + d] += weight[s] * cache.value(h, static_cast<uint32_t>(s), d);
        if (rows.n_mass_rows >= rows.n_rows || r >= rows.n_rows - rows.n_mass_rows)
          result.mass[h][s] += weight[s] / shape.group_size;
      }
    }
  }
  return result;
}

Attended run_attend(const PagedCache& cache, const Rows& rows, const std::vector<float>& q,
                    const Setting& setting) {
  const Shape& shape = cache.shape();
  Attended result;
  result.out.assign(uint64_t{rows.n_rows} * shape.n_heads() * shape.head_dim, -1.0f);
  std::vector<tenure_kv_view> heads;
  result.mass.resize(shape.n_kv_heads);
  for (uint32_t h = 0; h < shape.n_kv_heads; ++h) {
    tenure_kv_view view = cache.view(h);
    if (setting.mass) {
      result.mass[h].assign(view.n_slots, 0.0f);
      view.mass = result.mass[h].data();
    }
    view.runs = rows.runs.empty() ? nullptr : rows.runs.data();
    view.n_runs = static_cast<uint32_t>(rows.runs.size());
    while (view.n_unmasked < view.n_slots && view.pos[view.n_unmasked] < rows.first_pos) ++view.n_unmasked;
    heads.push_back(view);
  }
  const tenure_segment segment{.kind = setting.kind,
                               .first_row = 0,
                               .n_rows = rows.n_rows,
                               .first_pos = rows.first_pos,
                               .n_mass_rows = rows.n_mass_rows,
                               .pool = &cache.pool(),
                               .heads = heads.data()};
  const TestExec exec(setting.n_workers);
  AttendScratch scratch;
  const tenure_status status = attend(*setting.kernels, exec.exec(),
                                      {.segments = &segment,
                                       .n_segments = 1,
                                       .n_heads = shape.n_heads(),
                                       .n_kv_heads = shape.n_kv_heads,
                                       .head_dim = shape.head_dim,
                                       .window = rows.window,
                                       .scale = 1 / std::sqrt(static_cast<double>(shape.head_dim)),
                                       .rope = rows.rope,
                                       .q = q.data(),
                                       .out = result.out.data()},
                                      scratch);
  if (status != TENURE_OK) result.out.clear();
  return result;
}

}  // namespace tenure::cpu
