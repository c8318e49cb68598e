// Sequences in pages of the backend's own layout, filled through cache_append only, beside the slots they
// should hold.
#pragma once

#include <optional>
#include <random>
#include <vector>

#include "conformance/test_model.h"
#include "reference/attention.h"
#include "reference/cache.h"

namespace tenure::conformance {

// Whether the backend's pages keep these types; the plain ones must be kept, quantised ones may.
bool keeps(Backend& backend, uint32_t head_dim, uint32_t k_type, uint32_t v_type);

// Page indices are handed out shuffled.
class TestPool {
 public:
  TestPool(Backend& backend, uint32_t head_dim, uint32_t k_type, uint32_t v_type, uint32_t n_pages = 1024);
  const tenure_kv_pool& kv() const { return kv_; }
  uint32_t page_slots() const { return layout_.page_slots; }
  uint32_t take();

 private:
  tenure_page_layout layout_;
  DeviceBuffer buffer_;
  tenure_kv_pool kv_;
  std::vector<uint32_t> free_;
};

// Rows of one sequence in one forward.
struct TestRows {
  uint32_t kind = TENURE_ROWS_PREFILL;
  int32_t first_pos = 0;
  uint32_t n_rows = 0;
  // (n_kv_heads)(n_rows) 0 = not appended to that head; empty = all are
  std::vector<std::vector<uint8_t>> masks = {};
  uint32_t n_mass_rows = UINT32_MAX;
};

// One layer of one sequence.
class TestSequence {
 public:
  struct Head {
    std::vector<uint32_t> pages;
    std::vector<int32_t> pos;
    std::vector<float> mass;
    std::vector<tenure_kv_run> runs;
    reference::HeadCache slots;
  };
  TestSequence(TestPool& pool, const tenure_layer_info& layer);

  std::vector<Head>& heads() { return heads_; }
  const tenure_kv_pool& kv() const { return pool_.kv(); }
  const tenure_layer_info& layer() const { return layer_; }
  // Gives the rows their slots; the keys and values go to the reference.
  std::vector<uint32_t> append(const TestRows& rows, std::span<const float> k, std::span<const float> v);
  // New pages and slots [0, n) of the same contents through cache_copy; the old pages are left alone.
  void move_to_fresh_pages(Backend& backend);

 private:
  TestPool& pool_;
  tenure_layer_info layer_;
  std::vector<Head> heads_;
};

// Random masks: every head holds a row with this probability.
std::vector<std::vector<uint8_t>> ragged(uint32_t n_kv_heads, uint32_t n_rows, double probability,
                                         std::mt19937& random);

// Segments of several sequences in one forward; random keys, values and queries.
class TestBatch {
 public:
  TestBatch(const TestModel& model, uint32_t seed) : model_(model), seed_(seed) {}
  // Several rows of one sequence stand in the order added. Returns the segment.
  uint32_t add(TestSequence& sequence, const TestRows& rows);
  // Appends every row and, if asked, attends. mass: adds to the sequences' heads.
  void append();
  void attend(bool mass);

  uint32_t n_rows() const { return n_rows_; }
  uint32_t n_segments() const { return static_cast<uint32_t>(segments_.size()); }
  // Rows of one segment.
  std::span<const float> out(uint32_t segment) const;
  // k, v and q of the next added segment; else random.
  struct Values {
    std::vector<float> k, v, q;
  };
  void give(Values values) { given_ = std::move(values); }
  const Values& values(uint32_t segment) const { return segments_[segment].values; }

  struct Worst {
    double out = 0;   // largest |got - want|
    double mass = 0;  // largest |got - want| / (0.05 + want)
    double sum = 0;   // largest | sum of a head's mass - rows that count |, a row
  };
  // Of one segment; mass only where the sequence has just this segment.
  Worst compare(uint32_t segment) const;

 private:
  struct Segment {
    TestSequence* sequence;
    TestRows rows;
    std::vector<uint32_t> first_slots;
    uint32_t first_row;
    Values values;
  };
  std::vector<float> gathered(std::vector<float> Values::*part) const;
  std::vector<tenure_kv_view> views(bool mass);
  void run(bool attend, bool mass);

  const TestModel& model_;
  uint32_t seed_;
  uint32_t n_rows_ = 0;
  std::vector<Segment> segments_;
  std::optional<Values> given_;
  std::vector<float> out_;
};

}  // namespace tenure::conformance
