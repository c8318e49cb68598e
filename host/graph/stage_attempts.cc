// A request in a generate or score stage: what is still to be done, its sessions in the engine, the row it becomes.
#include <fmt/format.h>

#include <algorithm>

#include "graph/flow_graph.h"

namespace tenure {

void StageFlow::Graph::refuse(size_t stage, const PassagePtr& passage, RowError error, Gateway& gateway) {
  auto outcome = std::make_shared<Outcome>();
  outcome->passage = passage;
  outcome->stage = stage;
  outcome->result.error = std::move(error);
  gateway.try_put(outcome);
}

// A reference counts as done while the logits that somebody may still ask for are there.
bool StageFlow::Graph::is_done(const Work& stage, const std::string& id, uint32_t sample) const {
  const std::string& cell = options_.cell->name;
  if (!options_.rows->is_done(id, cell, stage.plan->id, sample, options_.retry_errors)) return false;
  if (!stage.is_reference || options_.rows->find(id, cell, stage.plan->id, sample)->status != RowStatus::ok) return true;
  if (options_.fidelity->logits().has({.id = id, .cell = cell, .stage = stage.plan->id, .sample = sample})) return true;
  const auto& users = options_.fidelity->users(stage.plan->id);
  return std::all_of(users.begin(), users.end(), [&](const auto& user) {
    return options_.rows->is_done(id, user.second, user.first, sample, options_.retry_errors);
  });
}

// Nothing of the passage is to be done in this stage.
void StageFlow::Graph::leave_out(size_t stage, const PassagePtr& passage) {
  release_waiting(stage, passage);
  close(passage, 1);
}

void StageFlow::Graph::release_waiting(size_t stage, const PassagePtr& passage) {
  for (Work& work : stages_) {
    if (work.waits && work.reference->first == stages_[stage].plan->id) work.node->try_put(passage);
  }
}

void StageFlow::Graph::enter(size_t index, const PassagePtr& passage, Gateway& gateway) {
  const Work& stage = stages_[index];
  const std::string& cell = options_.cell->name;
  try {
    if (const auto* bad = std::get_if<RequestError>(&passage->request)) {
      if (is_done(stage, bad->id, 0)) return leave_out(index, passage);
      return refuse(index, passage, {.code = bad->code, .message = fmt::format("line {}: {}", bad->line, bad->message)}, gateway);
    }
    const Request& request = std::get<Request>(passage->request);
    const auto n_samples = static_cast<uint32_t>(request.options.samples.value_or(stage.settings.samples));
    std::vector<uint32_t> samples;
    for (uint32_t sample = 0; sample < n_samples; ++sample) {
      if (!is_done(stage, request.id, sample)) samples.push_back(sample);
    }
    if (samples.empty()) return leave_out(index, passage);
    std::variant<SessionScript, RowError> made = prompts_.make(request, stage.settings, cell);
    if (auto* error = std::get_if<RowError>(&made)) {
      // However many samples were asked for, the one row of a refusal is sample 0's.
      if (is_done(stage, request.id, 0)) return leave_out(index, passage);
      return refuse(index, passage, std::move(*error), gateway);
    }
    passage->n_open += static_cast<uint32_t>(samples.size()) - 1;
    {
      const std::lock_guard lock(mutex_);
      passage->n_awaited[index] = static_cast<uint32_t>(samples.size());
    }
    const auto held = std::make_shared<Held>(gateway);
    for (uint32_t sample : samples) {
      Attempt attempt{.stage = index, .passage = passage, .script = nullptr, .probe = nullptr, .held = held};
      attempt.script = std::make_shared<const SessionScript>(PromptMaker::sample_of(std::get<SessionScript>(made), sample));
      attempt.probe = probe_of(stage, *attempt.script);
      attempt.number = options_.rows->next_attempt(request.id, cell, stage.plan->id, sample);
      submit(attempt);
    }
  } catch (const std::exception& error) {
    refuse(index, passage, {.code = RowCode::internal, .message = error.what()}, gateway);
  }
}

// Null where the stage has no reference, or that one no answer.
std::shared_ptr<FidelityProbe> StageFlow::Graph::probe_of(const Work& stage, const SessionScript& script) const {
  if (!stage.reference) return nullptr;
  const auto& [reference, cell] = *stage.reference;
  auto logits = options_.fidelity->logits().get({.id = script.id, .cell = cell, .stage = reference, .sample = script.sample});
  return logits ? std::make_shared<FidelityProbe>(std::move(*logits)) : nullptr;
}

void StageFlow::Graph::submit(const Attempt& attempt) {
  const Work& stage = stages_[attempt.stage];
  const auto script = std::make_shared<SessionScript>(*attempt.script);
  std::shared_ptr<AlertWatch> watch;
  if (!stage.alerts->empty()) {
    watch = std::make_shared<AlertWatch>(*stage.alerts, [this, &stage, id = script->id](const RowAlert& alert) {
      options_.on_alert(stage.plan->id, id, alert);
    });
    script->on_step = [watch](const StepFigures& step) { watch->step(step); };
  }
  const auto logits = stage.is_reference ? std::make_shared<AnswerLogits>() : nullptr;
  if (logits) script->on_logits = [logits](std::span<const float> row) { logits->add_row(row); };
  auto job = std::make_unique<Job>();
  job->script = script;
  job->on_done = [this, attempt, watch, logits](SessionResult&& result) {
    const bool failed = result.error && !result.policy_dropped && status_of(result.error->code) == RowStatus::error;
    if (failed && attempt.n_tries < options_.retries) {
      Attempt again = attempt;
      ++again.number;
      ++again.n_tries;
      return submit(again);
    }
    auto outcome = std::make_shared<Outcome>();
    outcome->passage = attempt.passage;
    outcome->stage = attempt.stage;
    outcome->script = attempt.script;
    if (watch && !result.error) watch->end();
    if (watch) outcome->alerts = watch->raised();
    if (!result.error) outcome->logits = logits;
    outcome->result = std::move(result);
    outcome->attempt = attempt.number;
    finish(attempt, outcome);
  };
  options_.runtime->engine().submit(std::move(job));
}

// The answer is there; where it has a reference, that one's tokens are scored before the row is made.
void StageFlow::Graph::finish(const Attempt& attempt, const OutcomePtr& outcome) {
  auto script = attempt.probe && !outcome->result.error ? attempt.probe->script_of(*attempt.script) : std::nullopt;
  if (!script) {
    attempt.held->gateway().try_put(outcome);
    return;
  }
  const std::shared_ptr<FidelityProbe> probe = attempt.probe;
  script->segments.front().on_scored = [probe](uint32_t, std::span<const float> row) { probe->take(row); };
  auto job = std::make_unique<Job>();
  job->script = std::make_shared<const SessionScript>(std::move(*script));
  job->on_done = [probe, outcome, held = attempt.held](SessionResult&& result) {
    if (!result.error) outcome->fidelity = probe->result();
    held->gateway().try_put(outcome);
  };
  options_.runtime->engine().submit(std::move(job));
}

// Before the row, so that a row's logits are there whenever it is.
void StageFlow::Graph::keep_logits(const Outcome& outcome) const {
  const SessionScript& script = *outcome.script;
  if (!outcome.logits || script.segments.size() != 1 || outcome.result.segments.size() != 1) return;
  outcome.logits->tokens = outcome.result.segments.front().tokens;
  if (outcome.logits->tokens.empty()) return;
  options_.fidelity->logits().put(
      {.id = script.id, .cell = options_.cell->name, .stage = stages_[outcome.stage].plan->id, .sample = script.sample}, *outcome.logits);
}

WrittenPtr StageFlow::Graph::to_row(const OutcomePtr& outcome) const {
  auto written = std::make_shared<Written>();
  written->passage = outcome->passage;
  written->stage = outcome->stage;
  const Work& stage = stages_[outcome->stage];
  RowOrigin origin = stage.origin;
  origin.attempt = outcome->attempt;
  const auto* request = std::get_if<Request>(&outcome->passage->request);
  const std::string& id = request != nullptr ? request->id : std::get<RequestError>(outcome->passage->request).id;
  try {
    if (outcome->script) {
      keep_logits(*outcome);
      written->row = make_row(*request, *outcome->script, std::move(outcome->result), origin);
      written->row.alerts = std::move(outcome->alerts);
      written->row.fidelity = std::move(outcome->fidelity);
    } else {
      origin.attempt = options_.rows->next_attempt(id, options_.cell->name, stage.plan->id, 0);
      written->row = make_error_row(id, stage.settings.policy->name, std::move(*outcome->result.error), origin);
    }
  } catch (const std::exception& error) {
    written->row = make_error_row(id, stage.settings.policy->name, {.code = RowCode::internal, .message = error.what()}, origin);
  }
  return written;
}

}  // namespace tenure
