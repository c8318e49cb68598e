/* The plugin's table and its stream. */
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <tenure/entry.h>

#include "toy.h"

#define STR(text) \
  { text, sizeof(text) - 1 }

tenure_status toy_fail(tenure_error* error, tenure_status code, const char* where, const char* format, ...) {
  if (!error) return code;
  tenure_error full = {.head = error->head, .code = code};
  snprintf(full.where, sizeof full.where, "%s", where);
  va_list arguments;
  va_start(arguments, format);
  vsnprintf(full.text, sizeof full.text, format, arguments);
  va_end(arguments);
  memcpy(error, &full, error->head.struct_size < sizeof full ? error->head.struct_size : sizeof full);
  return code;
}

/* ---- stream ---- */

/* After a failure what follows is skipped until synchronize(): it would compute from what is not there. */
static void* run_stream(void* context) {
  tenure_backend* self = context;
  pthread_mutex_lock(&self->mutex);
  for (;;) {
    while (self->n_done == self->n_enqueued && !self->quit) pthread_cond_wait(&self->changed, &self->mutex);
    if (self->n_done == self->n_enqueued) break;
    const toy_op* op = &self->queue[self->n_done % TOY_QUEUE];
    tenure_error error = {.head = {.struct_size = sizeof error}};
    if (self->failure.code == TENURE_OK) {
      pthread_mutex_unlock(&self->mutex);
      const tenure_status status = op->run(self, op, &error);
      pthread_mutex_lock(&self->mutex);
      if (status != TENURE_OK) self->failure = error;
    }
    ++self->n_done;
    pthread_cond_broadcast(&self->changed);
  }
  pthread_mutex_unlock(&self->mutex);
  return NULL;
}

void toy_wait(tenure_backend* self) {
  pthread_mutex_lock(&self->mutex);
  while (self->n_done < self->n_enqueued) pthread_cond_wait(&self->changed, &self->mutex);
  pthread_mutex_unlock(&self->mutex);
}

static tenure_status enqueue(tenure_backend* self, const toy_op* op) {
  pthread_mutex_lock(&self->mutex);
  while (self->n_enqueued - self->n_done == TOY_QUEUE) pthread_cond_wait(&self->changed, &self->mutex);
  self->queue[self->n_enqueued++ % TOY_QUEUE] = *op;
  pthread_cond_broadcast(&self->changed);
  pthread_mutex_unlock(&self->mutex);
  return TENURE_OK;
}

static tenure_status synchronize(tenure_backend* self, tenure_error* error) {
  toy_wait(self);
  const tenure_error failure = self->failure;
  self->failure.code = TENURE_OK;
  return failure.code == TENURE_OK ? TENURE_OK
                                   : toy_fail(error, failure.code, failure.where, "%s", failure.text);
}

/* ---- device ---- */

static void destroy(tenure_backend* self) {
  pthread_mutex_lock(&self->mutex);
  self->quit = true;
  pthread_cond_broadcast(&self->changed);
  pthread_mutex_unlock(&self->mutex);
  pthread_join(self->thread, NULL);
  pthread_cond_destroy(&self->changed);
  pthread_mutex_destroy(&self->mutex);
  toy_free_all(self);
  free(self);
}

static tenure_status create(const tenure_host* host, const tenure_config* config, tenure_backend** out,
                            tenure_error* error) {
  (void)host;
  (void)config;
  tenure_backend* self = calloc(1, sizeof *self);
  if (!self) return toy_fail(error, TENURE_OOM_HOST, "create", "out of memory");
  pthread_mutex_init(&self->mutex, NULL);
  pthread_cond_init(&self->changed, NULL);
  const int failed = pthread_create(&self->thread, NULL, run_stream, self);
  if (failed) {
    free(self);
    const tenure_status status =
        toy_fail(error, TENURE_OOM_HOST, "create", "no thread: %s", strerror(failed));
    if (error && error->head.struct_size >= sizeof *error) error->native = failed;
    return status;
  }
  *out = self;
  return TENURE_OK;
}

static tenure_status properties(const tenure_backend* self, tenure_backend_properties* out,
                                tenure_error* error) {
  (void)self;
  (void)error;
  tenure_backend_properties known = {
      .head = out->head,
      .device = STR("toy, one thread"),
      .code_path = STR("plain"),
      .batch_rows = 48,
      .evidence = TENURE_EVIDENCE_Q_PRE | TENURE_EVIDENCE_K_PRE | TENURE_EVIDENCE_V | TENURE_EVIDENCE_K_POST |
                  TENURE_EVIDENCE_HIDDEN | TENURE_EVIDENCE_ATTENTION_MASS | TENURE_EVIDENCE_TOKEN_IDS |
                  TENURE_EVIDENCE_CACHED_K | TENURE_EVIDENCE_CACHED_V | TENURE_EVIDENCE_Q_POST,
      .host_visible = 1,
      .row_granularity = 1,
      .slot_granularity = 1};
  memcpy(out, &known, out->head.struct_size < sizeof known ? out->head.struct_size : sizeof known);
  return TENURE_OK;
}

