#include "unit/cache/attention_oracle.h"

#include <algorithm>
#include <cmath>

namespace tenure::test {
namespace {

enum : uint32_t { kind_key = 1, kind_value = 2, kind_query = 3 };

// Interleaved pairs turn by pos * base^(-2i/dim), as the tiny models' layers say.
std::vector<double> rotated(const std::vector<float>& from, double pos, double base) {
  std::vector<double> to(from.size());
  for (size_t i = 0; i < from.size(); i += 2) {
    const double angle = pos * std::pow(base, -static_cast<double>(i) / static_cast<double>(from.size()));
    to[i] = from[i] * std::cos(angle) - from[i + 1] * std::sin(angle);
    to[i + 1] = from[i] * std::sin(angle) + from[i + 1] * std::cos(angle);
  }
  return to;
}

}  // namespace

AttentionOracle::AttentionOracle(TinyHost& host, bool rank_positions)
    : host_(host), rank_positions_(rank_positions) {
  host_.backend().reserve(host_.model().weights(), 256, 64, 2048);
}

std::vector<float> AttentionOracle::made(uint32_t kind, uint32_t layer, uint32_t head, int32_t pos) const {
  std::vector<float> row(host_.config().layers[layer].head_dim);
  const uint64_t seed =
      (uint64_t{kind} << 48) + (uint64_t{layer} << 40) + (uint64_t{head} << 32) + static_cast<uint64_t>(pos);
  for (size_t i = 0; i < row.size(); ++i) row[i] = 4 * random_uniform(seed, i) - 2;
  return row;
}

std::vector<double> AttentionOracle::expected(const SlotTable& table, uint32_t layer, uint32_t head,
                                              int32_t pos) const {
  const LayerConfig& shape = host_.config().layers[layer];
  const uint32_t kv_head = head / host_.config().group_size(layer);
  std::vector<int32_t> held(table.pos().begin(), table.pos().end());
  std::sort(held.begin(), held.end());
  const auto place = [&](int32_t p) {
    return rank_positions_ ? static_cast<double>(std::lower_bound(held.begin(), held.end(), p) - held.begin())
                           : p;
  };
  const std::vector<double> query = rotated(made(kind_query, layer, head, pos), place(pos), shape.rope_base);
  std::vector<double> out(shape.head_dim);
  double sum = 0;
  for (int32_t p : held) {
    if (p > pos) continue;
    const std::vector<double> key = rotated(made(kind_key, layer, kv_head, p), place(p), shape.rope_base);
    double dot = 0;
    for (size_t i = 0; i < key.size(); ++i) dot += key[i] * query[i];
    const double weight = std::exp(dot / std::sqrt(shape.head_dim));
    const std::vector<float> value = made(kind_value, layer, kv_head, p);
    for (size_t i = 0; i < out.size(); ++i) out[i] += weight * value[i];
    sum += weight;
  }
  for (double& x : out) x /= sum;
  return out;
}

double AttentionOracle::compare(const Rows& rows, uint32_t first_row, uint32_t layer,
                                const std::vector<float>& out) const {
  const uint32_t n_heads = host_.config().n_heads;
  const uint32_t dim = host_.config().layers[layer].head_dim;
  double worst = 0;
  for (uint32_t row = 0; row < rows.n; ++row) {
    for (uint32_t head = 0; head < n_heads; ++head) {
      const SlotTable& table = rows.cache->table_of(layer, head / host_.config().group_size(layer));
      const std::vector<double> right =
          expected(table, layer, head, rows.first_pos + static_cast<int32_t>(row));
      const float* got = &out[size_t{first_row + row} * n_heads * dim + size_t{head} * dim];
      for (uint32_t i = 0; i < dim; ++i) worst = std::max(worst, std::abs(got[i] - right[i]));
    }
  }
  return worst;
}

double AttentionOracle::step(std::span<const Rows> all) {
  Backend& backend = host_.backend();
  std::vector<int32_t> positions;
  for (const Rows& rows : all) {
    for (uint32_t i = 0; i < rows.n; ++i) positions.push_back(rows.first_pos + static_cast<int32_t>(i));
  }
  const std::vector<int32_t> ids(positions.size(), 20);
  std::vector<int32_t> bad(positions.size());
  const tenure_forward forward{.head = {.struct_size = sizeof(tenure_forward), .rev = 0, .flags = 0},
                               .weights = host_.model().weights().get(),
                               .n_rows = static_cast<uint32_t>(positions.size()),
                               .n_segments = static_cast<uint32_t>(all.size()),
                               .ids = ids.data(),
                               .positions = positions.data(),
                               .first_bad_layer = bad.data()};
  CHECK(backend.forward_begin(forward).ok());
  double worst = 0;
  for (uint32_t layer = 0; layer < host_.config().n_layers; ++layer) {
    const LayerConfig& shape = host_.config().layers[layer];
    std::vector<float> k, v, q;
    std::vector<tenure_kv_view> views;
    std::vector<tenure_segment> segments;
    views.reserve(all.size() * shape.n_kv_heads);
    uint32_t first_row = 0;
    const auto put = [&](std::vector<float>& to, uint32_t kind, uint32_t head, int32_t pos) {
      const std::vector<float> row = made(kind, layer, head, pos);
      if (kind == kind_value) {
        to.insert(to.end(), row.begin(), row.end());
      } else {
        for (double x : rotated(row, pos, shape.rope_base)) to.push_back(static_cast<float>(x));
      }
    };
    for (const Rows& rows : all) {
      segments.push_back({.kind = TENURE_ROWS_PREFILL,
                          .first_row = first_row,
                          .n_rows = rows.n,
                          .first_pos = rows.first_pos,
                          .n_mass_rows = 0,
                          .reserved0 = 0,
                          .pool = &rows.cache->pool(layer).kv(),
                          .heads = views.data() + views.size()});
      for (uint32_t head = 0; head < shape.n_kv_heads; ++head)
        views.push_back(rows.cache->view(layer, head, rows.appended));
      for (uint32_t i = 0; i < rows.n; ++i) {
        const int32_t pos = rows.first_pos + static_cast<int32_t>(i);
        for (uint32_t head = 0; head < shape.n_kv_heads; ++head)
          put(k, kind_key, head, pos), put(v, kind_value, head, pos);
        for (uint32_t head = 0; head < host_.config().n_heads; ++head) put(q, kind_query, head, pos);
      }
      first_row += rows.n;
    }
    std::vector<float> out(q.size());
    CHECK(backend.cache_append(forward, layer, segments.data(), k.data(), v.data()).ok());
    CHECK(backend.attend(forward, layer, segments.data(), q.data(), out.data()).ok());
    CHECK(backend.synchronize().ok());
    first_row = 0;
    for (const Rows& rows : all) {
      worst = std::max(worst, compare(rows, first_row, layer, out));
      first_row += rows.n;
    }
  }
  CHECK(backend.forward_end(forward).ok());
  CHECK(backend.synchronize().ok());
  return worst;
}

}  // namespace tenure::test
