// One slot's rows in quantised pages: how near they stay, what else they touch, and that every code path writes
// the same bytes.
#include "cached_slot.h"

#include <doctest/doctest.h>

#include <algorithm>
#include <cmath>

#include "paged_cache.h"

namespace tenure::cpu {
namespace {

constexpr uint32_t kDim = 64;

struct Page {
  explicit Page(uint32_t type) : layout{kDim, type, type}, bytes(layout.bytes()) {}
  SlotAt at(uint32_t lane) { return {.page = bytes.data(), .lane = lane}; }
  PageLayout layout;
  std::vector<uint8_t> bytes;
};

// Rows whose groups are unlike: an outlier, an offset, one value throughout, zeros, small and large numbers.
std::vector<std::vector<float>> telling_rows() {
  std::vector<std::vector<float>> rows;
  for (uint32_t i = 0; i < 8; ++i) rows.push_back(random_floats(kDim, i));
  rows[1][37] = 40.0f;
  for (float& x : rows[2]) x += 25.0f;
  std::fill(rows[3].begin(), rows[3].end(), -3.25f);
  std::fill(rows[4].begin(), rows[4].begin() + 32, 0.0f);
  for (float& x : rows[5]) x *= 1e-7f;
  for (float& x : rows[6]) x *= 1e3f;
  return rows;
}

// Half a step of a group, and what rounding its scale and its minimum to halves adds. levels: of Q4_1, 16 of
// values and 32 of keys.
double allowed(uint32_t type, const float* group, int levels = 16) {
  const auto [low, high] = std::minmax_element(group, group + 32);
  const double size = std::max(std::abs(double{*low}), std::abs(double{*high}));
  const double step = type == TENURE_Q8_0 ? size / 127 : (double{*high} - *low) / (levels - 1);
  return 0.5 * step + size * 0x1p-10 + 1e-6;
}

double norm_of_difference(const float* a, const float* b) {
  double sum = 0;
  for (uint32_t i = 0; i < 32; ++i) sum += (a[i] - b[i]) * (a[i] - b[i]);
  return std::sqrt(sum);
}

}  // namespace

TEST_CASE("cached slot - values and keys stay within half a step of what was written") {
  for (const AttendKernels* kernels : usable_kernels())
    for (uint32_t type : {TENURE_Q8_0, TENURE_Q4_1})
      for (const std::vector<float>& row : telling_rows()) {
        CAPTURE(kernels->name);
        CAPTURE(type);
        Page page(type);
        float value[kDim];
        float key[kDim];
        write_value(*kernels, page.layout, page.at(5), row.data());
        write_key(*kernels, page.layout, page.at(5), row.data());
        read_value(*kernels, page.layout, page.at(5), value);
        read_key(*kernels, page.layout, page.at(5), key);
        for (uint32_t g = 0; g < kDim; g += 32) {
          for (uint32_t d = g; d < g + 32; ++d) {
            CHECK(std::abs(value[d] - row[d]) <= allowed(type, row.data() + g));
            if (type == TENURE_Q8_0) CHECK(key[d] == value[d]);
          }
          if (type != TENURE_Q4_1) continue;
          float spread[32];  // as the key is quantised, and sqrt(32) times as long
          kernels->spread(row.data() + g, 32, 1.0f, spread);
          CHECK(norm_of_difference(key + g, row.data() + g) <= allowed(type, spread, 32) * (1 + 1e-3) + 1e-6);
        }
      }
}

TEST_CASE("cached slot - an outlier costs the other elements of a key little, and a fifth bit halves that") {
  std::vector<float> row = random_floats(kDim, 3);
  row[7] = 30.0f;
  for (const AttendKernels* kernels : usable_kernels()) {
    Page page(TENURE_Q4_1);
    float key[kDim];
    float value[kDim];
    write_key(*kernels, page.layout, page.at(0), row.data());
    write_value(*kernels, page.layout, page.at(0), row.data());
    read_key(*kernels, page.layout, page.at(0), key);
    read_value(*kernels, page.layout, page.at(0), value);
    CHECK(norm_of_difference(key, row.data()) < 0.3 * norm_of_difference(value, row.data()));
  }
}

TEST_CASE("cached slot - every code path writes the same bytes, and only those of its slot") {
  const std::vector<std::vector<float>> rows = telling_rows();
  for (uint32_t type : {TENURE_F16, TENURE_Q8_0, TENURE_Q4_1}) {
    std::vector<uint8_t> first;
    for (const AttendKernels* kernels : usable_kernels()) {
      CAPTURE(kernels->name);
      CAPTURE(type);
      Page page(type);
      for (uint32_t lane = 0; lane < 16; ++lane) {
        write_key(*kernels, page.layout, page.at(lane), rows[lane % 8].data());
        write_value(*kernels, page.layout, page.at(lane), rows[(lane + 3) % 8].data());
      }
      for (uint32_t lane = 0; lane < 16; ++lane) {
        Page alone(type);
        float there[kDim];
        float here[kDim];
        write_key(*kernels, alone.layout, alone.at(lane), rows[lane % 8].data());
        read_key(*kernels, alone.layout, alone.at(lane), there);
        read_key(*kernels, page.layout, page.at(lane), here);
        CHECK(std::equal(there, there + kDim, here));
      }
      if (first.empty()) first = page.bytes;
      CHECK(page.bytes == first);
    }
  }
}

TEST_CASE("cached slot - a copy in another slot of another page has the same bits") {
  for (uint32_t type : {TENURE_F32, TENURE_F16, TENURE_Q8_0, TENURE_Q4_1}) {
    CAPTURE(type);
    Page from(type);
    Page to(type);
    const std::vector<float> row = random_floats(kDim, 8);
    write_key(kAttendScalar, from.layout, from.at(3), row.data());
    write_value(kAttendScalar, from.layout, from.at(3), row.data());
    copy_slot(from.layout, from.at(3), to.at(14));
    float want[kDim];
    float got[kDim];
    read_key(kAttendScalar, from.layout, from.at(3), want);
    read_key(kAttendScalar, to.layout, to.at(14), got);
    CHECK(std::equal(want, want + kDim, got));
    read_value(kAttendScalar, from.layout, from.at(3), want);
    read_value(kAttendScalar, to.layout, to.at(14), got);
    CHECK(std::equal(want, want + kDim, got));
  }
}

TEST_CASE("cached slot - what is no number does not turn into one") {
  for (const AttendKernels* kernels : usable_kernels())
    for (float bad : {NAN, INFINITY, -INFINITY})
      for (uint32_t type : {TENURE_Q8_0, TENURE_Q4_1}) {
        CAPTURE(kernels->name);
        CAPTURE(type);
        Page page(type);
        std::vector<float> row = random_floats(kDim, 8);
        row[40] = bad;
        float key[kDim];
        float value[kDim];
        write_key(*kernels, page.layout, page.at(3), row.data());
        write_value(*kernels, page.layout, page.at(3), row.data());
        read_key(*kernels, page.layout, page.at(3), key);
        read_value(*kernels, page.layout, page.at(3), value);
        CHECK(std::isnan(key[40]));
        CHECK(std::isnan(value[40]));
        CHECK(std::isfinite(key[8]));
        CHECK(std::isfinite(value[8]));
      }
}

}  // namespace tenure::cpu
