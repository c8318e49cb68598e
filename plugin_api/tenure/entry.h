/* The one symbol of a plugin, and what the host learns from it.
 *
 * Order: manifest read and checked (no code runs) -> library loaded -> tenure_library_v1() -> versions negotiated ->
 * init -> needs (policies) -> create -> … -> destroy -> fini when the host ends. A library is never unloaded.
 */
#ifndef TENURE_ENTRY_H
#define TENURE_ENTRY_H

#include <tenure/abi.h>
#include <tenure/host.h>

#ifdef __cplusplus
extern "C" {
#endif

#if defined(__GNUC__)
#define TENURE_EXPORT __attribute__((visibility("default")))
#else
#define TENURE_EXPORT
#endif

/* One plugin of a library. */
typedef struct tenure_plugin {
  tenure_head head;
  tenure_str id;   /* equals the manifest's id */
  tenure_str kind; /* "policy" or "backend" */
  /* [any] The table of an interface ("tenure.policy/1", "tenure.backend/1", extensions) or NULL when the id is unknown
   * or min_rev is above the revision this plugin has. Static data of the library. Required. */
  const void* (*query)(const struct tenure_plugin* self, tenure_str interface_id, uint32_t min_rev);
} tenure_plugin;

/* Constant data: tenure_library_v1() does no work and allocates nothing. */
typedef struct tenure_library {
  tenure_head head;
  uint32_t abi_major;       /* TENURE_ABI_MAJOR of the headers it was built with */
  uint32_t abi_minor_built; /* TENURE_ABI_MINOR of those headers */
  uint32_t abi_minor_min;   /* oldest host minor it runs on. These three and `version` repeat the manifest */
  uint32_t n_plugins;
  tenure_str id;
  tenure_str version;
  const tenure_plugin* const* plugins; /* (n_plugins) */
  /* [control] Optional (NULL: nothing to do). `host` lives until fini has returned. */
  tenure_status (*init)(const tenure_host* host, tenure_error* error);
  /* [control] Optional. Not called in a process that is killed. */
  void (*fini)(const tenure_host* host);
} tenure_library;

/* [any] The only exported symbol. Never NULL. */
TENURE_EXPORT const tenure_library* tenure_library_v1(void);

#ifdef __cplusplus
}
#endif

#endif