static tenure_status page_layout(const tenure_backend* self, uint32_t head_dim, uint32_t k_type,
                                 uint32_t v_type, tenure_page_layout* out, tenure_error* error) {
  (void)self;
  if (toy_cache_bytes(k_type) == 0 || toy_cache_bytes(v_type) == 0 || head_dim == 0 ||
      head_dim > TOY_MAX_HEAD_DIM) {
    return toy_fail(error, TENURE_UNSUPPORTED, "page_layout",
                    "keys and values are f32, f16 or bf16, head_dim 1 to 256");
  }
  const uint64_t bytes =
      (uint64_t)TOY_PAGE_SLOTS * head_dim * (toy_cache_bytes(k_type) + toy_cache_bytes(v_type));
  tenure_page_layout known = {
      .head = out->head,
      .page_slots = TOY_PAGE_SLOTS,
      .alignment = TOY_PAGE_ALIGNMENT,
      .page_bytes = (bytes + TOY_PAGE_ALIGNMENT - 1) / TOY_PAGE_ALIGNMENT * TOY_PAGE_ALIGNMENT};
  memcpy(out, &known, out->head.struct_size < sizeof known ? out->head.struct_size : sizeof known);
  return TENURE_OK;
}

static void weights_destroy(tenure_weights* weights) {
  toy_wait(weights->owner);
  toy_weights_free(weights);
}

/* ---- calls of the stream ---- */

static tenure_status copy(tenure_backend* self, void* dst, const void* src, uint64_t bytes,
                          uint32_t direction, tenure_error* error) {
  if (direction > TENURE_COPY_ON_DEVICE)
    return toy_fail(error, TENURE_UNSUPPORTED, "copy", "direction %u is unknown", direction);
  return enqueue(self,
                 &(toy_op){.run = toy_run_copy, .name = "copy", .array = src, .n = bytes, .out = {dst}});
}

static tenure_status forward_begin(tenure_backend* self, const tenure_forward* forward, tenure_error* error) {
  if (self->in_forward)
    return toy_fail(error, TENURE_INVALID_STATE, "forward_begin", "a forward has not ended");
  if (forward->n_rows == 0 || forward->n_rows > self->scratch.n_rows ||
      forward->n_segments > self->scratch.n_segments) {
    return toy_fail(error, TENURE_INVALID_STATE, "forward_begin",
                    "%u rows in %u segments, reserved for %u in %u", forward->n_rows, forward->n_segments,
                    self->scratch.n_rows, self->scratch.n_segments);
  }
  self->in_forward = true;
  return enqueue(self, &(toy_op){.run = toy_run_begin, .name = "forward_begin", .forward = *forward});
}

static tenure_status forward_end(tenure_backend* self, const tenure_forward* forward, tenure_error* error) {
  (void)forward;
  if (!self->in_forward) return toy_fail(error, TENURE_INVALID_STATE, "forward_end", "no forward has begun");
  self->in_forward = false;
  return TENURE_OK;
}

/* An op of a forward, on one of its layers. */
static tenure_status enqueue_op(tenure_backend* self, const toy_op* op, tenure_error* error) {
  if (!self->in_forward) return toy_fail(error, TENURE_INVALID_STATE, op->name, "no forward has begun");
  if (op->layer >= op->forward.weights->n_layers)
    return toy_fail(error, TENURE_INVALID_STATE, op->name, "there is no layer %u", op->layer);
  return enqueue(self, op);
}

static tenure_status embed(tenure_backend* self, const tenure_forward* forward, float* x,
                           tenure_error* error) {
  return enqueue_op(self, &(toy_op){.run = toy_run_embed, .name = "embed", .forward = *forward, .out = {x}},
                    error);
}

static tenure_status qkv(tenure_backend* self, const tenure_forward* forward, uint32_t layer, const float* x,
                         float* q, float* k, float* v, float* hidden, tenure_error* error) {
  return enqueue_op(self,
                    &(toy_op){.run = toy_run_qkv,
                              .name = "qkv",
                              .forward = *forward,
                              .layer = layer,
                              .in = {x},
                              .out = {q, k, v, hidden}},
                    error);
}

static tenure_status rope(tenure_backend* self, const tenure_forward* forward, uint32_t layer, const float* q,
                          const float* k, float* q_out, float* k_out, tenure_error* error) {
  return enqueue_op(self,
                    &(toy_op){.run = toy_run_rope,
                              .name = "rope",
                              .forward = *forward,
                              .layer = layer,
                              .in = {q, k},
                              .out = {q_out, k_out}},
                    error);
}

static tenure_status cache_append(tenure_backend* self, const tenure_forward* forward, uint32_t layer,
                                  const tenure_segment* segments, const float* k, const float* v,
                                  tenure_error* error) {
  return enqueue_op(self,
                    &(toy_op){.run = toy_run_append,
                              .name = "cache_append",
                              .forward = *forward,
                              .layer = layer,
                              .segments = segments,
                              .in = {k, v}},
                    error);
}

