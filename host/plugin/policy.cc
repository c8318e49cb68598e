#include "plugin/policy.h"

#include <fmt/format.h>

#include <algorithm>
#include <limits>
#include <utility>

#include "error/error.h"
#include "plugin/call.h"
#include "plugin/config_values.h"
#include "plugin/table.h"

namespace tenure {

struct PolicyHandle {
  const Library* library = nullptr;
  HostScope scope{};
  tenure_host host{};  // the policy's own
  PluginManifest manifest;
  tenure_policy_api api{};
  bool has_create = false;
  bool has_prepare = false, has_observe = false, has_select = false;
  PolicyNeeds needs;
  bool is_created = false;
  tenure_policy* self = nullptr;  // may be NULL after create: nothing to remember
  PolicyWatch* watch = nullptr;

  // A hook of a sequence.
  template <typename Call>
  Status call(const char* hook, std::span<const tenure_status> statuses, Call&& hooked) const {
    if (watch != nullptr) watch->enter(hook);
    const Status status = call_plugin(manifest.id, hook, std::forward<Call>(hooked));
    if (watch != nullptr) watch->leave(status, statuses);
    return status;
  }

  ~PolicyHandle() {
    if (!is_created) return;
    call_plugin(manifest.id, "destroy", [&](tenure_error*) {
      api.destroy(self);
      return TENURE_OK;
    });
  }
};

namespace {

void take_table(const std::string& id, const tenure_policy_api* table, PolicyHandle& handle) {
  if (table == nullptr) {
    throw Error(Code::plugin_abi,
                fmt::format("plugin \"{}\" does not offer {}", id, TENURE_POLICY_INTERFACE));
  }
  handle.api = copy_known(table, id, TENURE_POLICY_INTERFACE);
  handle.has_create = fill_slot(handle.api.create);
  if (handle.has_create) require_slot(handle.api.destroy, id, "destroy");
  fill_slot(handle.api.needs);
  fill_slot(handle.api.begin);
  fill_slot(handle.api.end);
  handle.has_prepare = fill_slot(handle.api.prepare);
  handle.has_observe = fill_slot(handle.api.observe);
  handle.has_select = fill_slot(handle.api.select);
}

void take_table(const Library& library, PolicyHandle& handle) {
  take_table(library.id(), static_cast<const tenure_policy_api*>(library.query(TENURE_POLICY_INTERFACE, 1)), handle);
}

uint32_t evidence_bit(Evidence evidence) {
  switch (evidence) {
    case Evidence::q_pre:
      return TENURE_EVIDENCE_Q_PRE;
    case Evidence::k_pre:
      return TENURE_EVIDENCE_K_PRE;
    case Evidence::v:
      return TENURE_EVIDENCE_V;
    case Evidence::k_post:
      return TENURE_EVIDENCE_K_POST;
    case Evidence::hidden:
      return TENURE_EVIDENCE_HIDDEN;
    case Evidence::attention_mass:
      return TENURE_EVIDENCE_ATTENTION_MASS;
    case Evidence::token_ids:
      return TENURE_EVIDENCE_TOKEN_IDS;
    case Evidence::cached_k:
      return TENURE_EVIDENCE_CACHED_K;
    case Evidence::cached_v:
      return TENURE_EVIDENCE_CACHED_V;
    case Evidence::q_post:
      return TENURE_EVIDENCE_Q_POST;
  }
  return 0;
}

uint32_t state_floats(const PluginManifest& manifest, uint64_t n, const char* key) {
  if (n <= std::numeric_limits<uint32_t>::max()) return static_cast<uint32_t>(n);
  throw Error(Code::plugin_refused, fmt::format("policy \"{}\": {} = {} is too many", manifest.id, key, n));
}

PolicyNeeds declared_needs(const PluginManifest& manifest) {
  PolicyNeeds needs;
  for (const Evidence evidence : manifest.needs.evidence) needs.evidence |= evidence_bit(evidence);
  needs.rebuild = manifest.needs.rebuild;
  needs.state_floats_per_slot =
      state_floats(manifest, manifest.needs.state_floats_per_slot, "state_floats_per_slot");
  needs.state_floats_per_token =
      state_floats(manifest, manifest.needs.state_floats_per_token, "state_floats_per_token");
  needs.state_bytes_per_sequence = manifest.needs.state_bytes_per_sequence;
  return needs;
}

void check_narrowed(const std::string& id, const PolicyNeeds& declared, const PolicyNeeds& asked) {
  const std::pair<bool, const char*> widened[] = {
      {(asked.evidence & ~declared.evidence) != 0, "evidence"},
      {asked.rebuild && !declared.rebuild, "rebuild"},
      {asked.state_floats_per_slot > declared.state_floats_per_slot, "state_floats_per_slot"},
      {asked.state_floats_per_token > declared.state_floats_per_token, "state_floats_per_token"},
      {asked.state_bytes_per_sequence > declared.state_bytes_per_sequence, "state_bytes_per_sequence"}};
  for (const auto& [is_widened, key] : widened) {
    if (!is_widened) continue;
    throw Error(
        Code::plugin_abi,
        fmt::format("{}.needs asks for more {} than the manifest declares: it may narrow, never widen", id,
                    key));
  }
}

PolicyNeeds ask_needs(const PolicyHandle& handle, const tenure_model_info& model,
                      const tenure_config& config) {
  const PolicyNeeds declared = declared_needs(handle.manifest);
  tenure_needs raw{.head = {.struct_size = sizeof raw},
                   .evidence = declared.evidence,
                   .mass_rows = declared.mass_rows,
                   .rebuild = declared.rebuild,
                   .state_floats_per_slot = declared.state_floats_per_slot,
                   .state_floats_per_token = declared.state_floats_per_token,
                   .state_bytes_per_sequence = declared.state_bytes_per_sequence};
  const Status status = call_plugin(handle.manifest.id, "needs", [&](tenure_error* error) {
    return handle.api.needs(&model, &config, &raw, error);
  });
  if (status.code == TENURE_UNIMPLEMENTED) return declared;
  throw_unless_ok(status);
  const PolicyNeeds asked{.evidence = raw.evidence,
                          .mass_rows = raw.mass_rows,
                          .rebuild = raw.rebuild != 0,
                          .state_floats_per_slot = raw.state_floats_per_slot,
                          .state_floats_per_token = raw.state_floats_per_token,
                          .state_bytes_per_sequence = raw.state_bytes_per_sequence};
  check_narrowed(handle.manifest.id, declared, asked);
  return asked;
}

}  // namespace

PolicySequence::PolicySequence(PolicySequence&& other) noexcept
    : handle_(other.handle_), info_(std::move(other.info_)), seq_(std::exchange(other.seq_, nullptr)) {}

PolicySequence& PolicySequence::operator=(PolicySequence&& other) noexcept {
  std::swap(handle_, other.handle_);
  std::swap(info_, other.info_);
  std::swap(seq_, other.seq_);
  return *this;
}

PolicySequence::~PolicySequence() {
  if (info_ == nullptr) return;
  handle_->call("end", {}, [&](tenure_error*) {
    handle_->api.end(handle_->self, seq_);
    return TENURE_OK;
  });
}

Policy::Policy(const Library& library, const tenure_model_info& model, std::vector<ParamValue> params, const PolicyLoan& loan)
    : handle_(std::make_unique<PolicyHandle>()) {
  handle_->library = &library;
  handle_->scope = {.library = &library.services(), .backend = loan.backend, .weights = loan.weights};
  handle_->host = library.services().host_of(handle_->scope);
  handle_->manifest = library.manifest();
  take_table(library, *handle_);
  const ConfigValues config(library.manifest().params, std::move(params));
  handle_->needs = ask_needs(*handle_, model, *config.config());
  if (!handle_->has_create) return;
  throw_unless_ok(call_plugin(id(), "create", [&](tenure_error* error) {
    return handle_->api.create(&handle_->host, &model, config.config(), &handle_->self, error);
  }));
  handle_->is_created = true;
}

Policy::Policy(PluginManifest manifest, const tenure_policy_api& api, tenure_policy* self)
    : handle_(std::make_unique<PolicyHandle>()) {
  handle_->manifest = std::move(manifest);
  take_table(handle_->manifest.id, &api, *handle_);
  handle_->needs = declared_needs(handle_->manifest);
  handle_->self = self;
}

void Policy::require_table(const Library& library) {
  PolicyHandle handle;
  handle.manifest = library.manifest();
  take_table(library, handle);
}

Policy::Policy(Policy&&) noexcept = default;
Policy& Policy::operator=(Policy&&) noexcept = default;
Policy::~Policy() = default;

const std::string& Policy::id() const {
  return handle_->manifest.id;
}
const PluginManifest& Policy::manifest() const {
  return handle_->manifest;
}
const PolicyNeeds& Policy::needs() const {
  return handle_->needs;
}
const Library& Policy::library() const {
  return *handle_->library;
}
void Policy::watch(PolicyWatch& watch) const {
  handle_->watch = &watch;
}
bool Policy::layers_at_once() const {
  return handle_->manifest.needs.concurrency == Concurrency::per_layer && handle_->watch == nullptr;
}
bool Policy::has_prepare() const {
  return handle_->has_prepare;
}
bool Policy::has_observe() const {
  return handle_->has_observe;
}
bool Policy::has_select() const {
  return handle_->has_select;
}

Status Policy::begin(const tenure_call& call, const tenure_sequence_info& info, PolicySequence& out) const {
  PolicySequence sequence;
  auto kept_info = std::make_unique<tenure_sequence_info>(info);
  Status status = handle_->call("begin", {}, [&](tenure_error* error) {
    return handle_->api.begin(handle_->self, &call, kept_info.get(), &sequence.seq_, error);
  });
  if (status.code == TENURE_UNIMPLEMENTED) status = {};
  if (!status.ok()) return status;
  sequence.handle_ = handle_.get();
  sequence.info_ = std::move(kept_info);
  out = std::move(sequence);
  return status;
}

Status Policy::prepare(const tenure_call& call, const tenure_view& view, std::span<const int32_t> ids,
                       int32_t first_pos, tenure_keepset& keepset) const {
  tenure_keepset* const handed = handle_->watch != nullptr ? handle_->watch->prepare(view, keepset) : &keepset;
  return handle_->call("prepare", {}, [&](tenure_error* error) {
    return handle_->api.prepare(handle_->self, &call, &view, ids.data(), static_cast<uint32_t>(ids.size()),
                                first_pos, handed, error);
  });
}

Status Policy::observe(const tenure_call& call, uint32_t layer,
                       std::span<const tenure_evidence* const> evidence,
                       std::span<tenure_status> statuses) const {
  std::fill(statuses.begin(), statuses.end(), TENURE_OK);
  if (handle_->watch != nullptr) evidence = handle_->watch->observe(layer, evidence);
  return handle_->call("observe", statuses, [&](tenure_error* error) {
    return handle_->api.observe(handle_->self, &call, layer, static_cast<uint32_t>(evidence.size()),
                                evidence.data(), statuses.data(), error);
  });
}

Status Policy::select(const tenure_call& call, uint32_t layer, std::span<const tenure_view* const> views,
                      std::span<tenure_keepset* const> keepsets, std::span<tenure_status> statuses) const {
  std::fill(statuses.begin(), statuses.end(), TENURE_OK);
  if (handle_->watch != nullptr) keepsets = handle_->watch->select(layer, views, keepsets);
  return handle_->call("select", statuses, [&](tenure_error* error) {
    return handle_->api.select(handle_->self, &call, layer, static_cast<uint32_t>(views.size()), views.data(),
                               keepsets.data(), statuses.data(), error);
  });
}

}  // namespace tenure
