#include "paged_cache.h"

#include <algorithm>
#include <atomic>
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
    keys_.push_back(random_stored(uint64_t{n_slots} * shape.head_dim, shape.k_type, random));
    values_.push_back(random_stored(uint64_t{n_slots} * shape.head_dim, shape.v_type, random));
    for (uint32_t s = 0; s < (n_slots + 15) / 16 * 16; ++s) {
      uint8_t* page = bytes_.data() + uint64_t{pages[s / 16]} * layout.bytes();
      for (uint32_t d = 0; d < shape.head_dim; ++d) {
        const double nan = std::numeric_limits<double>::quiet_NaN();
        write_element(page + (d * 16 + s % 16) * cache_element_bytes(shape.k_type), shape.k_type,
                      s < n_slots ? at(keys_.back(), s, d) : nan);
        write_element(
            page + layout.v_offset() + (s % 16 * shape.head_dim + d) * cache_element_bytes(shape.v_type),
            shape.v_type, s < n_slots ? at(values_.back(), s, d) : nan);
      }
    }
    pages_.push_back(std::move(pages));
  }
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
