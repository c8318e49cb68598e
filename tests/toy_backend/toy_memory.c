/* Memory from alloc(), and what ops compute in. */
#define _DEFAULT_SOURCE
#include <stdlib.h>
#include <sys/mman.h>

#include "toy.h"

tenure_status toy_alloc(tenure_backend* self, uint64_t bytes, uint32_t kind, void** out,
                        tenure_error* error) {
  const uint64_t alignment = kind == TENURE_MEMORY_POOL ? (uint64_t)2 << 20 : 64;
  toy_allocation* made = malloc(sizeof *made);
  void* mapped = MAP_FAILED;
  if (made && bytes > 0 && bytes + alignment > bytes) {
    mapped = mmap(NULL, bytes + alignment, PROT_READ | PROT_WRITE,
                  MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
  }
  if (mapped == MAP_FAILED) {
    free(made);
    return toy_fail(error, TENURE_OOM_DEVICE, "alloc", "there are no %llu bytes", (unsigned long long)bytes);
  }
  void* data = (void*)(((uintptr_t)mapped + alignment - 1) / alignment * alignment);
  pthread_mutex_lock(&self->mutex);
  *made = (toy_allocation){.next = self->allocations,
                           .mapped = mapped,
                           .mapped_bytes = bytes + alignment,
                           .data = data,
                           .bytes = bytes};
  self->allocations = made;
  pthread_mutex_unlock(&self->mutex);
  *out = data;
  return TENURE_OK;
}

void toy_free(tenure_backend* self, void* p) {
  toy_wait(self);
  pthread_mutex_lock(&self->mutex);
  toy_allocation** link = &self->allocations;
  while (*link && (*link)->data != p) link = &(*link)->next;
  toy_allocation* found = *link;
  if (found) *link = found->next;
  pthread_mutex_unlock(&self->mutex);
  if (found) munmap(found->mapped, found->mapped_bytes);
  free(found);
}

bool toy_owns(tenure_backend* self, const void* p, uint64_t bytes) {
  pthread_mutex_lock(&self->mutex);
  bool owns = false;
  for (const toy_allocation* a = self->allocations; a && !owns; a = a->next) {
    const uintptr_t first = (uintptr_t)a->data;
    owns = (uintptr_t)p >= first && (uintptr_t)p - first + bytes <= a->bytes;
  }
  pthread_mutex_unlock(&self->mutex);
  return owns;
}

static double* grown(double* old, uint64_t n) {
  double* bigger = realloc(old, n * sizeof *bigger);
  if (!bigger) free(old);
  return bigger;
}

static uint32_t larger(uint32_t a, uint32_t b) {
  return a > b ? a : b;
}

tenure_status toy_reserve(tenure_backend* self, const tenure_weights* weights, uint32_t n_rows,
                          uint32_t n_segments, uint32_t n_positions, tenure_error* error) {
  toy_wait(self);
  toy_scratch* s = &self->scratch;
  s->n_rows = larger(s->n_rows, n_rows);
  s->n_segments = larger(s->n_segments, n_segments);
  s->n_positions = larger(s->n_positions, n_positions);
  uint64_t widest = weights->n_embd;
  for (uint32_t i = 0; i < weights->n_layers; ++i) {
    const uint64_t q = (uint64_t)weights->n_heads * weights->layers[i].head_dim;
    if (q > widest) widest = q;
  }
  s->row = grown(s->row, widest);
  s->up = grown(s->up, weights->n_ff);
  s->added = grown(s->added, weights->n_embd);
  s->query = grown(s->query, TOY_MAX_HEAD_DIM);
  s->weights = grown(s->weights, (uint64_t)weights->n_heads * s->n_positions);
  if (s->row && s->up && s->added && s->query && s->weights) return TENURE_OK;
  s->n_rows = 0;
  return toy_fail(error, TENURE_OOM_HOST, "reserve", "out of memory");
}

void toy_free_all(tenure_backend* self) {
  while (self->allocations) {
    toy_allocation* next = self->allocations->next;
    munmap(self->allocations->mapped, self->allocations->mapped_bytes);
    free(self->allocations);
    self->allocations = next;
  }
  free(self->scratch.row);
  free(self->scratch.up);
  free(self->scratch.added);
  free(self->scratch.query);
  free(self->scratch.weights);
}