static tenure_status attend(tenure_backend* self, const tenure_forward* forward, uint32_t layer,
                            const tenure_segment* segments, const float* q, float* out, tenure_error* error) {
  return enqueue_op(self,
                    &(toy_op){.run = toy_run_attend,
                              .name = "attend",
                              .forward = *forward,
                              .layer = layer,
                              .segments = segments,
                              .in = {q},
                              .out = {out}},
                    error);
}

static tenure_status attn_out(tenure_backend* self, const tenure_forward* forward, uint32_t layer,
                              const float* in, float* x, tenure_error* error) {
  return enqueue_op(self,
                    &(toy_op){.run = toy_run_attn_out,
                              .name = "attn_out",
                              .forward = *forward,
                              .layer = layer,
                              .in = {in},
                              .out = {x}},
                    error);
}

static tenure_status mlp(tenure_backend* self, const tenure_forward* forward, uint32_t layer, float* x,
                         tenure_error* error) {
  return enqueue_op(
      self, &(toy_op){.run = toy_run_mlp, .name = "mlp", .forward = *forward, .layer = layer, .out = {x}},
      error);
}

static tenure_status head_logits(tenure_backend* self, const tenure_forward* forward, const float* x,
                                 uint32_t n_wants, const tenure_want* wants, tenure_error* error) {
  return enqueue_op(self,
                    &(toy_op){.run = toy_run_head,
                              .name = "head_logits",
                              .forward = *forward,
                              .array = wants,
                              .n = n_wants,
                              .in = {x}},
                    error);
}

static tenure_status cache_move(tenure_backend* self, uint32_t n, const tenure_kv_moves* moves,
                                tenure_error* error) {
  (void)error;
  return enqueue(self, &(toy_op){.run = toy_run_moves, .name = "cache_move", .array = moves, .n = n});
}

static tenure_status cache_copy(tenure_backend* self, uint32_t n, const tenure_page_copy* copies,
                                tenure_error* error) {
  (void)error;
  return enqueue(self, &(toy_op){.run = toy_run_copies, .name = "cache_copy", .array = copies, .n = n});
}

static tenure_status cache_rotate(tenure_backend* self, const tenure_weights* weights, uint32_t n,
                                  const tenure_kv_rotation* rotations, tenure_error* error) {
  (void)error;
  return enqueue(
      self,
      &(toy_op){
          .run = toy_run_rotations, .name = "cache_rotate", .weights = weights, .array = rotations, .n = n});
}

static tenure_status cache_read(tenure_backend* self, uint32_t n, const tenure_kv_read* reads,
                                tenure_error* error) {
  (void)error;
  return enqueue(self, &(toy_op){.run = toy_run_reads, .name = "cache_read", .array = reads, .n = n});
}

/* ---- entry ---- */

static const tenure_backend_api api = {
    .head = {.struct_size = sizeof api, .rev = 1},
    .create = create,
    .destroy = destroy,
    .properties = properties,
    .supports_weight = toy_supports_weight,
    .page_layout = page_layout,
    .alloc = toy_alloc,
    .free = toy_free,
    .copy = copy,
    .synchronize = synchronize,
    .weights_create = toy_weights_create,
    .weights_add = toy_weights_add,
    .weights_finish = toy_weights_finish,
    .weights_destroy = weights_destroy,
    .reserve = toy_reserve,
    .forward_begin = forward_begin,
    .embed = embed,
    .qkv = qkv,
    .rope = rope,
    .cache_append = cache_append,
    .attend = attend,
    .attn_out = attn_out,
    .mlp = mlp,
    .head_logits = head_logits,
    .forward_end = forward_end,
    .cache_move = cache_move,
    .cache_copy = cache_copy,
    .cache_rotate = cache_rotate,
    .cache_read = cache_read,
    .net_create = toy_net_create,
    .net_destroy = toy_net_destroy,
    .net_run = toy_net_run,
    .gemm = toy_gemm,
};

static bool is(tenure_str a, const char* b) {
  return a.len == strlen(b) && memcmp(a.ptr, b, a.len) == 0;
}

static const void* query(const tenure_plugin* self, tenure_str interface_id, uint32_t min_rev) {
  (void)self;
  return is(interface_id, TENURE_BACKEND_INTERFACE) && min_rev <= 1 ? &api : NULL;
}

static const tenure_plugin plugin = {
    .head = {.struct_size = sizeof plugin}, .id = STR("toy"), .kind = STR("backend"), .query = query};
static const tenure_plugin* const plugins[] = {&plugin};
static const tenure_library library = {
    .head = {.struct_size = sizeof library},
    .abi_major = TENURE_ABI_MAJOR,
    .abi_minor_built = TENURE_ABI_MINOR,
    .abi_minor_min = 1,
    .n_plugins = 1,
    .id = STR("toy"),
    .version = STR("1.0.0"),
    .plugins = plugins,
};

const tenure_library* tenure_library_v1(void) {
  return &library;
}
