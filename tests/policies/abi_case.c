/* One library, built several times with another ABI_* definition each (CMakeLists.txt): what the loader must
 * accept or refuse. The defaults are a sound policy that does nothing.
 */
#include <stddef.h>
#include <stdio.h>
#include <string.h>
#include <tenure/entry.h>
#include <tenure/policy.h>

#ifndef ABI_MAJOR
#define ABI_MAJOR TENURE_ABI_MAJOR
#endif
#ifndef ABI_BUILT
#define ABI_BUILT TENURE_ABI_MINOR
#endif
#ifndef ABI_MIN
#define ABI_MIN 1
#endif
#ifndef ABI_TABLE_SIZE
#define ABI_TABLE_SIZE sizeof(struct future_api)
#endif
#ifndef ABI_DESTROY
#define ABI_DESTROY destroy
#endif

#define TEXT(literal) \
  { literal, sizeof literal - 1 }

/* A later minor's table: what is behind the part that this host knows must not disturb it. */
struct future_api {
  tenure_policy_api known;
  tenure_status (*later)(tenure_policy* self);
};
struct future_library {
  tenure_library known;
  const char* later;
};

static tenure_status later(tenure_policy* self) {
  (void)self;
  return TENURE_INTERNAL;
}

static tenure_status create(const tenure_host* host, const tenure_model_info* model,
                            const tenure_config* config, tenure_policy** out, tenure_error* error) {
  (void)host, (void)model, (void)config, (void)out, (void)error;
  return TENURE_OK;
}

__attribute__((unused)) static void destroy(tenure_policy* self) {
  (void)self;
}

static tenure_status widen(const tenure_model_info* model, const tenure_config* config, tenure_needs* out,
                           tenure_error* error) {
  (void)model, (void)config, (void)error;
#ifdef ABI_NEEDS_HIDDEN
  out->evidence |= TENURE_EVIDENCE_HIDDEN;
#else
  out->mass_rows = 16;
#endif
  return TENURE_OK;
}

static tenure_status select_nothing(tenure_policy* self, const tenure_call* call, uint32_t layer, uint32_t n,
                                    const tenure_view* const* views, tenure_keepset* const* keepsets,
                                    tenure_status* statuses, tenure_error* error) {
  (void)self, (void)call, (void)layer, (void)n, (void)views, (void)keepsets, (void)statuses, (void)error;
  return TENURE_OK;
}

static const struct future_api api = {.known = {.head = {.struct_size = ABI_TABLE_SIZE, .rev = 1},
                                                .needs = widen,
                                                .create = create,
                                                .destroy = ABI_DESTROY,
                                                .select = select_nothing},
                                      .later = later};

static const void* query(const tenure_plugin* self, tenure_str interface_id, uint32_t min_rev) {
  static const tenure_str ours = TEXT(TENURE_POLICY_INTERFACE);
  (void)self;
  if (interface_id.len != ours.len || memcmp(interface_id.ptr, ours.ptr, ours.len) != 0) return NULL;
  return min_rev <= 1 ? &api : NULL;
}

static tenure_status init(const tenure_host* host, tenure_error* error) {
  (void)host;
#ifdef ABI_INIT_FAILS
  if (error != NULL) snprintf(error->text, sizeof error->text, "no licence found");
  return TENURE_UNSUPPORTED;
#else
  (void)error;
  return TENURE_OK;
#endif
}

static const tenure_plugin plugin = {
    .head = {.struct_size = sizeof plugin}, .id = TEXT(ABI_ID), .kind = TEXT("policy"), .query = query};
static const tenure_plugin* const plugins[] = {&plugin};
static const struct future_library library = {.known = {.head = {.struct_size = sizeof library},
                                                        .abi_major = ABI_MAJOR,
                                                        .abi_minor_built = ABI_BUILT,
                                                        .abi_minor_min = ABI_MIN,
                                                        .n_plugins = 1,
                                                        .id = TEXT(ABI_ID),
                                                        .version = TEXT("1.0.0"),
                                                        .plugins = plugins,
                                                        .init = init},
                                              .later = "a member of a later minor"};

#ifndef ABI_NO_SYMBOL
TENURE_EXPORT const tenure_library* tenure_library_v1(void) {
  return &library.known;
}
#else
TENURE_EXPORT const tenure_library* tenure_library_v0(void) {
  return &library.known;
}
#endif
