/* What the toy lends to policies: the textbook, in double. */
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
