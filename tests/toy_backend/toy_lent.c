/* What the toy lends to policies: the textbook, in double. */
#include <stdlib.h>
#include <string.h>

#include "toy.h"

/* Element (row, column) of a stored matrix or of its transpose. */
static double at(const float* matrix, uint64_t stride, uint32_t transposed, uint64_t row, uint64_t column) {
  return transposed ? matrix[column * stride + row] : matrix[row * stride + column];
}

tenure_status toy_gemm(tenure_backend* self, const tenure_gemm* g, tenure_error* error) {
  if (!toy_rest_is_zero(g, g->head.struct_size, sizeof *g))
    return toy_fail(error, TENURE_TOO_NEW, "gemm", "the product has members this backend does not know");
  if (g->a_stride < (g->transpose_a ? g->m : g->k) || g->b_stride < (g->transpose_b ? g->k : g->n) ||
      g->c_stride < g->n) {
    return toy_fail(error, TENURE_UNSUPPORTED, "gemm", "a stride is less than a row");
  }
  toy_wait(self);
  for (uint64_t row = 0; row < g->m; ++row) {
    for (uint64_t column = 0; column < g->n; ++column) {
      double sum = 0;
      for (uint64_t i = 0; i < g->k; ++i)
        sum += at(g->a, g->a_stride, g->transpose_a, row, i) * at(g->b, g->b_stride, g->transpose_b, i, column);
      float* c = g->c + row * g->c_stride + column;
      *c = (float)(g->alpha * sum + (g->beta == 0 ? 0 : g->beta * (double)*c));
    }
  }
  return TENURE_OK;
}

/* ---- networks ---- */

enum { MOST_MATRICES = 8 };

typedef struct toy_matrix {
  uint64_t n_out, n_in;
  float* values; /* (n_out, n_in) */
  float* bias;   /* (n_out), zeros where there is none */
} toy_matrix;

struct tenure_net {
  uint32_t n_matrices, activation;
  double* row; /* (widest) what goes into a matrix */
  double* out; /* (widest) what comes out */
  toy_matrix matrices[MOST_MATRICES];
};

void toy_net_destroy(tenure_backend* self, tenure_net* net) {
  (void)self;
  for (uint32_t i = 0; i < net->n_matrices; ++i) {
    free(net->matrices[i].values);
    free(net->matrices[i].bias);
  }
  free(net->row);
  free(net->out);
  free(net);
}

static tenure_status check_config(const tenure_net_config* config, tenure_error* error) {
  if (!toy_rest_is_zero(config, config->head.struct_size, sizeof *config))
    return toy_fail(error, TENURE_TOO_NEW, "net_create", "the network has members this backend does not know");
  if (config->n_matrices == 0 || config->n_matrices > MOST_MATRICES || config->activation > TENURE_ACTIVATION_GELU_TANH) {
    return toy_fail(error, TENURE_UNSUPPORTED, "net_create", "%u matrices, activation %u", config->n_matrices,
                    config->activation);
  }
  for (uint32_t i = 0; i < config->n_matrices; ++i) {
    const tenure_matrix* m = &config->matrices[i];
    if (toy_cache_bytes(m->dtype) == 0 || m->n_out == 0 || m->n_in == 0 || !m->data ||
        (i > 0 && m->n_in != m[-1].n_out)) {
      return toy_fail(error, TENURE_UNSUPPORTED, "net_create", "matrix %u is empty, of type %u, or does not follow", i,
                      m->dtype);
    }
  }
  return TENURE_OK;
}

static bool copy_matrix(const tenure_matrix* from, toy_matrix* to) {
  *to = (toy_matrix){.n_out = from->n_out,
                     .n_in = from->n_in,
                     .values = malloc(from->n_out * from->n_in * sizeof(float)),
                     .bias = calloc(from->n_out, sizeof(float))};
  if (!to->values || !to->bias) return false;
  toy_decode(from->dtype, from->data, from->n_out * from->n_in, to->values);
  if (from->bias) toy_decode(from->dtype, from->bias, from->n_out, to->bias);
  return true;
}

tenure_status toy_net_create(tenure_backend* self, const tenure_net_config* config, tenure_net** out,
                             tenure_error* error) {
  const tenure_status status = check_config(config, error);
  if (status != TENURE_OK) return status;
  tenure_net* net = calloc(1, sizeof *net);
  if (!net) return toy_fail(error, TENURE_OOM_HOST, "net_create", "out of memory");
  net->activation = config->activation;
  uint64_t widest = 0;
  bool has_all = true;
  for (; net->n_matrices < config->n_matrices && has_all; ++net->n_matrices) {
    const tenure_matrix* from = &config->matrices[net->n_matrices];
    has_all = copy_matrix(from, &net->matrices[net->n_matrices]);
    if (from->n_in > widest) widest = from->n_in;
    if (from->n_out > widest) widest = from->n_out;
  }
  net->row = malloc(widest * sizeof *net->row);
  net->out = malloc(widest * sizeof *net->out);
  if (!has_all || !net->row || !net->out) {
    toy_net_destroy(self, net);
    return toy_fail(error, TENURE_OOM_HOST, "net_create", "out of memory");
  }
  *out = net;
  return TENURE_OK;
}

/* net->row = row r of the parts side by side; returns how wide they are, 0 when that is not n_in. */
static uint64_t gather(const tenure_net* net, const tenure_net_rows* rows, uint32_t r) {
  uint64_t n = 0;
  for (uint32_t p = 0; p < rows->n_parts; ++p) {
    const tenure_f32_view* part = &rows->parts[p];
    uint64_t width = 1;
    for (uint32_t i = 1; i < part->n_dims; ++i) width *= (uint64_t)part->shape[i];
    if (part->shape[0] != rows->n_rows || n + width > net->matrices[0].n_in) return 0;
    for (uint64_t i = 0; i < width; ++i) net->row[n++] = part->data[r * part->stride[0] + (int64_t)i];
  }
  return n == net->matrices[0].n_in ? n : 0;
}

static void run_row(tenure_net* net) {
  for (uint32_t i = 0; i < net->n_matrices; ++i) {
    const toy_matrix* m = &net->matrices[i];
    for (uint64_t o = 0; o < m->n_out; ++o) {
      double sum = m->bias[o];
      for (uint64_t k = 0; k < m->n_in; ++k) sum += m->values[o * m->n_in + k] * net->row[k];
      net->out[o] = i + 1 < net->n_matrices ? toy_activated(net->activation, sum) : sum;
    }
    memcpy(net->row, net->out, m->n_out * sizeof *net->row);
  }
}

tenure_status toy_net_run(tenure_backend* self, tenure_net* net, const tenure_net_rows* rows, tenure_error* error) {
  if (!toy_rest_is_zero(rows, rows->head.struct_size, sizeof *rows))
    return toy_fail(error, TENURE_TOO_NEW, "net_run", "the rows have members this backend does not know");
  toy_wait(self);
  const uint64_t n_out = net->matrices[net->n_matrices - 1].n_out;
  for (uint32_t r = 0; r < rows->n_rows; ++r) {
    if (gather(net, rows, r) == 0)
      return toy_fail(error, TENURE_UNSUPPORTED, "net_run", "the parts are not the %llu inputs of the network",
                      (unsigned long long)net->matrices[0].n_in);
    run_row(net);
    for (uint64_t o = 0; o < n_out; ++o) rows->out[r * n_out + o] = (float)net->out[o];
  }
  return TENURE_OK;
}
