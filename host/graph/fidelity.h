// kl and top1: how a stage under a policy predicts the tokens that its reference generated. After its own answer the stage's
// request is run once more, to the same compressed cache, and the reference's tokens are fed teacher-forced: its rows' own
// figures stay what they are without a comparison.
#pragma once

#include <cstdint>
#include <map>
#include <memory>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "graph/reference_logits.h"
#include "plan/plan.h"
#include "record/row.h"
#include "session/script.h"

namespace tenure {

// Who is compared with whom by kl or top1, over the whole plan.
class FidelityTasks {
 public:
  FidelityTasks(const Plan& plan, const std::string& folder);

  // The reference of a stage in a cell: its stage and cell; nullopt when the stage is not compared so.
  std::optional<std::pair<std::string, std::string>> reference_of(const CellPlan& cell, const std::string& stage) const;
  bool is_reference(const std::string& stage) const { return users_.contains(stage); }
  // (stage, cell) that use the reference's logits.
  const std::vector<std::pair<std::string, std::string>>& users(const std::string& reference) const { return users_.at(reference); }
  const ReferenceLogits& logits() const { return logits_; }

 private:
  std::map<std::string, std::string> reference_;  // stage → its reference
  std::map<std::string, std::vector<std::pair<std::string, std::string>>> users_;
  ReferenceLogits logits_;
};

// Compares a stage's logits with the reference's, token by token. Engine's thread.
class FidelityProbe {
 public:
  explicit FidelityProbe(AnswerLogits reference) : reference_(std::move(reference)) {}

  // The request's prompt, then the reference's tokens; nullopt where there is no single prompt to go on from.
  std::optional<SessionScript> script_of(const SessionScript& script) const;
  void take(std::span<const float> logits);
  // The means over the tokens; empty unless every one was seen.
  NamedValues result() const;

 private:
  AnswerLogits reference_;
  size_t n_seen_ = 0;
  double kl_ = 0;
  uint64_t n_same_top_ = 0;
};

}  // namespace tenure
