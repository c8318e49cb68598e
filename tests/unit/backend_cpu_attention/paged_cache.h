// Caches with random contents on shuffled pages, and attention over them in double: what the kernels are held
// against.
#pragma once

#include <tenure/backend.h>

#include <cstdint>
#include <random>
#include <string>
#include <vector>

#include "attend.h"
#include "attend_kernels.h"

namespace tenure::cpu {

// Every kernel table this CPU can run, and the one over emulated tiles.
std::vector<const AttendKernels*> usable_kernels();

// The host's parallel_for on n_workers fresh threads.
class TestExec {
 public:
  explicit TestExec(uint32_t n_workers);
  TestExec(const TestExec&) = delete;
  TestExec& operator=(const TestExec&) = delete;
  Exec exec() const { return {&host_, &service_}; }

 private:
  tenure_host host_{};
  tenure_exec_service service_{};
  uint32_t n_workers_;
};

struct Shape {
  uint32_t head_dim = 64;
  uint32_t n_kv_heads = 1;
  uint32_t group_size = 3;
  uint32_t k_type = TENURE_F16;
  uint32_t v_type = TENURE_F16;
  uint32_t n_heads() const { return n_kv_heads * group_size; }
};

// One sequence's cache of one layer. Values past the last slot are NaN, so that reading them shows.
class PagedCache {
 public:
  // heads[h] = positions of the head's slots
  PagedCache(const Shape&, const std::vector<std::vector<int32_t>>& positions, uint32_t seed);

  const Shape& shape() const { return shape_; }
  const tenure_kv_pool& pool() const { return pool_; }
  tenure_kv_view view(uint32_t head) const;
  double key(uint32_t head, uint32_t slot, uint32_t d) const { return at(keys_[head], slot, d); }
  double value(uint32_t head, uint32_t slot, uint32_t d) const { return at(values_[head], slot, d); }
  const std::vector<int32_t>& positions(uint32_t head) const { return positions_[head]; }
  std::vector<uint8_t>& bytes() { return bytes_; }

 private:
  double at(const std::vector<double>& data, uint32_t slot, uint32_t d) const {
    return data[uint64_t{slot} * shape_.head_dim + d];
  }
  // Random keys, or values, of one head, written to its pages; returns what they are as stored.
  std::vector<double> fill(const std::vector<uint32_t>& pages, uint32_t n_slots, bool keys, std::mt19937& random);

  Shape shape_;
  std::vector<std::vector<int32_t>> positions_;
  std::vector<std::vector<uint32_t>> pages_;
  std::vector<std::vector<double>> keys_;  // (n_slots, head_dim) as stored
  std::vector<std::vector<double>> values_;
  std::vector<uint8_t> bytes_;
  tenure_kv_pool pool_{};
};

// The value a plain type keeps of x, and its bytes.
double stored(double x, uint32_t dtype);
void write_element(uint8_t* at, uint32_t dtype, double x);
double read_element(const uint8_t* at, uint32_t dtype);

// n standard normal floats.
std::vector<float> random_floats(size_t n, uint32_t seed);
std::vector<int32_t> ascending(uint32_t n, int32_t first = 0);

// x (head_dim) turned by `position` in double.
void rotate_reference(double base, uint32_t rope_dim, uint32_t kind, double position, std::vector<double>& x);

struct Reference {
  std::vector<double> out;                // (n_rows, n_heads * head_dim)
  std::vector<std::vector<double>> mass;  // per head (n_slots)
};
struct Rows {
  int32_t first_pos;
  uint32_t n_rows;
  uint32_t window = 0;
  uint32_t n_mass_rows = UINT32_MAX;
  const RopeTable* rope = nullptr;
  std::vector<tenure_kv_run> runs;  // of every head
};
Reference reference_attend(const PagedCache&, const Rows&, const std::vector<float>& q);

// Runs attend on one segment; mass (per head) is added to when not empty.
struct Attended {
  std::vector<float> out;
  std::vector<std::vector<float>> mass;
};
struct Setting {
  const AttendKernels* kernels;
  uint32_t kind = TENURE_ROWS_PREFILL;
  bool mass = false;
  uint32_t n_workers = 1;
};
Attended run_attend(const PagedCache&, const Rows&, const std::vector<float>& q, const Setting&);

}  // namespace tenure::cpu
