/* Ops that touch pages. Whatever the header promises about views is checked here, slot by slot. */
#include <math.h>
#include <string.h>

#include "toy.h"

uint8_t* toy_slot(const tenure_kv_pool* pool, const uint32_t* pages, uint32_t head_dim, uint32_t slot) {
  const uint64_t slot_bytes =
      (uint64_t)head_dim * (toy_cache_bytes(pool->k_type) + toy_cache_bytes(pool->v_type));
  return (uint8_t*)pool->base + pages[slot / TOY_PAGE_SLOTS] * pool->page_bytes +
         slot % TOY_PAGE_SLOTS * slot_bytes;
}

static double key_at(const tenure_kv_pool* pool, const uint8_t* slot, uint32_t i) {
  return toy_load(pool->k_type, slot + (uint64_t)i * toy_cache_bytes(pool->k_type));
}

static uint8_t* values_of(const tenure_kv_pool* pool, uint8_t* slot, uint32_t head_dim) {
  return slot + (uint64_t)head_dim * toy_cache_bytes(pool->k_type);
}

bool toy_pages_are_ours(tenure_backend* self, const tenure_kv_pool* pool, const uint32_t* pages,
                        uint32_t n_slots) {
  for (uint32_t i = 0; i < (n_slots + TOY_PAGE_SLOTS - 1) / TOY_PAGE_SLOTS; ++i) {
    if (!toy_owns(self, (const uint8_t*)pool->base + pages[i] * pool->page_bytes, pool->page_bytes))
      return false;
  }
  return true;
}

/* ---- append ---- */

static tenure_status append_head(const toy_op* op, const tenure_segment* segment, uint32_t head,
                                 tenure_error* error) {
  const tenure_layer_info* layer = &op->forward.weights->layers[op->layer];
  const tenure_kv_view* view = &segment->heads[head];
  const tenure_kv_pool* pool = segment->pool;
  const uint32_t dim = layer->head_dim;
  uint32_t slot = view->first_slot;
  for (uint32_t i = 0; i < segment->n_rows; ++i) {
    if (view->write_mask && !view->write_mask[i]) continue;
    if (slot >= view->n_slots || view->pos[slot] != segment->first_pos + (int32_t)i) {
      return toy_fail(error, TENURE_INVALID_STATE, "cache_append",
                      "head %u: slot %u is not that of position %d", head, slot,
                      segment->first_pos + (int32_t)i);
    }
    const uint64_t from = ((uint64_t)(segment->first_row + i) * layer->n_kv_heads + head) * dim;
    uint8_t* to = toy_slot(pool, view->pages, dim, slot++);
    uint8_t* values = values_of(pool, to, dim);
    for (uint32_t d = 0; d < dim; ++d) {
      toy_store(pool->k_type, to + d * toy_cache_bytes(pool->k_type), op->in[0][from + d]);
      toy_store(pool->v_type, values + d * toy_cache_bytes(pool->v_type), op->in[1][from + d]);
    }
  }
  return TENURE_OK;
}

tenure_status toy_run_append(tenure_backend* self, const toy_op* op, tenure_error* error) {
  const uint32_t n_kv_heads = op->forward.weights->layers[op->layer].n_kv_heads;
  for (uint32_t s = 0; s < op->forward.n_segments; ++s) {
    for (uint32_t head = 0; head < n_kv_heads; ++head) {
      const tenure_segment* segment = &op->segments[s];
      if (!toy_pages_are_ours(self, segment->pool, segment->heads[head].pages,
                              segment->heads[head].n_slots)) {
        return toy_fail(error, TENURE_INVALID_STATE, "cache_append",
                        "segment %u, head %u: a page lies outside the pool", s, head);
      }
      const tenure_status status = append_head(op, segment, head, error);
      if (status != TENURE_OK) return status;
    }
  }
  return TENURE_OK;
}

/* ---- attend ---- */

typedef struct attended {
  const toy_op* op;
  const tenure_layer_info* layer;
  const tenure_segment* segment;
  const tenure_kv_view* view;
  toy_scratch* scratch;
} attended;

