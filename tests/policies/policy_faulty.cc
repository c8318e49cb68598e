// A policy that breaks one rule on request, for the tests of the host's checks. Without a fault it keeps the
// newest.
#include <tenure/entry.h>
#include <tenure/policy.h>

#include <cmath>
#include <cstdio>
#include <cstring>
#include <stdexcept>
#include <string>
#include <string_view>
#include <vector>

struct tenure_policy {
  std::string fault;
  uint32_t after_tokens;
};

namespace {

constexpr tenure_str text(std::string_view literal) {
  return {literal.data(), literal.size()};
}

// "fail_select" returns an error there, "throw_select" throws.
tenure_status misbehave(const std::string& fault, const char* hook, tenure_error* error) {
  if (fault == std::string("throw_") + hook)
    throw std::runtime_error(std::string("thrown on purpose in ") + hook);
  if (fault != std::string("fail_") + hook) return TENURE_OK;
  if (error) std::snprintf(error->text, sizeof error->text, "refused on purpose\nin %s", hook);
  return TENURE_INTERNAL;
}

tenure_status create(const tenure_host*, const tenure_model_info*, const tenure_config* config,
                     tenure_policy** out, tenure_error* error) {
  const std::string fault(config->values[0].s.ptr, config->values[0].s.len);
  if (const tenure_status status = misbehave(fault, "create", error)) return status;
  *out = new tenure_policy{fault, static_cast<uint32_t>(config->values[1].i)};
  return TENURE_OK;
}

void destroy(tenure_policy* self) {
  const bool throws = self->fault == "throw_destroy";
  delete self;
  if (throws) throw std::runtime_error("thrown on purpose in destroy");
}

tenure_status begin(tenure_policy* self, const tenure_call*, const tenure_sequence_info*, tenure_seq**,
                    tenure_error* error) {
  if (self->after_tokens > 0) return TENURE_OK;
  return misbehave(self->fault, "begin", error);
}

tenure_status prepare(tenure_policy* self, const tenure_call*, const tenure_view* view, const int32_t*,
                      uint32_t, int32_t, tenure_keepset* keepset, tenure_error* error) {
  if (view->n_tokens <= self->after_tokens) return TENURE_OK;
  if (self->fault == "rebuild_held" && view->n_tokens > 0) {
    return keepset->rebuild(keepset, static_cast<int32_t>(view->n_tokens) - 1, 1, error);
  }
  return misbehave(self->fault, "prepare", error);
}

tenure_status observe(tenure_policy* self, const tenure_call*, uint32_t, uint32_t n,
                      const tenure_evidence* const* evidence, tenure_status*, tenure_error* error) {
  for (uint32_t s = 0; s < n; ++s) {
    if (evidence[s]->view->n_tokens <= self->after_tokens) continue;
    if (const tenure_status status = misbehave(self->fault, "observe", error)) return status;
  }
  return TENURE_OK;
}

const tenure_head_view& head_of(const tenure_view& view, uint32_t h) {
  return *reinterpret_cast<const tenure_head_view*>(reinterpret_cast<const char*>(view.heads) +
                                                    uint64_t{h} * view.head_stride);
}

tenure_status score_newest(const std::string& fault, uint32_t layer, const tenure_view& view,
                           tenure_keepset* keepset, tenure_error* error) {
  std::vector<std::vector<float>> scores(view.n_heads);
  std::vector<const float*> pointers;
  for (uint32_t h = 0; h < view.n_heads; ++h) {
    const tenure_head_view& head = head_of(view, h);
    scores[h].assign(head.pos, head.pos + head.n_slots);
    if (fault == "score_nan" && head.n_slots > 0) scores[h][head.n_slots / 2] = std::nanf("");
    if (fault == "score_one" && head.n_slots > 0) scores[h][0] = INFINITY;
    pointers.push_back(scores[h].data());
  }
  return keepset->score(keepset, layer, pointers.data(), nullptr, error);
}

tenure_status keep_badly(const std::string& fault, uint32_t layer, const tenure_view& view,
                         tenure_keepset* keepset, tenure_error* error) {
  std::vector<uint32_t> offsets{0}, slots;
  for (uint32_t h = 0; h < view.n_heads; ++h) {
    const tenure_head_view& head = head_of(view, h);
    const uint32_t n = fault == "keep_too_many" ? head.n_slots : std::min(head.n_slots, head.budget);
    for (uint32_t i = 0; i < n; ++i) slots.push_back(head.n_slots - n + i);
    if (n >= 2 && fault == "keep_out_of_range") slots.back() = head.n_slots;
    if (n >= 2 && fault == "keep_duplicate") slots.back() = slots[slots.size() - 2];
    if (n >= 2 && fault == "keep_unsorted") std::swap(slots.back(), slots[slots.size() - 2]);
    offsets.push_back(static_cast<uint32_t>(slots.size()));
  }
  if (fault == "keep_bad_offsets" && view.n_heads >= 2) std::swap(offsets[1], offsets[2]);
  return keepset->keep(keepset, layer, offsets.data(), slots.data(), error);
}

tenure_status select_or_break(tenure_policy* self, const tenure_call*, uint32_t layer, uint32_t n,
                              const tenure_view* const* views, tenure_keepset* const* keepsets,
                              tenure_status* statuses, tenure_error* error) {
  for (uint32_t s = 0; s < n; ++s) {
    const std::string fault = views[s]->n_tokens > self->after_tokens ? self->fault : "none";
    if (const tenure_status status = misbehave(fault, "select", error)) return status;
    if (fault == "print") std::puts("{\"id\": \"printed by a plugin\"}"), std::fflush(stdout);
    if (fault == "rebuild_in_select") {
      statuses[s] = keepsets[s]->rebuild(keepsets[s], 0, 1, error);
    } else if (fault.starts_with("keep_")) {
      statuses[s] = keep_badly(fault, layer, *views[s], keepsets[s], error);
    } else {
      statuses[s] = score_newest(fault, layer, *views[s], keepsets[s], error);
    }
    if (fault == "status_of_one" && s == 0) statuses[s] = TENURE_INTERNAL;
  }
  return TENURE_OK;
}

constexpr tenure_policy_api api = {.head = {.struct_size = sizeof api, .rev = 1, .flags = 0},
                                   .needs = nullptr,
                                   .create = create,
                                   .destroy = destroy,
                                   .begin = begin,
                                   .end = nullptr,
                                   .prepare = prepare,
                                   .observe = observe,
                                   .select = select_or_break};

const void* query(const tenure_plugin*, tenure_str id, uint32_t min_rev) {
  return std::string_view(id.ptr, id.len) == TENURE_POLICY_INTERFACE && min_rev <= 1 ? &api : nullptr;
}

constexpr tenure_plugin plugin = {.head = {.struct_size = sizeof plugin, .rev = 0, .flags = 0},
                                  .id = text("faulty"),
                                  .kind = text("policy"),
                                  .query = query};
constexpr const tenure_plugin* plugins[] = {&plugin};
constexpr tenure_library library = {.head = {.struct_size = sizeof library, .rev = 0, .flags = 0},
                                    .abi_major = TENURE_ABI_MAJOR,
                                    .abi_minor_built = TENURE_ABI_MINOR,
                                    .abi_minor_min = 1,
                                    .n_plugins = 1,
                                    .id = text("faulty"),
                                    .version = text("1.0.0"),
                                    .plugins = plugins,
                                    .init = nullptr,
                                    .fini = nullptr};

}  // namespace

const tenure_library* tenure_library_v1() {
  return &library;
}
