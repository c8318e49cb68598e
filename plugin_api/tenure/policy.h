/* Policy, revision 1 (draft): decides which slots of a KV cache stay. A policy sees views and says its verdict through a
 * KeepSet; it never touches the cache. The host checks, applies, counts and undoes.
 *
 * A scorer implements needs, create, begin, observe or select, and calls keepset->score: the host does protections,
 * budget, scope and top-k. That is all most policies need.
 *
 * Granularity (manifest) says who shares one kept set, and so what the "heads" of a view are:
 *   kv_head  a view of layer l has its n_kv_heads heads
 *   layer    a view of layer l has one head (all KV heads of the layer hold the same slots)
 *   token    calls come once, with layer = TENURE_ALL_LAYERS and one head (all layers hold the same slots)
 *
 * All hooks run on the engine's thread, one at a time, unless the manifest says concurrency = "per-layer": then observe after a
 * forward, and select, may be called for several layers at the same time, on any of the host's threads. They may write what
 * belongs to their layer's slots and must not use tenure.exec, tenure.nn or tenure.gemm. No hook is called for a sequence
 * without a budget but begin and end.
 */
#ifndef TENURE_POLICY_H
#define TENURE_POLICY_H

#include <tenure/abi.h>
#include <tenure/backend.h>
#include <tenure/host.h>
#include <tenure/model.h>

