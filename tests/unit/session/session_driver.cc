#include "unit/session/session_driver.h"

#include "session/row_observations.h"

namespace tenure::test {
namespace {

void step(TinyHost& host, const Activations& activations, Session& session, uint32_t max_rows,
          std::vector<SeenStep>& steps) {
  Batch batch;
  Decisions decisions(host.backend());
  RowObservations rows(host.backend());
  SeenStep seen{.decode = session.stage() == Session::Stage::decoding};
  const size_t n_before = session.ids().size();
  if (session.add_rows(batch, max_rows) == 0) {
    REQUIRE(session.stage() == Session::Stage::done);
    return;
  }
  seen.ids.assign(session.ids().begin() + static_cast<ptrdiff_t>(n_before), session.ids().end());
  seen.n_rebuilt = session.n_rebuild_rows();
  seen.n_rows = session.n_rows() - seen.n_rebuilt;
  AfterAttend observe;
  Session* const alone[] = {&session};
  if (rows.begin(alone)) observe = [&](const LayerRows& layer) { return rows.observe(layer); };
  REQUIRE(host.model().forward(batch, activations, observe).ok());
  if (session.stage() != Session::Stage::done) session.accept(batch);
  seen.decision = session.decision();
  if (session.decision()) {
    decisions.run(alone);
    session.decided();
  }
  seen.n_slots = session.cache().table(0).size();
  session.end_step();
  steps.push_back(std::move(seen));
}

void run(TinyHost& host, const Activations& activations, Session& session, uint32_t max_rows,
         std::vector<SeenStep>& steps) {
  while (session.stage() != Session::Stage::done) {
    if (session.stage() != Session::Stage::forking) {
      step(host, activations, session, max_rows, steps);
      continue;
    }
    for (uint32_t fork = session.first_fork(); fork < session.last_fork(); ++fork) {
      const std::unique_ptr<Session> sibling = session.fork(fork);
      run(host, activations, *sibling, max_rows, steps);
      session.take(std::move(sibling->result()));
    }
    session.resume();
  }
}

}  // namespace

SeenRun drive(TinyHost& host, const SessionScript& script, uint32_t max_rows, uint32_t max_rebuild_rows) {
  constexpr uint32_t n_rows = 640;
  Activations activations(host.backend(), host.config(), n_rows);
  activations.supply(host.backend(), script.policy->needs().evidence);
  host.backend().reserve(host.model().weights(), n_rows, n_rows, 4096);
  SeenRun seen;
  const KvConfig kv = host.memory().kv_config(script.policy->k_type, script.policy->v_type);
  const SessionSetup setup{.script = &script,
                           .tokenizer = &host.language().tokenizer(),
                           .backend = &host.backend(),
                           .weights = &host.model().weights(),
                           .kv = kv,
                           .budget = session_budget(*script.policy, script.n_fed(), script.n_total(), 1,
                                                    host.config().n_ctx, max_rebuild_rows),
                           .n_vocab = host.config().n_vocab,
                           .row_granularity = 1,
                           .max_rebuild_rows = max_rebuild_rows,
                           .account = &seen.account};
  Session session(setup);
  run(host, activations, session, max_rows, seen.steps);
  seen.result = std::move(session.result());
  return seen;
}

}  // namespace tenure::test
