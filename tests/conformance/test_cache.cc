#include "conformance/test_cache.h"

#include <doctest/doctest.h>

#include <algorithm>
#include <cmath>
#include <numeric>

#include "error/error.h"

namespace tenure::conformance {

bool keeps(Backend& backend, uint32_t head_dim, uint32_t k_type, uint32_t v_type) {
  try {
    backend.page_layout(head_dim, static_cast<Dtype>(k_type), static_cast<Dtype>(v_type));
    return true;
  } catch (const Error&) {
    const auto is_plain = [](uint32_t type) { return type <= TENURE_BF16; };
    if (is_plain(k_type) && is_plain(v_type)) throw;
    return false;
  }
}

TestPool::TestPool(Backend& backend, uint32_t head_dim, uint32_t k_type, uint32_t v_type, uint32_t n_pages)
    : layout_(backend.page_layout(head_dim, static_cast<Dtype>(k_type), static_cast<Dtype>(v_type))),
      buffer_(backend.alloc(n_pages * layout_.page_bytes, MemoryKind::pool)),
      kv_{.base = buffer_.data(), .page_bytes = layout_.page_bytes, .k_type = k_type, .v_type = v_type},
      free_(n_pages) {
  std::iota(free_.begin(), free_.end(), 0);
  std::shuffle(free_.begin(), free_.end(), std::mt19937(9));
}

uint32_t TestPool::take() {
  REQUIRE(!free_.empty());
  const uint32_t page = free_.back();
  free_.pop_back();
  return page;
}

TestSequence::TestSequence(TestPool& pool, const tenure_layer_info& layer)
    : pool_(pool), layer_(layer), heads_(layer.n_kv_heads) {
  for (Head& head : heads_)
    head.slots = {.k_type = pool.kv().k_type, .v_type = pool.kv().v_type, .slots = {}};
}

std::vector<uint32_t> TestSequence::append(const TestRows& rows, std::span<const float> k,
                                           std::span<const float> v) {
  std::vector<uint32_t> first_slots;
  const uint32_t dim = layer_.head_dim;
  for (uint32_t h = 0; h < heads_.size(); ++h) {
    Head& head = heads_[h];
    first_slots.push_back(static_cast<uint32_t>(head.pos.size()));
    for (uint32_t i = 0; i < rows.n_rows; ++i) {
      if (!rows.masks.empty() && rows.masks[h][i] == 0) continue;
      if (head.pos.size() % pool_.page_slots() == 0) head.pages.push_back(pool_.take());
      const size_t at = (size_t{i} * heads_.size() + h) * dim;
      head.pos.push_back(rows.first_pos + static_cast<int32_t>(i));
      head.slots.append(head.pos.back(), k.subspan(at, dim), v.subspan(at, dim));
    }
    head.mass.resize(head.pos.size(), 0.0f);
  }
  return first_slots;
}

void TestSequence::move_to_fresh_pages(Backend& backend) {
  std::vector<tenure_page_copy> copies;
  for (Head& head : heads_) {
    for (uint32_t& page : head.pages) {
      const uint32_t fresh = pool_.take();
      copies.push_back({.pool = &pool_.kv(), .src = page, .dst = fresh});
      page = fresh;
    }
  }
  require_ok(backend.cache_copy(copies));
  require_ok(backend.synchronize());
}

std::vector<std::vector<uint8_t>> ragged(uint32_t n_kv_heads, uint32_t n_rows, double probability,
                                         std::mt19937& random) {
  std::vector<std::vector<uint8_t>> masks(n_kv_heads, std::vector<uint8_t>(n_rows));
  std::bernoulli_distribution holds(probability);
  for (auto& mask : masks) {
    for (uint8_t& row : mask) row = holds(random) ? 1 : 0;
  }
  return masks;
}

uint32_t TestBatch::add(TestSequence& sequence, const TestRows& rows) {
  const ModelShape& shape = model_.shape();
  const uint32_t seed = seed_ + 100 * n_segments();
  Values values = given_ ? std::move(*given_)
                         : Values{.k = random_floats(size_t{rows.n_rows} * shape.n_kv(), seed + 1),
                                  .v = random_floats(size_t{rows.n_rows} * shape.n_kv(), seed + 2),
                                  .q = random_floats(size_t{rows.n_rows} * shape.n_q(), seed + 3)};
  given_.reset();
  Segment segment{.sequence = &sequence,
                  .rows = rows,
                  .first_slots = {},
                  .first_row = n_rows_,
                  .values = std::move(values)};
  segment.first_slots = sequence.append(rows, segment.values.k, segment.values.v);
  segments_.push_back(std::move(segment));
  n_rows_ += rows.n_rows;
  return n_segments() - 1;
}

std::vector<float> TestBatch::gathered(std::vector<float> Values::*part) const {
  std::vector<float> all;
  for (const Segment& segment : segments_)
    all.insert(all.end(), (segment.values.*part).begin(), (segment.values.*part).end());
  return all;
}

std::vector<tenure_kv_view> TestBatch::views(bool mass) {
  std::vector<tenure_kv_view> views;
  for (const Segment& segment : segments_) {
    for (uint32_t h = 0; h < segment.first_slots.size(); ++h) {
      TestSequence::Head& head = segment.sequence->heads()[h];
      const auto checked = std::find_if(head.pos.begin(), head.pos.end(),
                                        [&](int32_t pos) { return pos >= segment.rows.first_pos; });
      views.push_back({.pages = head.pages.data(),
                       .pos = head.pos.data(),
                       .mass = mass ? head.mass.data() : nullptr,
                       .runs = head.runs.empty() ? nullptr : head.runs.data(),
                       .write_mask = segment.rows.masks.empty() ? nullptr : segment.rows.masks[h].data(),
                       .n_runs = static_cast<uint32_t>(head.runs.size()),
                       .n_slots = static_cast<uint32_t>(head.pos.size()),
                       .n_unmasked = static_cast<uint32_t>(checked - head.pos.begin()),
                       .first_slot = segment.first_slots[h]});
    }
  }
  return views;
}

void TestBatch::append() {
  run(false, false);
}
void TestBatch::attend(bool mass) {
  run(true, mass);
}

void TestBatch::run(bool attend, bool mass) {
  Backend& device = model_.backend();
  const DeviceFloats k(device, gathered(&Values::k)), v(device, gathered(&Values::v)),
      q(device, gathered(&Values::q));
  const DeviceFloats out(device, size_t{n_rows_} * model_.shape().n_q());
  const std::vector<tenure_kv_view> all_views = views(mass);
  std::vector<tenure_segment> segments;
  std::vector<int32_t> positions;
  for (const Segment& segment : segments_) {
    segments.push_back({.kind = segment.rows.kind,
                        .first_row = segment.first_row,
                        .n_rows = segment.rows.n_rows,
                        .first_pos = segment.rows.first_pos,
                        .n_mass_rows = segment.rows.n_mass_rows,
                        .pool = &segment.sequence->kv(),
                        .heads = &all_views[segments.size() * model_.shape().n_kv_heads]});
    for (uint32_t i = 0; i < segment.rows.n_rows; ++i)
      positions.push_back(segment.rows.first_pos + static_cast<int32_t>(i));
  }
  TestForward forward(model_, std::vector<int32_t>(n_rows_, 1), positions, n_segments());
  forward.run([&](Backend& b, const tenure_forward& f) {
    require_ok(b.cache_append(f, 0, segments.data(), k.data(), v.data()));
    if (attend) require_ok(b.attend(f, 0, segments.data(), q.data(), out.data()));
  });
  out_ = out.read();
}

std::span<const float> TestBatch::out(uint32_t segment) const {
  const size_t width = model_.shape().n_q();
  return std::span(out_).subspan(segments_[segment].first_row * width,
                                 segments_[segment].rows.n_rows * width);
}

TestBatch::Worst TestBatch::compare(uint32_t index) const {
  const Segment& segment = segments_[index];
  const ModelShape& shape = model_.shape();
  const std::span<const float> got = out(index);
  const uint32_t n_counted = std::min(segment.rows.n_mass_rows, segment.rows.n_rows);
  const bool alone = 1 == std::count_if(segments_.begin(), segments_.end(),
                                        [&](const Segment& s) { return s.sequence == segment.sequence; });
  Worst worst;
  for (uint32_t h = 0; h < shape.n_kv_heads; ++h) {
    const TestSequence::Head& head = segment.sequence->heads()[h];
    std::vector<double> mass(head.pos.size(), 0.0);
    for (uint32_t i = 0; i < segment.rows.n_rows; ++i) {
      for (uint32_t g = 0; g < shape.group_size(); ++g) {
        const size_t at = (size_t{i} * shape.n_heads + h * shape.group_size() + g) * shape.head_dim;
        const auto q = segment.values.q.begin() + static_cast<ptrdiff_t>(at);
        const std::vector<double> query(q, q + shape.head_dim);
        const auto want = reference::attend(head.slots, model_.layer(), head.runs,
                                            segment.rows.first_pos + static_cast<int32_t>(i), query);
        for (uint32_t d = 0; d < shape.head_dim; ++d) {
          const double error = std::abs(got[at + d] - want.out[d]);
          if (!(error <= worst.out)) worst.out = error;
        }
        for (size_t s = 0; s < mass.size() && i >= segment.rows.n_rows - n_counted; ++s)
          mass[s] += want.weights[s] / shape.group_size();
      }
    }
    if (!alone) continue;
    double sum = 0;
    double want_sum = 0;
    for (size_t s = 0; s < mass.size(); ++s) {
      const double error = std::abs(head.mass[s] - mass[s]) / (0.05 + mass[s]);
      if (!(error <= worst.mass)) worst.mass = error;
      sum += head.mass[s];
      want_sum += mass[s];
    }
    const double difference = std::abs(sum - want_sum) / std::max(1u, n_counted);
    if (!(difference <= worst.sum)) worst.sum = difference;
  }
  return worst;
}

}  // namespace tenure::conformance
