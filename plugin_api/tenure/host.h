/* What the host lends to plugins: services by id, each with its own table. A service that a plugin asks for and the host
 * lacks is NULL; log, mem, exec and rng are always there. A policy is created with a tenure_host of its own, which also
 * reaches what the policy works with: nn and gemm are there when its backend has them, weights when its manifest has a
 * parameter of type "weights".
 */
#ifndef TENURE_HOST_H
#define TENURE_HOST_H

#include <tenure/abi.h>

#ifdef __cplusplus
extern "C" {
#endif

typedef struct tenure_host {
  tenure_head head;
  uint32_t abi_major;
  uint32_t abi_minor; /* the agreed minor: min(host, plugin built) */
  void* ctx;          /* the host's; pass the tenure_host itself to services */
  /* [any] The table of a service, or NULL: unknown, or min_rev above 1. Static for the life of the process. */
  const void* (*query)(const struct tenure_host* self, tenure_str service_id, uint32_t min_rev);
} tenure_host;

/* ---- tenure.log/1 ---- */
enum { TENURE_LOG_ERROR = 1, TENURE_LOG_WARNING = 2, TENURE_LOG_INFO = 3, TENURE_LOG_DEBUG = 4 };
typedef struct tenure_log_service {
  tenure_head head;
  /* [any] One line, without a newline; copied. Goes to stderr with the plugin's id. */
  void (*write)(const tenure_host* host, uint32_t level, tenure_str text);
} tenure_log_service;

/* ---- tenure.mem/1 ---- Host memory, counted for each library. For what does not grow with tokens: state that does belongs
 * into the blocks that needs() declares, which kv.policy_bytes and forks know. */
typedef struct tenure_mem_service {
  tenure_head head;
  /* [any] Not zeroed. NULL when the plugin's allowance is used up. alignment: a power of two <= 4096. */
  void* (*alloc)(const tenure_host* host, uint64_t bytes, uint64_t alignment);
  /* [any] p from alloc, or NULL. */
  void (*free)(const tenure_host* host, void* p);
} tenure_mem_service;

/* ---- tenure.exec/1 ---- The host's threads: one oneTBB arena, entered by the thread that called the plugin. Not for threads
 * of the plugin's own. */
typedef void (*tenure_task)(void* ctx, uint32_t task, uint32_t worker); /* worker < n_workers; must not throw */
typedef struct tenure_exec_service {
  tenure_head head;
  /* [any] Workers a parallel_for may use, the calling thread included. Constant. */
  uint32_t (*n_workers)(const tenure_host* host);
  /* [stream], [seq] or [control], and not from inside a task. Runs task 0..n_tasks-1, each once, and returns when all are
   * done. A worker takes the next free task, so no task may wait for another. n_tasks < 2^20. Costs ~0.3 us while hot,
   * ~20 us while cold. */
  void (*parallel_for)(const tenure_host* host, uint32_t n_tasks, tenure_task fn, void* ctx);
  /* [stream] Between hot_begin and hot_end the workers spin for their next region, then yield, then sleep. A backend calls
   * them in forward_begin and forward_end. */
  void (*hot_begin)(const tenure_host* host);
  void (*hot_end)(const tenure_host* host);
} tenure_exec_service;

/* ---- tenure.rng/1 ---- Counter-based: the value depends on its arguments only, so it survives forks and resumes. */
typedef struct tenure_rng_service {
  tenure_head head;
  /* [pure] 64 random bits. */
  uint64_t (*bits)(uint64_t seed, uint64_t counter);
  /* [pure] Uniform in [0, 1), a multiple of 2^-24. */
  float (*uniform)(uint64_t seed, uint64_t counter);
} tenure_rng_service;

/* ---- tenure.weights/1 ---- The tensors of the file that the policy's parameter of type "weights" names. The host has found,
 * opened and checked it: it was made for this policy and model, its types are known, every value is finite. */
typedef struct tenure_tensor {
  tenure_head head;
  tenure_str name; /* this and data live as long as the policy */
  uint32_t dtype;  /* TENURE_F32, F16, BF16 */
  uint32_t n_dims; /* 1 to 4 */
  uint64_t shape[4]; /* (n_dims) rows first */
  const void* data;  /* row-major, contiguous, aligned to its element's size */
  uint64_t bytes;
} tenure_tensor;

/* The tensor "layers.{layer}.{name}", or "{name}" when the layer is TENURE_ALL_LAYERS. */
typedef struct tenure_tensor_request {
  tenure_head head;
  uint32_t layer;
  uint32_t n_dims;
  tenure_str name;
  uint64_t shape[4]; /* (n_dims) it must have; 0: any number */
} tenure_tensor_request;

typedef struct tenure_weights_service {
  tenure_head head;
  /* [any] *out: the caller's, its head set. TENURE_INVALID_CONFIG: the file has no such tensor, or one of another shape; the
   * error says which. */
  tenure_status (*tensor)(const tenure_host* host, const tenure_tensor_request* request, tenure_tensor* out, tenure_error* error);
} tenure_weights_service;

/* ---- tenure.nn/1 ---- Small networks by the policy's backend: matrices one after the other, an activation between them. Packed
 * once, and run by the kernels that run the model: a head of two matrices on every token costs a few percent of prefill. */
typedef struct tenure_net tenure_net; /* owner: who created it, until net_destroy */

typedef struct tenure_matrix {
  uint32_t dtype; /* TENURE_F32: products in f32; F16, BF16: they may be of numbers rounded to bf16 */
  uint32_t reserved0;
  uint64_t n_out;
  uint64_t n_in;
  const void* data;  /* (n_out, n_in) row-major, contiguous */
  const void* bias;  /* (n_out) of the same dtype, added to the products; or NULL */
} tenure_matrix;

typedef struct tenure_net_config {
  tenure_head head;
  uint32_t n_matrices; /* 1 to 8; one's n_out is the next one's n_in */
  uint32_t activation; /* TENURE_ACTIVATION_* between two matrices; behind the last there is none */
  const tenure_matrix* matrices;
} tenure_net_config;

typedef struct tenure_net_rows {
  tenure_head head;
  uint32_t n_rows;
  uint32_t n_parts; /* 1 to 8 */
  /* (n_parts) side by side they are the rows that go in: each (n_rows, ...), contiguous but for stride[0], together n_in
   * elements a row. Row views of tenure_evidence are such parts. */
  const tenure_f32_view* parts;
  float* out; /* (n_rows, n_out of the last matrix) */
} tenure_net_rows;

typedef struct tenure_nn_service {
  tenure_head head;
  /* [control] Copies what it needs of the matrices. */
  tenure_status (*net_create)(const tenure_host* host, const tenure_net_config* config, tenure_net** out, tenure_error* error);
  /* [control] At the latest in the policy's destroy. */
  void (*net_destroy)(const tenure_host* host, tenure_net* net);
  /* [seq] or [control], and not from inside a task. out is there on return. A row's result depends on that row alone: not on
   * the others, their number, or threads. Host memory all. */
  tenure_status (*net_run)(const tenure_host* host, tenure_net* net, const tenure_net_rows* rows, tenure_error* error);
} tenure_nn_service;

/* ---- tenure.gemm/1 ---- Products of matrices by the policy's backend: what training is made of. */

/* c = alpha * op(a) op(b) + beta * c, with op(a) (m, k) and op(b) (k, n). Row-major f32 in host memory; a row begins so many
 * elements behind the one before. c overlaps neither a nor b. Any of m, n, k may be 0. */
typedef struct tenure_gemm {
  tenure_head head;
  uint32_t transpose_a; /* 1: a is stored (k, m) */
  uint32_t transpose_b; /* 1: b is stored (n, k) */
  uint64_t m;
  uint64_t n;
  uint64_t k;
  float alpha;
  float beta;      /* 0: c is written, whatever was in it */
  const float* a;
  uint64_t a_stride; /* elements, >= the stored row */
  const float* b;
  uint64_t b_stride;
  float* c;
  uint64_t c_stride;
} tenure_gemm;

typedef struct tenure_gemm_service {
  tenure_head head;
  /* [seq] or [control], and not from inside a task. c is there on return. The same bits for the same sizes, strides and
   * values, on any number of threads of one machine; other sizes may round differently. */
  tenure_status (*gemm)(const tenure_host* host, const tenure_gemm* product, tenure_error* error);
} tenure_gemm_service;

#ifdef __cplusplus
}
#endif

#endif
