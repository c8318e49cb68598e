#include <stddef.h>
#include <tenure/entry.h>
#include <tenure/policy.h>

#include "training.h"

static const tenure_policy_api api = {.head = {.struct_size = sizeof api, .rev = 1}};

static const void* query(const tenure_plugin* self, tenure_str wanted, uint32_t min_rev) {
  (void)self;
  if (min_rev > 1) return NULL;
  if (tenure_is_interface(wanted, TENURE_POLICY_INTERFACE)) return &api;
  return tenure_is_interface(wanted, TENURE_TRAINABLE_INTERFACE) ? &kvzap_trainable : NULL;
}

TENURE_SINGLE_PLUGIN_QUERY("kvzap", "policy", "1.0.0", query);
