#include "graph/fidelity.h"

#include <algorithm>

#include "eval/logit_metrics.h"

namespace tenure {
namespace {

bool has_stage(const CellPlan& cell, const std::string& id) {
  return std::any_of(cell.stages.begin(), cell.stages.end(), [&](const StagePlan& stage) { return stage.id == id; });
}

}  // namespace

FidelityTasks::FidelityTasks(const Plan& plan, const std::string& folder) : logits_(folder) {
  for (const CellPlan& cell : plan.cells) {
    for (const StagePlan& stage : cell.stages) {
      const auto* compare = std::get_if<ComparePlan>(&stage.work);
      if (compare == nullptr || !compare->needs_logits()) continue;
      for (size_t i = 1; i < stage.from.size(); ++i) reference_[stage.from[i]] = stage.from[0];
    }
  }
  for (const auto& [user, reference] : reference_) {
    for (const CellPlan& cell : plan.cells) {
      if (has_stage(cell, user)) users_[reference].emplace_back(user, cell.name);
    }
  }
}

std::optional<std::pair<std::string, std::string>> FidelityTasks::reference_of(const CellPlan& cell, const std::string& stage) const {
  const auto at = reference_.find(stage);
  if (at == reference_.end()) return std::nullopt;
  return std::pair(at->second, has_stage(cell, at->second) ? cell.name : std::string());
}

std::optional<SessionScript> FidelityProbe::script_of(const SessionScript& script) const {
  if (script.segments.size() != 1 || reference_.tokens.empty()) return std::nullopt;
  SessionScript probe = script;
  SegmentScript& segment = probe.segments.front();
  segment.in_place_of = segment.generate;
  segment.generate = 0;
  segment.answers.clear();
  segment.score = reference_.tokens;
  probe.on_text = nullptr;
  probe.on_step = nullptr;
  return probe;
}

void FidelityProbe::take(std::span<const float> logits) {
  if (n_seen_ >= reference_.tokens.size() || logits.size() != reference_.n_vocab) return;
  const std::vector<float> expected = reference_.row(n_seen_++);
  kl_ += kl_divergence(expected, logits);
  n_same_top_ += top_token(expected) == top_token(logits) ? 1 : 0;
}

NamedValues FidelityProbe::result() const {
  if (n_seen_ == 0 || n_seen_ != reference_.tokens.size()) return {};
  const auto n = static_cast<double>(n_seen_);
  return {{"kl", kl_ / n}, {"top1", static_cast<double>(n_same_top_) / n}};
}

}  // namespace tenure
