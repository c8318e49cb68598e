#include "reference/attention.h"

#include <algorithm>
#include <cmath>
#include <limits>
#include <numeric>

#include "reference/rope.h"

namespace tenure::reference {
namespace {

std::vector<int32_t> shift_of_slots(std::span<const tenure_kv_run> runs, size_t n_slots) {
  std::vector<int32_t> shifts;
  for (const tenure_kv_run& run : runs) shifts.insert(shifts.end(), run.n_slots, run.shift);
  shifts.resize(n_slots, 0);
  return shifts;
}

}  // namespace

Attended attend(const HeadCache& cache, const tenure_layer_info& layer, std::span<const tenure_kv_run> runs,
                int32_t row_pos, std::span<const double> q) {
  const size_t n_slots = cache.slots.size();
  const std::vector<int32_t> shifts = shift_of_slots(runs, n_slots);
  constexpr double unseen = -std::numeric_limits<double>::infinity();
  Attended result{.out = std::vector<double>(q.size(), 0.0), .weights = std::vector<double>(n_slots, unseen)};
  for (size_t s = 0; s < n_slots; ++s) {
    const Slot& slot = cache.slots[s];
    const int64_t distance = int64_t{row_pos} - slot.pos;
    if (distance < 0 || (layer.window != 0 && distance >= layer.window)) continue;
    std::vector<double> query(q.begin(), q.end());
    if (shifts[s] != 0) rotate(layer, -shifts[s], query);
    result.weights[s] =
        std::inner_product(query.begin(), query.end(), slot.key.begin(), 0.0) * layer.attention_scale;
  }
  double largest = unseen;
  for (double w : result.weights) largest = std::max(largest, w);
  double total = 0;
  for (double& w : result.weights) {
    w = w == unseen ? 0 : std::exp(w - largest);
    total += w;
  }
  for (size_t s = 0; s < n_slots && total > 0; ++s) {
    result.weights[s] /= total;
    for (size_t d = 0; d < q.size(); ++d) result.out[d] += result.weights[s] * cache.slots[s].value[d];
  }
  return result;
}

}  // namespace tenure::reference
