#include "train/lent_products.h"

#include <fmt/format.h>

#include "error/error.h"
#include "plugin/call.h"

namespace tenure {

Multiply multiply_by(const Backend& backend) {
  if (!backend.lends_gemm()) {
    throw Error(Code::backend_unsupported, fmt::format("backend \"{}\" lends no tenure.gemm/1, which training is made of", backend.id()));
  }
  return [&backend](const MatrixProduct& p) {
    const tenure_gemm product{.head = {.struct_size = sizeof product},
                              .transpose_b = 1,
                              .m = p.m,
                              .n = p.n,
                              .k = p.k,
                              .alpha = p.scale,
                              .a = p.a,
                              .a_stride = p.lda,
                              .b = p.b,
                              .b_stride = p.ldb,
                              .c = p.c,
                              .c_stride = p.ldc};
    throw_unless_ok(call_plugin(backend.id(), "gemm", [&](tenure_error* error) { return backend.gemm(&product, error); }));
  };
}

ForEach for_each_on(const Executor& executor) {
  return [executor](uint32_t n, const std::function<void(uint32_t)>& task) {
    const auto run = [](void* ctx, uint32_t i, uint32_t) { (*static_cast<const std::function<void(uint32_t)>*>(ctx))(i); };
    executor.parallel_for(executor.ctx, n, run, const_cast<std::function<void(uint32_t)>*>(&task));
  };
}

}  // namespace tenure
