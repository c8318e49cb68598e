// Inside a forward: policies that need rows of a layer see them as soon as it has attended. Engine's thread only.
#pragma once

#include <array>
#include <deque>
#include <span>
#include <vector>

#include "model/batch.h"
#include "session/policy_seat.h"
#include "session/session.h"

namespace tenure {

class RowObservations {
 public:
  explicit RowObservations(Backend& backend) : backend_(backend) {}

  // The sessions that have rows in the coming forward. False when no policy of theirs needs rows.
  bool begin(std::span<Session* const> in_batch);
  // One layer's rows (AfterAttend). A session whose policy breaks a rule fails, or goes on with the full cache.
  Status observe(const LayerRows& rows);
  // In hooks since begin(); sessions of one policy had equal shares of it in their own times.
  SessionTimes::Clock::duration time_in_hooks() const { return in_hooks_; }

 private:
  struct Group {  // of one policy and one kind of rows
    const PolicySettings* policy = nullptr;
    uint32_t phase = 0;
    std::vector<Session*> sessions;
  };
  void observe(Group& group, const Policy& policy, const LayerRows& rows);
  LayerRows on_host(const LayerRows& rows, uint32_t n_rows, Status& status);

  Backend& backend_;
  uint32_t evidence_bits_ = 0;
  uint32_t n_rows_ = 0;
  std::vector<Group> groups_;
  size_t n_groups_ = 0;
  // Entry i belongs to sessions[i] of a group; kept between calls.
  std::deque<PolicySeat> seats_;
  std::vector<const tenure_evidence*> evidence_list_;
  std::vector<tenure_status> statuses_;
  std::array<std::vector<float>, 6> copies_;  // of rows the host cannot see
  SessionTimes::Clock::duration in_hooks_{0};
};

}  // namespace tenure
