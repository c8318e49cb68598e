// Runs one session without an engine: forward, decide, move on; and writes down what it saw.
#pragma once

#include <memory>
#include <vector>

#include "session/decisions.h"
#include "session/session.h"
#include "unit/session/tiny_host.h"

namespace tenure::test {

struct SeenStep {
  bool decode = false;
  uint32_t n_rows = 0;  // rebuilt ones not included
  uint32_t n_rebuilt = 0;
  std::vector<int32_t> ids;  // of the rows, in order, without the rebuilt ones
  std::optional<DecisionPoint> decision;
  uint64_t n_slots = 0;  // of table 0, after the decision
};

struct SeenRun {
  SessionResult result;
  std::vector<SeenStep> steps;  // forks' included, in the order they ran
  KvAccount account;
};

// max_rows: what each forward may carry of a chunk.
SeenRun drive(TinyHost& host, const SessionScript& script, uint32_t max_rows = 512,
              uint32_t max_rebuild_rows = 64);

}  // namespace tenure::test
