// One slot of a page: its key and its value, written from and read as rows of f32.
#pragma once

#include <cstdint>

#include "attend_kernels.h"
#include "page_layout.h"

namespace tenure::cpu {

struct SlotAt {
  uint8_t* page;
  uint32_t lane;  // of the page's 16
};

// row (head_dim); converted, or quantised, here and nowhere else.
void write_key(const AttendKernels&, const PageLayout&, SlotAt, const float* row);
void write_value(const AttendKernels&, const PageLayout&, SlotAt, const float* row);
void read_key(const AttendKernels&, const PageLayout&, SlotAt, float* row);
void read_value(const AttendKernels&, const PageLayout&, SlotAt, float* row);

// Keys of this type are kept spread (AttendKernels::spread), and queries that meet them are spread, too.
inline bool is_spread(uint32_t k_type) {
  return k_type == TENURE_Q4_1;
}

// Key and value, bit for bit. Slots may be of one page, but not the same.
void copy_slot(const PageLayout&, SlotAt from, SlotAt to);
// Asks for what copy_slot will touch.
void prefetch_slot(const PageLayout&, SlotAt);

}  // namespace tenure::cpu