#ifdef __cplusplus
extern "C" {
#endif

#define TENURE_POLICY_INTERFACE "tenure.policy/1"

typedef struct tenure_policy tenure_policy; /* one configured policy; owner: the host, until destroy */
typedef struct tenure_seq tenure_seq;       /* what begin() returned for one sequence */

enum { TENURE_GRANULARITY_TOKEN = 0, TENURE_GRANULARITY_LAYER = 1, TENURE_GRANULARITY_KV_HEAD = 2 };
enum { TENURE_LOCATION_HOST = 0, TENURE_LOCATION_DEVICE = 1 };
enum {
  TENURE_PHASE_CHUNK = 1 << 0,       /* after each chunk of prefill */
  TENURE_PHASE_PREFILL_END = 1 << 1, /* after the last one of a segment; that is a CHUNK where `when` has "chunk" too */
  TENURE_PHASE_DECODE = 1 << 2       /* observe every step, select every `period` steps */
};
enum { TENURE_POSITIONS_ORIGINAL = 0, TENURE_POSITIONS_RANK = 1 };

/* The answer to needs(): may narrow what the manifest declares, never widen it. The host fills it from the manifest
 * before the call, so a policy without conditions leaves it alone. */
typedef struct tenure_needs {
  tenure_head head;
  uint32_t evidence;   /* TENURE_EVIDENCE_* */
  uint32_t mass_rows;  /* of each chunk, the last so many rows add to attention mass; UINT32_MAX = all */
  uint32_t rebuild;    /* 1: prepare may ask for rebuild */
  uint32_t state_floats_per_slot;
  uint32_t state_floats_per_token;
  uint32_t reserved0;
  uint64_t state_bytes_per_sequence;
} tenure_needs;

/* Given to every hook. */
typedef struct tenure_call {
  tenure_head head;
  uint32_t phase;         /* one TENURE_PHASE_* bit; in begin CHUNK, in prepare CHUNK or DECODE */
  uint32_t last_chunk;    /* 1: this chunk ends its segment's text, or what the segment scores; 0 in begin and prepare */
  const int32_t* cancel;  /* becomes non-zero when the request is cancelled; NULL: it cannot be */
} tenure_call;

/* Valid until end(). */
typedef struct tenure_sequence_info {
  tenure_head head;
  uint64_t seed;     /* depends on (seed, request id, cell, sample) only */
  uint64_t budget;   /* mean slots per layer and KV head after each select; UINT64_MAX = none */
  uint32_t chunk;    /* prefill tokens between two decisions */
  uint32_t n_prompt; /* tokens the request feeds, as far as they are known at the start */
  uint32_t positions; /* TENURE_POSITIONS_* */
  uint32_t forked;   /* 1: state is a copy of the parent's */
  void* state;       /* host-owned, state_bytes_per_sequence bytes, 64-byte aligned, zero unless forked */
} tenure_sequence_info;

/* Flags of a slot. */
enum {
  TENURE_SLOT_SINK = 1 << 0,
  TENURE_SLOT_RECENT = 1 << 1,
  TENURE_SLOT_STABILIZER = 1 << 2,
  TENURE_SLOT_LOCAL = 1 << 3,
  TENURE_SLOT_REBUILT = 1 << 4
};

/* One head of a view: side arrays of the slots it holds, in slot order (not in position order after evictions in decode).
 * Valid for the call. */
typedef struct tenure_head_view {
  const int32_t* pos;   /* (n_slots) position in the sequence */
  const float* score;   /* (n_slots) what score() last said; 0 for new slots */
  const uint8_t* flags; /* (n_slots) TENURE_SLOT_*: what the host protects in this decision, and rebuilt slots */
  const float* mass;    /* (n_slots) attention mass that this chunk's or step's rows added, the mean over the KV heads that
                           share the slots; NULL when not needed (backend.h) */
  float* state;         /* (n_slots, state_floats_per_slot) the policy's own, 0 for new slots; NULL when not declared */
  uint32_t n_slots;
  uint32_t budget; /* slots this head would keep under scope "head"; UINT32_MAX = no budget */
  /* CACHED_K and CACHED_V, granularity kv_head only: what the slots hold, keys rotated as stored, in the precision of the
   * cache. In observe at a decision that is due; NULL otherwise. */
  const float* k; /* (n_slots, head_dim) */
  const float* v; /* (n_slots, head_dim) */
} tenure_head_view;

typedef struct tenure_view {
  tenure_head head;
  tenure_seq* seq;
  void* state;                   /* sequence_info.state */
  uint32_t n_heads;              /* see "Granularity"; with TENURE_ALL_LAYERS the heads of all layers in layer order */
  uint32_t head_stride;          /* bytes from one head to the next */
  const tenure_head_view* heads; /* (n_heads) */
  uint32_t n_tokens;             /* fed so far, this chunk or step included */
  uint32_t phase;                /* of the decision this view is for */
  const int32_t* ids;            /* (n_tokens) */
  const uint8_t* released;       /* (n_tokens) 1 = some layer and head released the position, rebuilt since or not; NULL
                                    unless rebuild */
  float* token_state;            /* (n_tokens, state_floats_per_token) by position, or NULL */
  uint64_t n_steps;              /* decode steps of this sequence so far */
  uint32_t head_dim;             /* of the layer; 0 where the heads are of several layers */
  uint32_t reserved0;
} tenure_view;

/* The verdict under construction. Verbs check what they get and return TENURE_BAD_PLAN with the reason (TENURE_NUMERIC for
 * a score that is not finite, TENURE_INVALID_STATE for a verb out of place). Whatever the policy then answers, the request
 * fails with the plugin's name (or goes on and releases nothing more, as the pipeline says), and the slots that the call was
 * about stay as they were. */
typedef struct tenure_keepset {
  tenure_head head;
  void* ctx; /* the host's */
  /* In observe and select. One f32 per slot for every head of the view, finite; higher stays. Copied into the side arrays,
   * where it counts until the next one. scores NULL: the slots' state, which must then be one float a slot. n_keep (n_heads)
   * gives budgets of its own per head, together at most the budget of all, or NULL. `layer` as in the call. */
  tenure_status (*score)(struct tenure_keepset* self, uint32_t layer, const float* const* scores, const uint32_t* n_keep,
                         tenure_error* error);
  /* In select. Exactly these slots stay: for head h slots[offsets[h] .. offsets[h+1]), ascending, unique, in range, every
   * slot with a flag included; those not rebuilt together within the budget of all heads. offsets has n_heads + 1 entries,
   * the first 0. */
  tenure_status (*keep)(struct tenure_keepset* self, uint32_t layer, const uint32_t* offsets, const uint32_t* slots,
                        tenure_error* error);
  /* Only in prepare: recompute positions [first_pos, first_pos + n) with the coming chunk or step. Each must be released;
   * at most [engine] max_rebuild_rows in all calls of one prepare. They live until a later prepare does not name them
   * again or the turn ends; naming them again costs nothing. */
  tenure_status (*rebuild)(struct tenure_keepset* self, int32_t first_pos, uint32_t n, tenure_error* error);
} tenure_keepset;

/* One sequence's part of an observe call. Two kinds of calls, each for the evidence that is declared:
 *  - inside each forward (n_rows > 0): the rows of a step, or of a part of a chunk, as soon as `layer` has attended. Row i
 *    is at first_pos + i and in slot n_slots - n_rows + i of every head. The engine cuts chunks as it likes, so what is
 *    kept may not depend on where a part ends. Rows that are fed again for a rebuild are not shown. The head views have no
 *    mass, k or v, and their flags are those of the last decision.
 *  - after a forward that ended a chunk or made a step (n_rows = 0): attention mass, and what is cached.
 * Row views: data = NULL when not declared. Contiguous but for stride[0]. */
typedef struct tenure_evidence {
  tenure_head head;
  const tenure_view* view;
  tenure_keepset* keepset; /* score may be called here */
  uint32_t n_rows;
  int32_t first_pos;
  tenure_f32_view q_pre;  /* (n_rows, n_heads, head_dim) */
  tenure_f32_view q_post; /* (n_rows, n_heads, head_dim) */
  tenure_f32_view k_pre;  /* (n_rows, n_kv_heads, head_dim) */
  tenure_f32_view v;      /* (n_rows, n_kv_heads, head_dim) */
  tenure_f32_view k_post; /* (n_rows, n_kv_heads, head_dim) */
  tenure_f32_view hidden; /* (n_rows, n_embd) the attention's input, normed */
} tenure_evidence;

/* Every slot is required unless marked optional; an optional one may be NULL. */
typedef struct tenure_policy_api {
  tenure_head head; /* rev = 1 */

  /* [control] Optional. Called before create; config is valid for the call. */
  tenure_status (*needs)(const tenure_model_info* model, const tenure_config* config, tenure_needs* out,
                         tenure_error* error);
  /* [control] Optional. model lives as long as the policy; config is valid for the call. *out may stay NULL: nothing to
   * remember. It is then the `self` of every hook, as without this one. */
  tenure_status (*create)(const tenure_host* host, const tenure_model_info* model, const tenure_config* config,
                          tenure_policy** out, tenure_error* error);
  /* [control] Required with create. After every sequence has ended. */
  void (*destroy)(tenure_policy* self);
  /* [seq] Optional: without it seq is NULL, and *out may stay NULL. State that grows with the sequence belongs into the
   * declared blocks. A forked sequence begins with info->forked. */
  tenure_status (*begin)(tenure_policy* self, const tenure_call* call, const tenure_sequence_info* info, tenure_seq** out,
                         tenure_error* error);
  /* [seq] Optional. For every sequence that began, seq NULL or not. */
  void (*end)(tenure_policy* self, tenure_seq* seq);
  /* [seq] Optional. Before a chunk or every `period`-th step is run: ids (n) will be fed at first_pos. The view is of all
   * layers. Called only if needs say rebuild. */
  tenure_status (*prepare)(tenure_policy* self, const tenure_call* call, const tenure_view* view, const int32_t* ids,
                           uint32_t n, int32_t first_pos, tenure_keepset* keepset, tenure_error* error);
  /* [seq] Optional. See tenure_evidence. Layer by layer; with granularity token once with TENURE_ALL_LAYERS, but rows
   * always come by layer. Mass: for all sequences that finished a chunk or made a step, over their budget or not; what is
   * cached: for those at a decision. statuses (n), all TENURE_OK: one answer a sequence; the call's own status fails them
   * all. */
  tenure_status (*observe)(tenure_policy* self, const tenure_call* call, uint32_t layer, uint32_t n,
                           const tenure_evidence* const* evidence, tenure_status* statuses, tenure_error* error);
  /* [seq] Optional. At a decision, for the sequences that are over their budget: per layer, after the layer's observe, or once
   * with TENURE_ALL_LAYERS after all of them (granularity token, budget scope global). May call score or keep; keep wins. Neither said now: the
   * last scores decide; never said: keep all, which over the budget is an error. */
  tenure_status (*select)(tenure_policy* self, const tenure_call* call, uint32_t layer, uint32_t n,
                          const tenure_view* const* views, tenure_keepset* const* keepsets, tenure_status* statuses,
                          tenure_error* error);
} tenure_policy_api;

#ifdef __cplusplus
}
#endif

#endif
