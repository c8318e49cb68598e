#include "session/row_observations.h"

#include <algorithm>

namespace tenure {
namespace {

// Rows of a session in what the whole batch wrote; evidence is for reading, but one view type serves all.
tenure_f32_view rows_of(const float* all, uint32_t first_row, uint32_t n_rows, int64_t width) {
  if (all == nullptr) return {};
  return {.data = const_cast<float*>(all) + first_row * width, .n_dims = 2, .shape = {n_rows, width}, .stride = {width, 1}};
}

tenure_f32_view head_rows(const float* all, uint32_t first_row, uint32_t n_rows, int64_t n_heads, int64_t head_dim) {
  tenure_f32_view view = rows_of(all, first_row, n_rows, n_heads * head_dim);
  if (view.data == nullptr) return view;
  return {.data = view.data, .n_dims = 3, .shape = {n_rows, n_heads, head_dim}, .stride = {n_heads * head_dim, head_dim, 1}};
}

}  // namespace

bool RowObservations::begin(std::span<Session* const> in_batch) {
  n_groups_ = 0;
  n_rows_ = 0;
  evidence_bits_ = 0;
  in_hooks_ = {};
  for (Session* session : in_batch) {
    const PolicySettings& policy = session->policy();
    const uint32_t bits = policy.needs().evidence & row_evidence;
    n_rows_ = std::max(n_rows_, session->first_row() + session->n_rows());
    if (bits == 0 || !session->observes()) continue;
    evidence_bits_ |= bits;
    const uint32_t phase = session->stage() == Session::Stage::decoding ? TENURE_PHASE_DECODE : TENURE_PHASE_CHUNK;
    const auto end = groups_.begin() + static_cast<ptrdiff_t>(n_groups_);
    auto group = std::find_if(groups_.begin(), end, [&](const Group& g) { return g.policy == &policy && g.phase == phase; });
    if (group == end) {
      if (n_groups_ == groups_.size()) groups_.emplace_back();
      group = groups_.begin() + static_cast<ptrdiff_t>(n_groups_++);
      group->policy = &policy;
      group->phase = phase;
      group->sessions.clear();
    }
    group->sessions.push_back(session);
  }
  return n_groups_ > 0;
}

// A device's rows are copied; what the host can see is lent as it is.
LayerRows RowObservations::on_host(const LayerRows& rows, uint32_t n_rows, Status& status) {
  if (backend_.properties().host_visible) return rows;
  LayerRows result = rows;
  size_t next = 0;
  const auto copy = [&](const float*& from, uint32_t bit, uint64_t width) {
    if ((evidence_bits_ & bit) == 0 || from == nullptr || !status.ok()) return;
    std::vector<float>& to = copies_[next++];
    to.resize(n_rows * width);
    status = backend_.copy(to.data(), from, to.size() * sizeof(float), CopyDirection::to_host);
    from = to.data();
  };
  const uint64_t kv_width = uint64_t{rows.n_kv_heads} * rows.head_dim;
  copy(result.q_pre, TENURE_EVIDENCE_Q_PRE, uint64_t{rows.n_heads} * rows.head_dim);
  copy(result.q_post, TENURE_EVIDENCE_Q_POST, uint64_t{rows.n_heads} * rows.head_dim);
  copy(result.k_pre, TENURE_EVIDENCE_K_PRE, kv_width);
  copy(result.v, TENURE_EVIDENCE_V, kv_width);
  copy(result.k_post, TENURE_EVIDENCE_K_POST, kv_width);
  copy(result.hidden, TENURE_EVIDENCE_HIDDEN, rows.n_embd);
  return result;
}

Status RowObservations::observe(const LayerRows& rows) {
  Status status;
  const LayerRows seen = on_host(rows, n_rows_, status);
  if (status.ok()) status = backend_.synchronize();
  if (!status.ok()) return status;
  for (size_t i = 0; i < n_groups_; ++i) {
    Group& group = groups_[i];
    std::erase_if(group.sessions, [](const Session* session) { return !session->policy_active(); });
    if (group.sessions.empty() || group.sessions.front()->cache().n_tables_of(rows.layer) == 0) continue;
    for (const Policy* one : {group.policy->inner, group.policy->policy}) {
      if (one != nullptr && one->has_observe() && (one->needs().evidence & row_evidence) != 0) observe(group, *one, seen);
    }
  }
  return {};
}

void RowObservations::observe(Group& group, const Policy& policy, const LayerRows& rows) {
  const auto began = SessionTimes::Clock::now();
  const std::span<Session* const> sessions = group.sessions;
  const uint32_t bits = policy.needs().evidence;
  const bool per_layer = group.policy->granularity != TENURE_GRANULARITY_TOKEN;
  const tenure_call call{.head = {.struct_size = sizeof(tenure_call)}, .phase = group.phase};
  while (seats_.size() < sessions.size()) seats_.emplace_back();
  evidence_list_.clear();
  for (size_t s = 0; s < sessions.size(); ++s) {
    Session& session = *sessions[s];
    const uint32_t first = session.first_row() + session.n_rebuild_rows();
    const uint32_t n = session.n_rows() - session.n_rebuild_rows();
    const auto heads = [&](uint32_t bit, const float* all, uint32_t n_heads) {
      return (bits & bit) != 0 ? head_rows(all, first, n, n_heads, rows.head_dim) : tenure_f32_view{};
    };
    PolicySeat& seat = seats_[s];
    if (per_layer) seat.keepset.open_scoring(session.decided_tables(rows.layer));
    seat.evidence = {.head = {.struct_size = sizeof(tenure_evidence)},
                    .view = seat.view.build(session, rows.layer, group.phase, {.sequence = &session.sequence(policy)}),
                    .keepset = seat.keepset.abi(),
                    .n_rows = n,
                    .first_pos = static_cast<int32_t>(session.ids().size() - n),
                    .q_pre = heads(TENURE_EVIDENCE_Q_PRE, rows.q_pre, rows.n_heads),
                    .q_post = heads(TENURE_EVIDENCE_Q_POST, rows.q_post, rows.n_heads),
                    .k_pre = heads(TENURE_EVIDENCE_K_PRE, rows.k_pre, rows.n_kv_heads),
                    .v = heads(TENURE_EVIDENCE_V, rows.v, rows.n_kv_heads),
                    .k_post = heads(TENURE_EVIDENCE_K_POST, rows.k_post, rows.n_kv_heads),
                    .hidden = (bits & TENURE_EVIDENCE_HIDDEN) != 0 ? rows_of(rows.hidden, first, n, rows.n_embd) : tenure_f32_view{}};
    evidence_list_.push_back(&seat.evidence);
  }
  statuses_.assign(sessions.size(), TENURE_OK);
  const Status status = policy.observe(call, rows.layer, evidence_list_, statuses_);
  for (size_t s = 0; s < sessions.size(); ++s) {
    const Status failure = seats_[s].keepset.close(policy.id(), ".observe", status, statuses_[s]);
    if (!failure.ok() && sessions[s]->policy_active()) sessions[s]->policy_failed(policy, failure);
  }
  const auto took = SessionTimes::Clock::now() - began;
  in_hooks_ += took;
  for (Session* session : sessions) session->result().times.policy += took / static_cast<int64_t>(sessions.size());
}

}  // namespace tenure
