// RAII faces of a policy plugin: a configured policy and what it holds for one sequence. What the hooks mean
// is in <tenure/policy.h>; the names are the same.
//
// Policy's constructor throws Error (exit 69); hooks return a Status, an exception that a plugin lets through
// becomes TENURE_EXCEPTION. Hooks run on the engine's thread, one at a time, but for observe and select where
// layers_at_once(). All sequences of a Policy end before it, and it goes before its Library.
#pragma once

#include <tenure/policy.h>

#include <cstdint>
#include <memory>
#include <span>
#include <string>
#include <vector>

#include "plugin/library.h"
#include "plugin/policy_watch.h"
#include "plugin/status.h"

namespace tenure {

// Bits of evidence that rows of a forward are, and that the cache holds.
constexpr uint32_t row_evidence = TENURE_EVIDENCE_Q_PRE | TENURE_EVIDENCE_Q_POST | TENURE_EVIDENCE_K_PRE | TENURE_EVIDENCE_V | TENURE_EVIDENCE_K_POST |
                                  TENURE_EVIDENCE_HIDDEN;
constexpr uint32_t cached_evidence = TENURE_EVIDENCE_CACHED_K | TENURE_EVIDENCE_CACHED_V;

// The manifest's [needs] as narrowed by the policy's needs().
struct PolicyNeeds {
  uint32_t evidence = 0;            // TENURE_EVIDENCE_*
  uint32_t mass_rows = UINT32_MAX;  // of each chunk, the last so many rows add to attention mass
  bool rebuild = false;
  uint32_t state_floats_per_slot = 0;
  uint32_t state_floats_per_token = 0;
  uint64_t state_bytes_per_sequence = 0;

  friend bool operator==(const PolicyNeeds&, const PolicyNeeds&) = default;
};

// What a policy is lent beside its library's services. It outlives the policy and stays where it is.
struct PolicyLoan {
  const Backend* backend = nullptr;  // what the policy runs on; NULL: nothing of a backend is lent
  const LentTensors* weights = nullptr;  // of its parameter of type "weights", if it has one
};

struct PolicyHandle;

// What begin() returned for one sequence; ended with it.
class PolicySequence {
 public:
  PolicySequence() = default;
  PolicySequence(PolicySequence&&) noexcept;
  PolicySequence& operator=(PolicySequence&&) noexcept;
  ~PolicySequence();

  tenure_seq* get() const { return seq_; }
  const tenure_sequence_info& info() const { return *info_; }
  explicit operator bool() const { return info_ != nullptr; }

 private:
  friend class Policy;

  const PolicyHandle* handle_ = nullptr;
  std::unique_ptr<tenure_sequence_info> info_;  // the plugin may read it until end()
  tenure_seq* seq_ = nullptr;
};

class Policy {
 public:
  // Asks needs(), then creates. `model` and the library outlive the policy; no weights need to be loaded yet.
  Policy(const Library& library, const tenure_model_info& model, std::vector<ParamValue> params, const PolicyLoan& loan = {});
  // One of the host's own, whose hooks are in this process; api and self outlive it. It has no library(), and needs what
  // the manifest declares.
  Policy(PluginManifest manifest, const tenure_policy_api& api, tenure_policy* self);
  // Only that the library has a table of hooks that can be called. Throws Error.
  static void require_table(const Library& library);
  Policy(Policy&&) noexcept;
  Policy& operator=(Policy&&) noexcept;
  ~Policy();

  const std::string& id() const;
  const PluginManifest& manifest() const;
  const PolicyNeeds& needs() const;
  const Library& library() const;
  // From now on, before the first sequence begins. The watch outlives them all.
  void watch(PolicyWatch&) const;

  // The manifest's concurrency = "per-layer"; not while it is watched, which is on one thread.
  bool layers_at_once() const;
  // Which optional hooks the plugin has; the host builds no view for a hook that is not there.
  bool has_prepare() const;
  bool has_observe() const;
  bool has_select() const;

  // info.state must stay valid until the sequence ends. On failure `out` is as it was.
  Status begin(const tenure_call&, const tenure_sequence_info& info, PolicySequence& out) const;
  Status prepare(const tenure_call&, const tenure_view&, std::span<const int32_t> ids, int32_t first_pos,
                 tenure_keepset&) const;
  // Spans of one length. statuses are set to TENURE_OK first; the returned Status, if bad, fails every
  // sequence.
  Status observe(const tenure_call&, uint32_t layer, std::span<const tenure_evidence* const> evidence,
                 std::span<tenure_status> statuses) const;
  Status select(const tenure_call&, uint32_t layer, std::span<const tenure_view* const> views,
                std::span<tenure_keepset* const> keepsets, std::span<tenure_status> statuses) const;

 private:
  std::unique_ptr<PolicyHandle> handle_;
};

}  // namespace tenure
