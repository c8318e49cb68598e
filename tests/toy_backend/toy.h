/* A backend in plain C for tests: scalar double arithmetic, a page unlike the CPU backend's, and a stream
 * that is run later by a thread of its own, so that a host that forgets synchronize() or changes an array too
 * early is caught. Small structs named in a call are copied when it is enqueued; arrays are read when the op
 * runs.
 */
#ifndef TOY_H
#define TOY_H

#include <pthread.h>
#include <stdbool.h>
#include <stddef.h>
#include <tenure/backend.h>

enum { TOY_PAGE_SLOTS = 8, TOY_PAGE_ALIGNMENT = 32, TOY_MAX_HEAD_DIM = 256, TOY_QUEUE = 256 };

/* ---- types ---- */
bool toy_is_weight_type(uint32_t dtype);
uint64_t toy_row_bytes(uint32_t dtype, uint64_t n); /* of n elements; 0 for types or n that do not fit */
void toy_decode(uint32_t dtype, const void* from, uint64_t n, float* to);
uint32_t toy_cache_bytes(uint32_t dtype); /* of a cached element; 0 for types a page cannot hold */
void toy_store(uint32_t dtype, void* to, double value);
double toy_load(uint32_t dtype, const void* from);

/* ---- weights ---- */
enum { TOY_N_ROLES = TENURE_WEIGHT_FFN_POST_NORM + 1 };

struct tenure_weights {
  tenure_backend* owner;
  uint32_t n_layers, n_embd, n_ff, n_vocab, n_heads;
  double norm_epsilon, embedding_scale;
  uint32_t activation;
  tenure_layer_info* layers;       /* (n_layers); rope_factors are copies */
  float* of_model[TOY_N_ROLES];    /* decoded, row-major; those of no layer */
  float* (*of_layer)[TOY_N_ROLES]; /* (n_layers) */
  uint64_t bytes;
};

tenure_status toy_weights_create(tenure_backend* self, const tenure_model_info* info, tenure_weights** out,
                                 tenure_error* error);
tenure_status toy_weights_add(tenure_weights* weights, const tenure_weight* weight, tenure_error* error);
tenure_status toy_weights_finish(tenure_weights* weights, uint64_t* bytes, tenure_error* error);
void toy_weights_free(tenure_weights* weights);
tenure_status toy_supports_weight(const tenure_backend* self, uint32_t role, uint32_t dtype);

/* ---- stream ---- */
typedef struct toy_op toy_op;
typedef tenure_status (*toy_run)(tenure_backend* self, const toy_op* op, tenure_error* error);

/* One enqueued call; each op reads the members its call has. */
struct toy_op {
  toy_run run;
  const char* name;
  tenure_forward forward;
  const tenure_weights* weights;
  const tenure_segment* segments;
  const void* array; /* (n) wants, moves, copies or rotations; or copy()'s source */
  uint64_t n;
  uint32_t layer;
  const float* in[2];
  void* out[4];
};

/* What ops compute in; sized by reserve(). */
typedef struct toy_scratch {
  double* row;     /* (widest row of the model) */
  double* up;      /* (n_ff) */
  double* added;   /* (n_embd) what a block adds to x */
  double* query;   /* (TOY_MAX_HEAD_DIM) */
  double* weights; /* (group, n_positions) softmax weights of the query heads of one KV head */
  uint32_t n_rows, n_segments, n_positions;
} toy_scratch;

typedef struct toy_allocation {
  struct toy_allocation* next;
  void* mapped;
  uint64_t mapped_bytes;
  void* data;
  uint64_t bytes;
} toy_allocation;

struct tenure_backend {
  pthread_t thread;
  pthread_mutex_t mutex;  /* guards everything down to failure */
  pthread_cond_t changed; /* signalled whenever the queue is */
  toy_op queue[TOY_QUEUE];
  uint64_t n_enqueued, n_done;
  bool quit;
  tenure_error failure; /* the first since the last synchronize; code 0 when there was none */
  toy_allocation* allocations;
  bool in_forward; /* the calling thread's */
  toy_scratch scratch;
};

tenure_status toy_fail(tenure_error* error, tenure_status code, const char* where, const char* format, ...)
    __attribute__((format(printf, 4, 5)));
/* Of a struct of a newer host: the members behind the known ones. */
bool toy_rest_is_zero(const void* given, uint32_t size, uint64_t known);
/* Until everything enqueued is done. */
void toy_wait(tenure_backend* self);

/* ---- memory ---- */
tenure_status toy_alloc(tenure_backend* self, uint64_t bytes, uint32_t kind, void** out, tenure_error* error);
void toy_free(tenure_backend* self, void* p);
void toy_free_all(tenure_backend* self);
tenure_status toy_reserve(tenure_backend* self, const tenure_weights* weights, uint32_t n_rows,
                          uint32_t n_segments, uint32_t n_positions, tenure_error* error);
/* Whether [p, p + bytes) lies in memory from alloc(). Locks. */
bool toy_owns(tenure_backend* self, const void* p, uint64_t bytes);

/* ---- ops, run by the stream's thread ---- */
tenure_status toy_run_begin(tenure_backend* self, const toy_op* op, tenure_error* error);
tenure_status toy_run_copy(tenure_backend* self, const toy_op* op, tenure_error* error);
tenure_status toy_run_embed(tenure_backend* self, const toy_op* op, tenure_error* error);
tenure_status toy_run_qkv(tenure_backend* self, const toy_op* op, tenure_error* error);
tenure_status toy_run_rope(tenure_backend* self, const toy_op* op, tenure_error* error);
tenure_status toy_run_append(tenure_backend* self, const toy_op* op, tenure_error* error);
tenure_status toy_run_attend(tenure_backend* self, const toy_op* op, tenure_error* error);
tenure_status toy_run_attn_out(tenure_backend* self, const toy_op* op, tenure_error* error);
tenure_status toy_run_mlp(tenure_backend* self, const toy_op* op, tenure_error* error);
tenure_status toy_run_head(tenure_backend* self, const toy_op* op, tenure_error* error);
tenure_status toy_run_moves(tenure_backend* self, const toy_op* op, tenure_error* error);
tenure_status toy_run_reads(tenure_backend* self, const toy_op* op, tenure_error* error);
tenure_status toy_run_copies(tenure_backend* self, const toy_op* op, tenure_error* error);
tenure_status toy_run_rotations(tenure_backend* self, const toy_op* op, tenure_error* error);

/* ---- lent to policies; run by the calling thread when the stream is idle ---- */
tenure_status toy_net_create(tenure_backend* self, const tenure_net_config* config, tenure_net** out, tenure_error* error);
void toy_net_destroy(tenure_backend* self, tenure_net* net);
tenure_status toy_net_run(tenure_backend* self, tenure_net* net, const tenure_net_rows* rows, tenure_error* error);
tenure_status toy_gemm(tenure_backend* self, const tenure_gemm* product, tenure_error* error);

double toy_activated(uint32_t activation, double x); /* TENURE_ACTIVATION_* */
/* Turns x (head_dim) by `angle_positions` positions. */
void toy_rotate(const tenure_layer_info* layer, double positions, double* x);
/* A page holds 8 slots one after the other, each its key row and then its value row. */
uint8_t* toy_slot(const tenure_kv_pool* pool, const uint32_t* pages, uint32_t head_dim, uint32_t slot);
bool toy_pages_are_ours(tenure_backend* self, const tenure_kv_pool* pool, const uint32_t* pages,
                        uint32_t n_slots);

#endif
