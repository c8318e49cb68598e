/* Keeps every slot: the ordinary KV cache, which the other policies are compared with. It asks for nothing
 * and is never called between create and destroy.
 */
#include <stddef.h>
#include <tenure/entry.h>
#include <tenure/policy.h>

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

TENURE_SINGLE_PLUGIN("full", "policy", "1.0.0", TENURE_POLICY_INTERFACE, api);
