// The host's threads, as attention's ops use them.
#pragma once

#include <tenure/host.h>

#include <cstdint>

namespace tenure::cpu {

struct Exec {
  const tenure_host* host = nullptr;
  const tenure_exec_service* service = nullptr;

  uint32_t n_workers() const { return service->n_workers(host); }
  // body(task, worker) for each task, some at once; body must not throw.
  template <class Body>
  void for_each(uint32_t n_tasks, const Body& body) const {
    if (n_tasks == 0) return;
    if (n_tasks == 1) return body(0u, 0u);
    const auto call = [](void* ctx, uint32_t task, uint32_t worker) {
      (*static_cast<const Body*>(ctx))(task, worker);
    };
    service->parallel_for(host, n_tasks, call, const_cast<Body*>(&body));
  }
};

}  // namespace tenure::cpu