/* scores (n_slots): softmax weights of one query over the slots its row may see; all 0 when it sees none. */
static void weigh(const attended* a, const float* q, int32_t row_pos, double* scores) {
  const tenure_kv_view* view = a->view;
  const uint32_t dim = a->layer->head_dim;
  const tenure_kv_run whole = {.n_slots = view->n_slots, .shift = 0};
  const tenure_kv_run* runs = view->runs ? view->runs : &whole;
  uint32_t slot = 0;
  double largest = -INFINITY;
  for (uint32_t r = 0; r < (view->runs ? view->n_runs : 1); ++r) {
    double* query = a->scratch->query;
    for (uint32_t d = 0; d < dim; ++d) query[d] = q[d];
    if (runs[r].shift != 0) toy_rotate(a->layer, -runs[r].shift, query);
    for (const uint32_t end = slot + runs[r].n_slots; slot < end; ++slot) {
      const int64_t pos = view->pos[slot];
      scores[slot] = -INFINITY;
      if (pos > row_pos || (a->layer->window != 0 && pos <= (int64_t)row_pos - a->layer->window)) continue;
      const uint8_t* key = toy_slot(a->segment->pool, view->pages, dim, slot);
      double sum = 0;
      for (uint32_t d = 0; d < dim; ++d) sum += query[d] * key_at(a->segment->pool, key, d);
      scores[slot] = sum * a->layer->attention_scale;
      if (!(scores[slot] <= largest)) largest = scores[slot];
    }
  }
  double total = 0;
  for (slot = 0; slot < view->n_slots; ++slot) {
    scores[slot] = scores[slot] == -INFINITY ? 0 : exp(scores[slot] - largest);
    total += scores[slot];
  }
  for (slot = 0; slot < view->n_slots && total != 0; ++slot) scores[slot] /= total;
}

static void mix(const attended* a, const double* weights, float* out) {
  const uint32_t dim = a->layer->head_dim;
  const tenure_kv_pool* pool = a->segment->pool;
  double* sum = a->scratch->query;
  memset(sum, 0, dim * sizeof *sum);
  for (uint32_t slot = 0; slot < a->view->n_slots; ++slot) {
    if (weights[slot] == 0) continue;
    const uint8_t* values = values_of(pool, toy_slot(pool, a->view->pages, dim, slot), dim);
    for (uint32_t d = 0; d < dim; ++d)
      sum[d] += weights[slot] * toy_load(pool->v_type, values + d * toy_cache_bytes(pool->v_type));
  }
  for (uint32_t d = 0; d < dim; ++d) out[d] = (float)sum[d];
}

static tenure_status check_view(const attended* a, uint32_t head, tenure_error* error) {
  const tenure_kv_view* view = a->view;
  uint64_t in_runs = view->runs ? 0 : view->n_slots;
  for (uint32_t r = 0; view->runs && r < view->n_runs; ++r) in_runs += view->runs[r].n_slots;
  const char* why = NULL;
  if (in_runs != view->n_slots) why = "runs do not add up to its slots";
  if (view->n_slots > a->scratch->n_positions) why = "it has more slots than positions are reserved";
  for (uint32_t slot = 0; slot < view->n_unmasked; ++slot) {
    if (slot >= view->n_slots || view->pos[slot] >= a->segment->first_pos)
      why = "n_unmasked counts a slot that needs a check";
  }
  return why ? toy_fail(error, TENURE_INVALID_STATE, "attend", "head %u: %s", head, why) : TENURE_OK;
}

static void attend_head(const attended* a, uint32_t head) {
  const tenure_segment* segment = a->segment;
  const uint32_t n_heads = a->op->forward.weights->n_heads;
  const uint32_t group = n_heads / a->layer->n_kv_heads;
  const uint32_t n_slots = a->view->n_slots;
  const uint32_t first_mass_row =
      segment->n_mass_rows >= segment->n_rows ? 0 : segment->n_rows - segment->n_mass_rows;
  for (uint32_t i = 0; i < segment->n_rows; ++i) {
    for (uint32_t g = 0; g < group; ++g) {
      const uint64_t at =
          ((uint64_t)(segment->first_row + i) * n_heads + head * group + g) * a->layer->head_dim;
      double* weights = a->scratch->weights + (uint64_t)g * n_slots;
      weigh(a, a->op->in[0] + at, segment->first_pos + (int32_t)i, weights);
      mix(a, weights, (float*)a->op->out[0] + at);
    }
    if (!a->view->mass || i < first_mass_row) continue;
    for (uint32_t slot = 0; slot < n_slots; ++slot) {
      double sum = 0;
      for (uint32_t g = 0; g < group; ++g) sum += a->scratch->weights[(uint64_t)g * n_slots + slot];
      a->view->mass[slot] = (float)(a->view->mass[slot] + sum / group);
    }
  }
}

tenure_status toy_run_attend(tenure_backend* self, const toy_op* op, tenure_error* error) {
  const tenure_layer_info* layer = &op->forward.weights->layers[op->layer];
  for (uint32_t s = 0; s < op->forward.n_segments; ++s) {
    for (uint32_t head = 0; head < layer->n_kv_heads; ++head) {
      const attended a = {.op = op,
                          .layer = layer,
                          .segment = &op->segments[s],
                          .view = &op->segments[s].heads[head],
                          .scratch = &self->scratch};
      const tenure_status status = check_view(&a, head, error);
      if (status != TENURE_OK) return status;
      if (!toy_pages_are_ours(self, a.segment->pool, a.view->pages, a.view->n_slots)) {
        return toy_fail(error, TENURE_INVALID_STATE, "attend",
                        "segment %u, head %u: a page lies outside the pool", s, head);
      }
      attend_head(&a, head);
    }
  }
  return TENURE_OK;
}

