// One workload, once, on the real engine: random tokens in, generated tokens out, decisions of the policy
// included.
#pragma once

#include <cstdint>

#include "engine/engine.h"

namespace tenure {

struct Workload {
  const PolicySettings* policy = nullptr;
  uint32_t prompt = 1;     // tokens each sequence is fed, at least 1
  uint32_t generate = 0;   // tokens it then generates
  uint32_t sequences = 1;  // at the same time
};

// Times are wall clock, as the engine's thread saw them. Prefill is everything from submitting to the last
// prompt token fed. Decode is what follows while every sequence decodes: until the first one ends. Both of
// its figures are 0 when there was no such pass.
struct Round {
  double prefill_seconds = 0;
  uint64_t n_prefilled = 0;
  uint64_t prefill_ops = 0;  // of matrix products
  double decode_seconds = 0;
  uint64_t n_decoded = 0;
  uint64_t n_decode_passes = 0;
  uint64_t decode_weight_bytes = 0;  // as the model counted them
  uint64_t decode_kv_bytes = 0;
  double decode_policy_seconds = 0;  // of decode_seconds, the policy's
  uint64_t n_at_once = 0;      // the most sequences that ran at one time: memory may let fewer in than there are
  uint64_t kv_peak_bytes = 0;  // that the page pools handed out at one time
  uint64_t kv_end_bytes = 0;   // of the sequences' caches, added up
  uint64_t released = 0;
};

// The engine is idle, and is again afterwards. The same tokens in every round. Throws Error when a sequence
// fails.
Round run_round(Engine& engine, const Workload& workload, uint32_t n_vocab);

}  // namespace tenure
