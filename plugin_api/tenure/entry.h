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

/* A library of one plugin, in C: everything from the table to the exported symbol, at file scope, once.
 *   TENURE_SINGLE_PLUGIN("mine", "policy", "1.2.0", TENURE_POLICY_INTERFACE, api)
 * table: a static tenure_*_api whose first member is its head. The literals equal the manifest's values. */
#define TENURE_TEXT(literal) \
  { literal, sizeof literal - 1 }
#define TENURE_SINGLE_PLUGIN(plugin_id, plugin_kind, plugin_version, interface_id, table)                          \
  static const void* tenure_single_query(const tenure_plugin* self, tenure_str wanted, uint32_t min_rev) {         \
    (void)self;                                                                                                    \
    return tenure_is_interface(wanted, interface_id) && min_rev <= (table).head.rev ? &(table) : 0;                \
  }                                                                                                                \
  TENURE_SINGLE_PLUGIN_QUERY(plugin_id, plugin_kind, plugin_version, tenure_single_query)

/* The same of a plugin with several interfaces: `query_function` is its tenure_plugin.query. */
#define TENURE_SINGLE_PLUGIN_QUERY(plugin_id, plugin_kind, plugin_version, query_function)                         \
  static const tenure_plugin tenure_single_plugin = {.head = {.struct_size = sizeof(tenure_plugin)},              \
                                                     .id = TENURE_TEXT(plugin_id),                                \
                                                     .kind = TENURE_TEXT(plugin_kind),                            \
                                                     .query = query_function};                                    \
  static const tenure_plugin* const tenure_single_list[] = {&tenure_single_plugin};                               \
  static const tenure_library tenure_single_library = {.head = {.struct_size = sizeof(tenure_library)},           \
                                                       .abi_major = TENURE_ABI_MAJOR,                             \
                                                       .abi_minor_built = TENURE_ABI_MINOR,                       \
                                                       .abi_minor_min = 1,                                        \
                                                       .n_plugins = 1,                                            \
                                                       .id = TENURE_TEXT(plugin_id),                              \
                                                       .version = TENURE_TEXT(plugin_version),                    \
                                                       .plugins = tenure_single_list};                            \
  TENURE_EXPORT const tenure_library* tenure_library_v1(void) { return &tenure_single_library; }                  \
  typedef int tenure_single_plugin_needs_a_semicolon

/* [pure] Whether the host asks for this interface. */
static inline int tenure_is_interface(tenure_str wanted, const char* interface_id) {
  uint64_t i = 0;
  while (i < wanted.len && interface_id[i] != 0 && wanted.ptr[i] == interface_id[i]) ++i;
  return i == wanted.len && interface_id[i] == 0;
}

#endif