/* ---- moves, copies, rotations, reads ---- */

tenure_status toy_run_moves(tenure_backend* self, const toy_op* op, tenure_error* error) {
  const tenure_kv_moves* all = op->array;
  for (uint64_t i = 0; i < op->n; ++i) {
    const tenure_kv_pool* pool = all[i].pool;
    const uint64_t bytes =
        (uint64_t)all[i].head_dim * (toy_cache_bytes(pool->k_type) + toy_cache_bytes(pool->v_type));
    for (uint32_t m = 0; m < all[i].n_moves; ++m) {
      const tenure_kv_move move = all[i].moves[m];
      bool moved_to = false;
      for (uint32_t before = 0; before < m; ++before)
        moved_to = moved_to || all[i].moves[before].dst == move.src;
      if (move.src <= move.dst || moved_to || !toy_pages_are_ours(self, pool, all[i].pages, move.src + 1)) {
        return toy_fail(error, TENURE_INVALID_STATE, "cache_move", "move %u from slot %u to %u", m, move.src,
                        move.dst);
      }
      memcpy(toy_slot(pool, all[i].pages, all[i].head_dim, move.dst),
             toy_slot(pool, all[i].pages, all[i].head_dim, move.src), bytes);
    }
  }
  return TENURE_OK;
}

tenure_status toy_run_copies(tenure_backend* self, const toy_op* op, tenure_error* error) {
  const tenure_page_copy* copies = op->array;
  for (uint64_t i = 0; i < op->n; ++i) {
    const tenure_kv_pool* pool = copies[i].pool;
    uint8_t* dst = (uint8_t*)pool->base + copies[i].dst * pool->page_bytes;
    const uint8_t* src = (const uint8_t*)pool->base + copies[i].src * pool->page_bytes;
    if (!toy_owns(self, dst, pool->page_bytes) || !toy_owns(self, src, pool->page_bytes)) {
      return toy_fail(error, TENURE_INVALID_STATE, "cache_copy", "page %u to %u: one lies outside the pool",
                      copies[i].src, copies[i].dst);
    }
    memmove(dst, src, pool->page_bytes);
  }
  return TENURE_OK;
}

tenure_status toy_run_rotations(tenure_backend* self, const toy_op* op, tenure_error* error) {
  const tenure_kv_rotation* rotations = op->array;
  double key[TOY_MAX_HEAD_DIM];
  for (uint64_t i = 0; i < op->n; ++i) {
    const tenure_kv_rotation* r = &rotations[i];
    if (r->layer >= op->weights->n_layers || !toy_pages_are_ours(self, r->pool, r->pages, r->n_slots)) {
      return toy_fail(error, TENURE_INVALID_STATE, "cache_rotate", "rotation %llu: no such layer or page",
                      (unsigned long long)i);
    }
    const tenure_layer_info* layer = &op->weights->layers[r->layer];
    for (uint32_t slot = 0; slot < r->n_slots; ++slot) {
      if (r->delta[slot] == 0) continue;
      uint8_t* at = toy_slot(r->pool, r->pages, layer->head_dim, slot);
      for (uint32_t d = 0; d < layer->head_dim; ++d) key[d] = key_at(r->pool, at, d);
      toy_rotate(layer, r->delta[slot], key);
      for (uint32_t d = 0; d < layer->rope_dim; ++d)
        toy_store(r->pool->k_type, at + d * toy_cache_bytes(r->pool->k_type), key[d]);
    }
  }
  return TENURE_OK;
}

tenure_status toy_run_reads(tenure_backend* self, const toy_op* op, tenure_error* error) {
  const tenure_kv_read* reads = op->array;
  for (uint64_t i = 0; i < op->n; ++i) {
    const tenure_kv_read* r = &reads[i];
    if (!toy_pages_are_ours(self, r->pool, r->pages, r->n_slots)) {
      return toy_fail(error, TENURE_INVALID_STATE, "cache_read", "read %llu: a page lies outside the pool",
                      (unsigned long long)i);
    }
    for (uint32_t slot = 0; slot < r->n_slots; ++slot) {
      uint8_t* key = toy_slot(r->pool, r->pages, r->head_dim, slot);
      const uint8_t* value = values_of(r->pool, key, r->head_dim);
      for (uint32_t d = 0; d < r->head_dim; ++d) {
        const uint64_t at = (uint64_t)slot * r->head_dim + d;
        if (r->k) r->k[at] = (float)key_at(r->pool, key, d);
        if (r->v) r->v[at] = (float)toy_load(r->pool->v_type, value + d * toy_cache_bytes(r->pool->v_type));
      }
    }
  }
  return TENURE_OK;
}
