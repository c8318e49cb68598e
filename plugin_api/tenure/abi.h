/* Tenure plugin ABI 1 (draft): the words every other header is made of.
 *
 * Rules of all headers in this folder:
 *  - C11, only fixed-width integers, pointers and IEEE floats in structs; no hidden padding.
 *  - The first member of every table, argument and result struct is `tenure_head`. The side that fills a struct sets
 *    `head.struct_size = sizeof(it)`. A reader uses min(struct_size, its own sizeof) and takes absent members as zero.
 *    In an argument, members that it does not know must be zero: otherwise it answers TENURE_TOO_NEW. Slots of a table
 *    that it does not know it ignores.
 *  - Tables grow at the end only. A slot never moves, changes its signature or becomes NULL once required.
 *  - Views (tenure_str, pointers inside call arguments) are valid until the call returns, unless said otherwise.
 *  - Nothing is freed across the border: who creates an object destroys it through its own table.
 *  - No exception, longjmp, exit or signal handler crosses the border.
 *
 * Thread tags, on every function:
 *  [any]      any thread, concurrently
 *  [control]  one at a time per library, never during another call into that library
 *  [seq]      one at a time per sequence; the OS thread may change between calls
 *  [stream]   the engine's thread; work is enqueued in order and may complete later
 *  [pure]     no state, any thread
 */
#ifndef TENURE_ABI_H
#define TENURE_ABI_H

#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

#define TENURE_ABI_MAJOR 1u
#define TENURE_ABI_MINOR 1u /* minors start at 1; 0 is malformed */

/* 0 is success; every failure is negative. The list is append-only. */
typedef int32_t tenure_status;
enum {
  TENURE_OK = 0,
  TENURE_INVALID_CONFIG = -1, /* a parameter's value cannot be used; `text` names the key */
  TENURE_INVALID_STATE = -2,  /* a call out of order */
  TENURE_UNIMPLEMENTED = -3,  /* an optional slot that this plugin leaves out */
  TENURE_UNSUPPORTED = -4,    /* a type, shape, enum value or evidence bit this plugin does not know */
  TENURE_TOO_NEW = -5,        /* the caller used a member this side does not know */
  TENURE_OOM_HOST = -6,
  TENURE_OOM_DEVICE = -7,
  TENURE_DEVICE_LOST = -8,
  TENURE_CANCELLED = -9,
  TENURE_DEADLINE = -10,
  TENURE_BAD_PLAN = -11, /* a KeepSet verb broke a rule; the slots it was about are as they were */
  TENURE_IO = -12,
  TENURE_EXCEPTION = -13, /* an exception was stopped at the border */
  TENURE_INTERNAL = -14,
  TENURE_NUMERIC = -15 /* NaN or infinity where a number is needed */
};

/* A view of UTF-8 text, not terminated. Owner: the side that made it; valid as long as its holder says. */
typedef struct tenure_str {
  const char* ptr;
  uint64_t len; /* bytes */
} tenure_str;

typedef struct tenure_head {
  uint32_t struct_size; /* bytes the filling side knows; never 0 */
  uint16_t rev;         /* revision of the table or struct; 0 where there is only one */
  uint16_t flags;       /* reserved, 0 */
} tenure_head;

/* Caller-allocated, may be NULL. The callee writes at most head.struct_size bytes, and only on failure. */
typedef struct tenure_error {
  tenure_head head;
  int32_t code;   /* the tenure_status returned */
  int32_t native; /* errno, CUDA error…; 0 when there is none */
  char where[64]; /* function or op, terminated */
  char text[432]; /* one line for a person: what, where, what is allowed; terminated */
} tenure_error;

/* Element types of weights, tensors and cache pages. Append-only. */
enum {
  TENURE_F32 = 0,
  TENURE_F16 = 1,
  TENURE_BF16 = 2,
  TENURE_Q8_0 = 3, /* blocks of 32: f16 scale, 32 x int8               (34 bytes) */
  TENURE_Q4_0 = 4, /* blocks of 32: f16 scale, 16 bytes of nibbles     (18 bytes) */
  TENURE_Q4_1 = 5, /* blocks of 32: f16 scale, f16 minimum, 16 bytes   (20 bytes) */
  TENURE_I32 = 6,
  TENURE_U8 = 7,
  TENURE_Q5_0 = 8,  /* blocks of 32: f16 scale, 4 bytes of fifth bits, 16 bytes of nibbles     (22 bytes) */
  TENURE_Q5_1 = 9,  /* blocks of 32: f16 scale, f16 minimum, 4 bytes of fifth bits, 16 bytes   (24 bytes) */
  /* K-quants, blocks of 256, bits as in GGUF: values d * scale * q - dmin * minimum; Q6_K: d * scale * (q - 32) */
  TENURE_Q4_K = 10, /* f16 d, f16 dmin, 8 scales and 8 minima of 6 bits, 128 bytes           (144 bytes) */
  TENURE_Q5_K = 11, /* as Q4_K, 32 bytes of fifth bits before the 128 of nibbles              (176 bytes) */
  TENURE_Q6_K = 12  /* 128 bytes of nibbles, 64 of bit pairs, 16 x int8 scale, f16 scale      (210 bytes) */
};

/* Zero-copy view of f32 data the host owns; valid for the call. Strides count elements. */
typedef struct tenure_f32_view {
  float* data;
  uint32_t n_dims;
  uint32_t reserved0;
  int64_t shape[4];
  int64_t stride[4];
} tenure_f32_view;

/* A validated, defaulted parameter value. Types of a manifest's [[param]]. Append-only. */
enum {
  TENURE_VALUE_BOOL = 1,     /* i: 0 or 1 */
  TENURE_VALUE_INT = 2,      /* i */
  TENURE_VALUE_FLOAT = 3,    /* f */
  TENURE_VALUE_STRING = 4,   /* s; also enum, path (absolute) and weights (as written) */
  TENURE_VALUE_LIST = 5,     /* list, n_list */
  TENURE_VALUE_SIZE = 6,     /* i: bytes */
  TENURE_VALUE_DURATION = 7  /* i: nanoseconds */
};

typedef struct tenure_value {
  uint32_t type;
  uint32_t n_list;
  int64_t i;
  double f;
  tenure_str s;
  const struct tenure_value* list;
} tenure_value;

/* A plugin's parameters in the order of its manifest; every one is present. Valid for the call. */
typedef struct tenure_config {
  tenure_head head;
  uint32_t n;
  uint32_t stride; /* bytes from one value to the next */
  const tenure_value* values;
} tenure_config;

#ifdef __cplusplus
}
#endif

#endif
