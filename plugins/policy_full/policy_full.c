/* Keeps every slot: the ordinary KV cache, which the other policies are compared with. It asks for nothing
 * and is never called between create and destroy.
 */
#include <string.h>
#include <tenure/entry.h>
#include <tenure/policy.h>

#define TEXT(literal) \
  { literal, sizeof literal - 1 }

static tenure_status create(const tenure_host* host, const tenure_model_info* model,
                            const tenure_config* config, tenure_policy** out, tenure_error* error) {
  (void)host, (void)model, (void)config, (void)error;
  *out = NULL; /* nothing to remember */
  return TENURE_OK;
}

static void destroy(tenure_policy* self) {
  (void)self;
}

static const tenure_policy_api api = {
    .head = {.struct_size = sizeof api, .rev = 1}, .create = create, .destroy = destroy};

static const void* query(const tenure_plugin* self, tenure_str interface_id, uint32_t min_rev) {
  static const tenure_str ours = TEXT(TENURE_POLICY_INTERFACE);
  (void)self;
  if (interface_id.len != ours.len || memcmp(interface_id.ptr, ours.ptr, ours.len) != 0) return NULL;
  return min_rev <= api.head.rev ? &api : NULL;
}

static const tenure_plugin plugin = {
    .head = {.struct_size = sizeof plugin}, .id = TEXT("full"), .kind = TEXT("policy"), .query = query};
static const tenure_plugin* const plugins[] = {&plugin};
static const tenure_library library = {.head = {.struct_size = sizeof library},
                                       .abi_major = TENURE_ABI_MAJOR,
                                       .abi_minor_built = TENURE_ABI_MINOR,
                                       .abi_minor_min = 1,
                                       .n_plugins = 1,
                                       .id = TEXT("full"),
                                       .version = TEXT("1.0.0"),
                                       .plugins = plugins};

TENURE_EXPORT const tenure_library* tenure_library_v1(void) {
  return &library;
}
