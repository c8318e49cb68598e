// A plugin's manifest: what the host knows of a plugin before any of its code runs.
#pragma once

#include <cstdint>
#include <filesystem>
#include <string>
#include <vector>

#include "manifest/choices.h"
#include "manifest/host_keys.h"
#include "manifest/params.h"
#include "manifest/recipe.h"

namespace tenure {

enum class PluginKind { policy, backend };
template <>
inline constexpr Choice<PluginKind> choices<PluginKind>[] = {{"policy", PluginKind::policy},
                                                             {"backend", PluginKind::backend}};

// What a policy may be handed; bits, shapes and units are TENURE_EVIDENCE_* in <tenure/backend.h>.
enum class Evidence { q_pre, k_pre, v, k_post, hidden, attention_mass, token_ids, cached_k, cached_v, q_post };
template <>
inline constexpr Choice<Evidence> choices<Evidence>[] = {{"q_pre", Evidence::q_pre},
                                                         {"k_pre", Evidence::k_pre},
                                                         {"v", Evidence::v},
                                                         {"k_post", Evidence::k_post},
                                                         {"hidden", Evidence::hidden},
                                                         {"attention_mass", Evidence::attention_mass},
                                                         {"token_ids", Evidence::token_ids},
                                                         {"cached_k", Evidence::cached_k},
                                                         {"cached_v", Evidence::cached_v},
                                                         {"q_post", Evidence::q_post}};

enum class Location { host, device };
template <>
inline constexpr Choice<Location> choices<Location>[] = {{"host", Location::host},
                                                         {"device", Location::device}};

// Who shares one kept set.
enum class Granularity { token, layer, kv_head };
template <>
inline constexpr Choice<Granularity> choices<Granularity>[] = {
    {"token", Granularity::token}, {"layer", Granularity::layer}, {"kv_head", Granularity::kv_head}};

enum class Concurrency { serial, per_sequence, per_layer };
template <>
inline constexpr Choice<Concurrency> choices<Concurrency>[] = {{"serial", Concurrency::serial},
                                                               {"per-sequence", Concurrency::per_sequence},
                                                               {"per-layer", Concurrency::per_layer}};

// [needs]: an upper bound; the plugin's needs() may narrow it, never widen.
struct PluginNeeds {
  std::vector<Evidence> evidence;
  Location location = Location::host;
  Granularity granularity = Granularity::kv_head;
  bool rebuild = false;
  std::vector<Phase> phases;                                       // empty: the policy never releases a slot
  std::vector<PositionMode> positions = {PositionMode::original};  // original, rank or both
  std::vector<BudgetScope> scopes = {BudgetScope::head, BudgetScope::layer, BudgetScope::global};
  bool inner = false;  // works only around another policy (host key `inner`)
  uint64_t state_bytes_per_sequence = 0;
  uint64_t state_floats_per_slot = 0;
  uint64_t state_floats_per_token = 0;
  Concurrency concurrency = Concurrency::serial;
  bool chunk_invariant = false;  // what is kept of a prompt does not depend on how it was cut; `plugin check` tries
};

struct PluginManifest {
  std::string file;  // where it was read
  std::string id;    // [a-z][a-z0-9_-]*
  PluginKind kind = PluginKind::policy;
  std::string version, vendor, license, summary;
  uint32_t abi_major = 0, abi_built = 0, abi_min = 0;
  std::string os, arch;
  std::string sha256;  // 64 lower-case hex digits, or empty = not given
  PluginNeeds needs;   // of a backend: only `concurrency` means something
  HostKeys defaults;
  std::vector<ParamSpec> params;
  std::vector<ParamSpec> training;  // [[training]]: parameters of `tenure train`, each with a default
  std::vector<Recipe> recipes;      // [[recipe]]: none = not trainable; the first is the default
};

// Both throw Error (plugin_manifest, exit 69) with every finding, each with its position.
PluginManifest read_manifest(const std::filesystem::path& file);
PluginManifest parse_manifest(std::string text, std::string file);

}  // namespace tenure
