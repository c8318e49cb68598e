/* Backend, revision 1 (draft): a device that runs a forward pass over a mixed batch.
 *
 * A batch is a list of rows (tokens) cut into segments: consecutive rows of one sequence at consecutive positions.
 * Activations are f32, row-major, contiguous, in memory from alloc(). A backend has one in-order stream: calls tagged
 * [stream] enqueue and may return before the work is done. The host keeps every array named in an argument alive and
 * unchanged until the next synchronize(), which also reports errors of work enqueued before it. All other arrays
 * (ids, positions, segments, page tables, pos, mass, results) are host memory.
 *
 * Exactness: a row's results depend only on its own sequence, its segment's kind, the model and the code path chosen at
 * create(): never on the other rows, the number of rows, the thread count or the task split. Always, in every run.
 *
 * The cache: per (sequence, layer, KV head) a ragged list of pages of `page_slots` slots. Page contents are the
 * backend's own; the host hands out page indices: address = pool base + index * page_bytes. Keys are stored rotated.
 */
#ifndef TENURE_BACKEND_H
#define TENURE_BACKEND_H

#include <tenure/abi.h>
#include <tenure/host.h>
#include <tenure/model.h>

#ifdef __cplusplus
extern "C" {
#endif

#define TENURE_BACKEND_INTERFACE "tenure.backend/1"

typedef struct tenure_backend tenure_backend; /* one device; owner: the host, until destroy */
typedef struct tenure_weights tenure_weights; /* one model's packed weights on it */

/* ---- properties ---- */
enum {
  TENURE_EVIDENCE_Q_PRE = 1 << 0,          /* query rows before RoPE   (n_rows, n_heads, head_dim) */
  TENURE_EVIDENCE_K_PRE = 1 << 1,          /* key rows before RoPE     (n_rows, n_kv_heads, head_dim) */
  TENURE_EVIDENCE_V = 1 << 2,              /* value rows               (n_rows, n_kv_heads, head_dim) */
  TENURE_EVIDENCE_K_POST = 1 << 3,         /* key rows after RoPE      (n_rows, n_kv_heads, head_dim) */
  TENURE_EVIDENCE_HIDDEN = 1 << 4,         /* attention input rows, normed (n_rows, n_embd) */
  TENURE_EVIDENCE_ATTENTION_MASS = 1 << 5, /* softmax weight added to each slot, see tenure_kv_view.mass */
  TENURE_EVIDENCE_TOKEN_IDS = 1 << 6,      /* the sequence's token ids (the host has them) */
  TENURE_EVIDENCE_CACHED_K = 1 << 7,       /* keys of all slots as cached, rotated (n_slots, head_dim); cache_read */
  TENURE_EVIDENCE_CACHED_V = 1 << 8,       /* their values                         (n_slots, head_dim) */
  TENURE_EVIDENCE_Q_POST = 1 << 9          /* query rows after RoPE    (n_rows, n_heads, head_dim) */
};

typedef struct tenure_backend_properties {
  tenure_head head;
  tenure_str device;       /* for people: "AMD EPYC, 2 threads" */
  tenure_str code_path;    /* "avx512", "avx2", "scalar"… part of a run's identity */
  uint64_t memory_bytes;   /* what the device has; 0 = the process's own memory */
  uint32_t batch_rows;     /* rows it likes in one forward */
  uint32_t evidence;       /* TENURE_EVIDENCE_* bits it can supply; a policy that needs another is refused */
  uint32_t host_visible;   /* 1: the host may read and write memory from alloc() after synchronize() */
  uint32_t row_granularity; /* a chunk is cut only at multiples of this many rows from its start */
  /* A power of two. Taking the first slot_granularity slots of a head away, or a multiple, changes no bit of rows that see
   * none of them: how a layer with a window is trimmed. 0: no number does, so such a layer keeps everything. */
  uint32_t slot_granularity;
  uint32_t reserved0;
} tenure_backend_properties;

/* Pages of one (head_dim, k_type, v_type). */
typedef struct tenure_page_layout {
  tenure_head head;
  uint32_t page_slots; /* slots a page holds, a power of two */
  uint32_t alignment;  /* of a page's address and of the pool's base */
  uint64_t page_bytes; /* a multiple of alignment; keys and values together */
} tenure_page_layout;

/* ---- weights ---- a matrix (n_out, n_in) is n_out rows of n_in contiguous elements. */
enum {
  TENURE_WEIGHT_TOKEN_EMBD = 0, /* (n_vocab, n_embd) */
  TENURE_WEIGHT_OUTPUT_NORM = 1,
  TENURE_WEIGHT_OUTPUT = 2, /* (n_vocab, n_embd); not given when tied to TOKEN_EMBD */
  TENURE_WEIGHT_ATTN_NORM = 3,
  TENURE_WEIGHT_Q = 4, /* (n_heads * head_dim, n_embd) */
  TENURE_WEIGHT_K = 5, /* (n_kv_heads * head_dim, n_embd) */
  TENURE_WEIGHT_V = 6,
  TENURE_WEIGHT_ATTN_OUT = 7, /* (n_embd, n_heads * head_dim) */
  TENURE_WEIGHT_FFN_NORM = 8,
  TENURE_WEIGHT_FFN_GATE = 9, /* (n_ff, n_embd) */
  TENURE_WEIGHT_FFN_UP = 10,
  TENURE_WEIGHT_FFN_DOWN = 11, /* (n_embd, n_ff) */
  TENURE_WEIGHT_Q_BIAS = 12,
  TENURE_WEIGHT_K_BIAS = 13,
  TENURE_WEIGHT_V_BIAS = 14,
  TENURE_WEIGHT_Q_NORM = 15, /* (head_dim) gain of a norm over each query head, before RoPE */
  TENURE_WEIGHT_K_NORM = 16,
  TENURE_WEIGHT_ATTN_POST_NORM = 17, /* (n_embd) gain of a norm over the block's output, before it is added to x */
  TENURE_WEIGHT_FFN_POST_NORM = 18
};

typedef struct tenure_weight {
  tenure_head head;
  uint32_t role;
  uint32_t layer; /* TENURE_ALL_LAYERS for the three that belong to none */
  uint32_t dtype; /* norms and biases: F32 */
  uint32_t reserved0;
  uint64_t n_out;
  uint64_t n_in; /* 1-D tensors: n_out = 1 */
  const void* data;
  uint64_t bytes;
} tenure_weight;

/* ---- a forward ---- */
enum { TENURE_ROWS_PREFILL = 0, TENURE_ROWS_DECODE = 1, TENURE_ROWS_REBUILD = 2 };

/* For the slots of this run the query is rotated by (row position - shift) instead of the row's position. */
typedef struct tenure_kv_run {
  uint32_t n_slots;
  int32_t shift;
} tenure_kv_run;

typedef struct tenure_kv_pool {
  void* base;
  uint64_t page_bytes;
  uint32_t k_type; /* TENURE_F32, F16, BF16; Q8_0, Q4_1 where page_layout takes them: cache_append quantises each row in
                      groups of 32, and no other op but cache_rotate ever does. Keys of Q4_1 have a fifth bit a code */
  uint32_t v_type;
} tenure_kv_pool;

/* One (segment, KV head) of one layer. */
typedef struct tenure_kv_view {
  const uint32_t* pages;     /* page indices, at least ceil(n_slots / page_slots) */
  const int32_t* pos;        /* (n_slots) position of each slot; filled by the host for appended slots too */
  float* mass;               /* (n_slots) attend adds to it, or NULL */
  const tenure_kv_run* runs; /* (n_runs) in slot order, n_slots in total, in any number; NULL = one run of shift 0 */
  const uint8_t* write_mask; /* (segment.n_rows) 0 = this head holds the row's position already; NULL = all written */
  uint32_t n_runs;
  uint32_t n_slots;    /* including the rows of this forward */
  uint32_t n_unmasked; /* leading slots whose position is below the segment's first: no row needs a check */
  uint32_t first_slot; /* slot of the segment's first written row; written rows take consecutive slots */
} tenure_kv_view;

typedef struct tenure_segment {
  uint32_t kind;      /* TENURE_ROWS_*: may choose another kernel; the number of rows may not */
  uint32_t first_row; /* in the batch */
  uint32_t n_rows;
  int32_t first_pos;    /* row i is at first_pos + i */
  uint32_t n_mass_rows; /* the last so many rows add to mass; UINT32_MAX = all */
  uint32_t reserved0;
  const tenure_kv_pool* pool;
  const tenure_kv_view* heads; /* (n_kv_heads of the layer) */
} tenure_segment;

typedef struct tenure_forward {
  tenure_head head;
  const tenure_weights* weights;
  uint32_t n_rows;
  uint32_t n_segments;
  const int32_t* ids;       /* (n_rows) token ids */
  const int32_t* positions; /* (n_rows) */
  /* (n_rows) the backend writes the first layer whose input row is not finite, n_layers for the head's input, else -1 */
  int32_t* first_bad_layer;
  const uint8_t* kinds; /* (n_rows) TENURE_ROWS_* of each row's segment, which may have kernels of its own; NULL = PREFILL */
} tenure_forward;

/* What somebody wants of a row's logits. */
enum { TENURE_WANT_ARGMAX = 1, TENURE_WANT_LOGSUMEXP = 2, TENURE_WANT_LOGITS_AT = 4, TENURE_WANT_FULL = 8 };

typedef struct tenure_logits {
  int32_t argmax; /* ties to the lower id */
  float max_logit;
  double logsumexp;
  int32_t status; /* TENURE_OK or TENURE_NUMERIC */
  uint32_t reserved0;
} tenure_logits;

typedef struct tenure_want {
  uint32_t row;
  uint32_t flags; /* TENURE_WANT_* */
  uint32_t n_ids;
  uint32_t reserved0;
  const int32_t* ids;    /* (n_ids) for LOGITS_AT */
  float* logits_at;      /* (n_ids) */
  float* full;           /* (n_vocab) for FULL */
  tenure_logits* result; /* always written */
} tenure_want;

/* ---- moves of cache contents ---- */
typedef struct tenure_kv_move {
  uint32_t src; /* slots */
  uint32_t dst;
} tenure_kv_move;

/* Moves inside one (sequence, layer, KV head), done in order, in place: src > dst in each, and no src has been a dst. */
typedef struct tenure_kv_moves {
  const tenure_kv_pool* pool;
  const uint32_t* pages;
  const tenure_kv_move* moves;
  uint32_t n_moves;
  uint32_t head_dim;
} tenure_kv_moves;

/* Re-rotate cached keys: slot i turns by delta[i] positions. */
typedef struct tenure_kv_rotation {
  const tenure_kv_pool* pool;
  const uint32_t* pages;
  const int32_t* delta; /* (n_slots) */
  uint32_t n_slots;
  uint32_t layer;
} tenure_kv_rotation;

/* What one (sequence, layer, KV head) holds in slots [0, n_slots), as f32: keys rotated as they are stored. */
typedef struct tenure_kv_read {
  const tenure_kv_pool* pool;
  const uint32_t* pages;
  float* k; /* (n_slots, head_dim) host memory, or NULL */
  float* v; /* (n_slots, head_dim) host memory, or NULL */
  uint32_t n_slots;
  uint32_t head_dim;
} tenure_kv_read;

typedef struct tenure_page_copy {
  const tenure_kv_pool* pool;
  uint32_t src; /* page indices */
  uint32_t dst;
} tenure_page_copy;

/* ---- the table ---- every slot is required, but those at the end that say otherwise. */
enum { TENURE_MEMORY_ACTIVATIONS = 0, TENURE_MEMORY_POOL = 1 /* large, touched page by page, zero at first */ };
enum { TENURE_COPY_TO_DEVICE = 0, TENURE_COPY_TO_HOST = 1, TENURE_COPY_ON_DEVICE = 2 };

typedef struct tenure_backend_api {
  tenure_head head; /* rev = 1 */

  /* [control] config: the manifest's parameters in their order; valid for the call. `host` outlives the backend. *out is
   * not NULL. */
  tenure_status (*create)(const tenure_host* host, const tenure_config* config, tenure_backend** out, tenure_error* error);
  /* [control] Everything that alloc and weights_create gave is gone by then. */
  void (*destroy)(tenure_backend* self);
  /* [any] strings live as long as the backend */
  tenure_status (*properties)(const tenure_backend* self, tenure_backend_properties* out, tenure_error* error);
  /* [any] TENURE_OK or TENURE_UNSUPPORTED: can weights of this role and dtype be used? */
  tenure_status (*supports_weight)(const tenure_backend* self, uint32_t role, uint32_t dtype);
  /* [any] TENURE_UNSUPPORTED for types or sizes it cannot keep */
  tenure_status (*page_layout)(const tenure_backend* self, uint32_t head_dim, uint32_t k_type, uint32_t v_type,
                               tenure_page_layout* out, tenure_error* error);

  /* [control] kind: TENURE_MEMORY_*. Aligned to 64 bytes at least, a pool to 2 MiB. A pool is as large as [engine] memory
   * and mostly untouched, so its bytes should cost nothing before they are used. */
  tenure_status (*alloc)(tenure_backend* self, uint64_t bytes, uint32_t kind, void** out, tenure_error* error);
  /* [control] p from alloc. Work that is enqueued may still use it: wait for it, or free later. */
  void (*free)(tenure_backend* self, void* p);
  /* [stream] direction: TENURE_COPY_* */
  tenure_status (*copy)(tenure_backend* self, void* dst, const void* src, uint64_t bytes, uint32_t direction,
                        tenure_error* error);
  /* [stream] Blocks until everything enqueued is done; returns its first failure, with the op's name in error.where. What
   * was enqueued behind a failure need not run; afterwards the backend takes work again. */
  tenure_status (*synchronize)(tenure_backend* self, tenure_error* error);

  /* [control] The weights come once, in any order; the backend copies or repacks during weights_add, and the source may
   * vanish when it returns. weights_finish checks that all are there. `info` is copied. */
  tenure_status (*weights_create)(tenure_backend* self, const tenure_model_info* info, tenure_weights** out,
                                  tenure_error* error);
  tenure_status (*weights_add)(tenure_weights* weights, const tenure_weight* weight, tenure_error* error);
  /* bytes: what they take as packed. */
  tenure_status (*weights_finish)(tenure_weights* weights, uint64_t* bytes, tenure_error* error);
  /* Also of unfinished weights. As with free, enqueued work may still use them. */
  void (*weights_destroy)(tenure_weights* weights);

  /* [control] Before forwards: the most rows (at most one want each) and segments one forward will have, and the most
   * positions any row will reach. Nothing is allocated in forwards that stay inside. Comes again, between forwards, when a
   * longer request does. */
  tenure_status (*reserve)(tenure_backend* self, const tenure_weights* weights, uint32_t n_rows, uint32_t n_segments,
                           uint32_t n_positions, tenure_error* error);

  /* [stream] A forward: begin, embed, per layer {qkv, rope, cache_append, attend, attn_out, mlp}, head if anything is wanted,
   * end. After an op that fails at once only end follows; after a begin that fails, nothing. */
  tenure_status (*forward_begin)(tenure_backend* self, const tenure_forward* forward, tenure_error* error);
  /* x (n_rows, n_embd) = embedding rows of forward.ids * embedding_scale */
  tenure_status (*embed)(tenure_backend* self, const tenure_forward* forward, float* x, tenure_error* error);
  /* q (n_rows, n_heads * head_dim), k, v (n_rows, n_kv_heads * head_dim) = projections of rms_norm(x) [+ biases] [, each
   * head of q and k rms_normed by Q_NORM and K_NORM], before RoPE. hidden (n_rows, n_embd): the normed rows, or NULL when nobody wants them. */
  tenure_status (*qkv)(tenure_backend* self, const tenure_forward* forward, uint32_t layer, const float* x, float* q,
                       float* k, float* v, float* hidden, tenure_error* error);
  /* q_out and k_out may be q and k. */
  tenure_status (*rope)(tenure_backend* self, const tenure_forward* forward, uint32_t layer, const float* q, const float* k,
                        float* q_out, float* k_out, tenure_error* error);
  /* k, v (n_rows, n_kv_heads * head_dim), k rotated; segments (forward.n_segments), here and in attend. Row i of a segment
   * goes to the next slot from first_slot on, unless write_mask[i] is 0. */
  tenure_status (*cache_append)(tenure_backend* self, const tenure_forward* forward, uint32_t layer,
                                const tenure_segment* segments, const float* k, const float* v, tenure_error* error);
  /* out (n_rows, n_heads * head_dim). A row at position p sees the slots of its sequence with pos <= p, and, in a layer
   * with a window w, pos > p - w. Mass: for every slot the sum over the rows that count of the mean over the KV head's
   * query heads of the softmax weight. It never changes `out`. A row that sees no slot of a head gives zeros. */
  tenure_status (*attend)(tenure_backend* self, const tenure_forward* forward, uint32_t layer,
                          const tenure_segment* segments, const float* q, float* out, tenure_error* error);
  /* x += in * W_o [, rms_normed by ATTN_POST_NORM before it is added] */
  tenure_status (*attn_out)(tenure_backend* self, const tenure_forward* forward, uint32_t layer, const float* in, float* x,
                            tenure_error* error);
  /* x += W_down (activation(W_gate h) * (W_up h)) [, rms_normed by FFN_POST_NORM], h = rms_norm(x) */
  tenure_status (*mlp)(tenure_backend* self, const tenure_forward* forward, uint32_t layer, float* x, tenure_error* error);
  /* rms_norm(x) * W_output for the rows that are wanted. Results are there after synchronize(). */
  tenure_status (*head_logits)(tenure_backend* self, const tenure_forward* forward, const float* x, uint32_t n_wants,
                               const tenure_want* wants, tenure_error* error);
  tenure_status (*forward_end)(tenure_backend* self, const tenure_forward* forward, tenure_error* error);

  /* [stream] Between forwards, or inside one for a layer whose attend is enqueued. */
  tenure_status (*cache_move)(tenure_backend* self, uint32_t n, const tenure_kv_moves* moves, tenure_error* error);
  tenure_status (*cache_copy)(tenure_backend* self, uint32_t n, const tenure_page_copy* copies, tenure_error* error);
  tenure_status (*cache_rotate)(tenure_backend* self, const tenure_weights* weights, uint32_t n,
                                const tenure_kv_rotation* rotations, tenure_error* error);
  /* Results are there after synchronize(). */
  tenure_status (*cache_read)(tenure_backend* self, uint32_t n, const tenure_kv_read* reads, tenure_error* error);

  /* Optional from here on: what policies are lent (host.h), done on return. A service whose slot is NULL is not lent. */

  /* tenure.nn/1: all three or none. [control], [control], [stream] */
  tenure_status (*net_create)(tenure_backend* self, const tenure_net_config* config, tenure_net** out, tenure_error* error);
  void (*net_destroy)(tenure_backend* self, tenure_net* net);
  tenure_status (*net_run)(tenure_backend* self, tenure_net* net, const tenure_net_rows* rows, tenure_error* error);
  /* [stream] tenure.gemm/1 */
  tenure_status (*gemm)(tenure_backend* self, const tenure_gemm* product, tenure_error* error);
} tenure_backend_api;

#ifdef __cplusplus
}
#endif

#endif
