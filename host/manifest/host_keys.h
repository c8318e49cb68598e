// The host's own keys of a policy (docs/pipelines.md): what [policy.X] may say and what a manifest's [defaults]
// may set.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "manifest/choices.h"
#include "manifest/quantities.h"
#include "tensor/dtype.h"

namespace tenure {

class TableReader;

// When `select` fires.
enum class Phase { chunk, prefill_end, decode };
template <>
inline constexpr Choice<Phase> choices<Phase>[] = {
    {"chunk", Phase::chunk}, {"prefill_end", Phase::prefill_end}, {"decode", Phase::decode}};

// `automatic` is "auto": original while fed tokens + max_new_tokens fit the model's context, else rank.
enum class PositionMode { original, rank, automatic };
template <>
inline constexpr Choice<PositionMode> choices<PositionMode>[] = {
    {"original", PositionMode::original}, {"rank", PositionMode::rank}, {"auto", PositionMode::automatic}};

// The pool that one top-k ranks over.
enum class BudgetScope { head, layer, global };
template <>
inline constexpr Choice<BudgetScope> choices<BudgetScope>[] = {
    {"head", BudgetScope::head}, {"layer", BudgetScope::layer}, {"global", BudgetScope::global}};

enum class BudgetOf { end, peak };
template <>
inline constexpr Choice<BudgetOf> choices<BudgetOf>[] = {{"end", BudgetOf::end}, {"peak", BudgetOf::peak}};

enum class OnPluginError { fail, full };
template <>
inline constexpr Choice<OnPluginError> choices<OnPluginError>[] = {{"fail", OnPluginError::fail},
                                                                   {"full", OnPluginError::full}};

// Types a cache page may hold; which of them a backend keeps is the backend's.
template <>
inline constexpr Choice<Dtype> choices<Dtype>[] = {{"f32", Dtype::f32},
                                                   {"f16", Dtype::f16},
                                                   {"bf16", Dtype::bf16},
                                                   {"q8_0", Dtype::q8_0},
                                                   {"q4", Dtype::q4_1}};

// Mean slots per layer and KV head after each `select`.
enum class BudgetKind { none, slots, fraction, bytes };
struct Budget {
  BudgetKind kind = BudgetKind::none;
  uint64_t amount = 0;  // slots or bytes; > 0
  Fraction fraction;    // of all tokens the request feeds, rounded up

  friend bool operator==(const Budget&, const Budget&) = default;
};

// Protected slots: a count, or a share of the budget rounded down (so that shares of one whole always fit
// it).
struct SlotShare {
  bool is_fraction = false;
  uint64_t count = 0;
  Fraction fraction;

  uint64_t of_budget(uint64_t budget_slots) const;
  friend bool operator==(const SlotShare&, const SlotShare&) = default;
};

std::string to_text(const Budget&);     // "none", "512", "1/8", "24 MiB"
std::string to_text(const SlotShare&);  // "4", "1/4"

// Absent = not said here. Later layers win: host default, manifest [defaults], [policy.X].
struct HostKeys {
  std::optional<uint32_t> chunk;
  std::optional<Budget> budget;
  std::optional<BudgetScope> budget_scope;
  std::optional<double> budget_floor;
  std::optional<BudgetOf> budget_of;
  std::optional<Dtype> kv_type, k_type, v_type;
  std::optional<PositionMode> positions;
  std::optional<std::vector<Phase>> when;
  std::optional<uint32_t> period, slack;
  std::optional<SlotShare> n_sink, n_recent, n_stabilizers, n_local;
  std::optional<uint32_t> query_prefix;
  std::optional<OnPluginError> on_plugin_error;
  std::optional<std::string> inner;  // the name of another policy of the pipeline
};

// Takes every host key present in the table; findings go to the reader's collector.
HostKeys read_host_keys(TableReader&);

// All names of host keys, in the order of the contract's table. A manifest may not use one for a parameter.
const std::vector<std::string>& host_key_names();

}  // namespace tenure
