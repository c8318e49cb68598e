#include "plugin/host_services.h"

#include <doctest/doctest.h>
#include <tenure/model.h>

#include <cstddef>
#include <cstring>
#include <set>
#include <vector>

#include "plugin/backend.h"
#include "plugin/lent_tensors.h"
#include "unit/plugin/plugin_fixture.h"

namespace tenure::test {
namespace {

tenure_str text(std::string_view literal) {
  return {literal.data(), literal.size()};
}

template <typename Service>
const Service& service(const tenure_host* host, std::string_view id) {
  const void* table = host->query(host, text(id), 1);
  REQUIRE(table != nullptr);
  return *static_cast<const Service*>(table);
}

}  // namespace

TEST_CASE("host services - an unknown id or a later revision is NULL") {
  const HostServices services("p", 1, {});
  const tenure_host* host = services.host();
  for (const char* id : {"tenure.log/1", "tenure.mem/1", "tenure.exec/1", "tenure.rng/1"}) {
    CHECK(host->query(host, text(id), 1) != nullptr);
    CHECK(host->query(host, text(id), 2) == nullptr);
    CHECK(host->query(host, text(std::string(id) + "x"), 1) == nullptr);
  }
  CHECK(host->query(host, text("tenure.mem/2"), 1) == nullptr);
  CHECK(host->query(host, text(""), 0) == nullptr);
}

TEST_CASE("host services - memory is aligned, counted, and bounded by the allowance") {
  const HostServices services("p", 1, {.memory_allowance = 10000});
  const tenure_host* host = services.host();
  const auto& mem = service<tenure_mem_service>(host, "tenure.mem/1");
  std::vector<void*> blocks;
  for (uint64_t alignment = 1; alignment <= 4096; alignment *= 2) {
    void* block = mem.alloc(host, 100, alignment);
    REQUIRE(block != nullptr);
    CHECK(reinterpret_cast<uintptr_t>(block) % alignment == 0);
    std::memset(block, 0xab, 100);
    blocks.push_back(block);
  }
  CHECK(services.memory_bytes() == 1300);
  CHECK(mem.alloc(host, 8701, 8) == nullptr);
  CHECK(mem.alloc(host, UINT64_MAX, 8) == nullptr);
  CHECK(mem.alloc(host, 8, 3) == nullptr);
  CHECK(mem.alloc(host, 8, 8192) == nullptr);
  CHECK(services.memory_bytes() == 1300);
  void* rest = mem.alloc(host, 8700, 8);
  CHECK(rest != nullptr);
  mem.free(host, rest);
  mem.free(host, nullptr);
  for (void* block : blocks) mem.free(host, block);
  CHECK(services.memory_bytes() == 0);
  CHECK(services.memory_peak() == 10000);
}

TEST_CASE("host services - a line goes to the sink with the plugin's id, and the sink may throw") {
  std::string got;
  const HostServices services("p", 1,
                              {.log = [&](uint32_t level, std::string_view id, std::string_view line) {
                                got = std::to_string(level) + std::string(id) + ":" + std::string(line);
                                throw 1;
                              }});
  const auto& log = service<tenure_log_service>(services.host(), "tenure.log/1");
  log.write(services.host(), TENURE_LOG_WARNING, text("hello"));
  CHECK(got == "2p:hello");
}

TEST_CASE("host services - tasks run once each, through the executor that was lent") {
  struct Trace {
    std::vector<uint32_t> tasks;
    uint32_t hot = 0;
  } lent;
  const tenure_task record = [](void* ctx, uint32_t task, uint32_t worker) {
    CHECK(worker == 0);
    static_cast<Trace*>(ctx)->tasks.push_back(task);
  };
  Trace own;
  const HostServices serial("p", 1, {});
  const auto& exec = service<tenure_exec_service>(serial.host(), "tenure.exec/1");
  CHECK(exec.n_workers(serial.host()) == 1);
  exec.parallel_for(serial.host(), 3, record, &own);
  CHECK(own.tasks == std::vector<uint32_t>{0, 1, 2});

  Executor executor = serial_executor();
  executor.ctx = &lent;
  executor.n_workers = [](void*) -> uint32_t { return 7; };
  executor.parallel_for = [](void* ctx, uint32_t n, tenure_task, void*) {
    static_cast<Trace*>(ctx)->tasks.push_back(n);
  };
  executor.hot_begin = [](void* ctx) { ++static_cast<Trace*>(ctx)->hot; };
  executor.hot_end = [](void* ctx) { static_cast<Trace*>(ctx)->hot += 10; };
  const HostServices given("p", 1, {.executor = executor});
  CHECK(exec.n_workers(given.host()) == 7);
  exec.parallel_for(given.host(), 5, record, &own);
  exec.hot_begin(given.host());
  exec.hot_end(given.host());
  CHECK(lent.tasks == std::vector<uint32_t>{5});
  CHECK(lent.hot == 11);
}

TEST_CASE("host services - only a policy's host reaches a backend, and its account is the library's") {
  const HostServices services("p", 1, {});
  CHECK(services.host()->query(services.host(), text("tenure.gemm/1"), 1) == nullptr);
  const Library library(plugin_at(test_plugin("toy_backend")), {});
  const Backend backend(library, {});
  const HostScope scope{.library = &services, .backend = &backend};
  const tenure_host host = services.host_of(scope);
  const auto& gemm = service<tenure_gemm_service>(&host, "tenure.gemm/1");
  CHECK(host.query(&host, text("tenure.gemm/1"), 2) == nullptr);
  const float a = 3, b = 5;
  float c = 0;
  tenure_gemm product{.head = {.struct_size = sizeof product},
                      .m = 1,
                      .n = 1,
                      .k = 1,
                      .alpha = 1,
                      .a = &a,
                      .a_stride = 1,
                      .b = &b,
                      .b_stride = 1,
                      .c = &c,
                      .c_stride = 1};
  CHECK(gemm.gemm(&host, &product, nullptr) == TENURE_OK);
  CHECK(c == 15);
  product.c_stride = 0;
  tenure_error error{.head = {.struct_size = sizeof error}};
  CHECK(gemm.gemm(&host, &product, &error) == TENURE_UNSUPPORTED);
  CHECK(contains(error.text, "stride"));

  CHECK(host.query(&host, text("tenure.weights/1"), 1) == nullptr);

  const float identity[] = {1, 0, 0, 1};
  const tenure_matrix matrix{.dtype = TENURE_F32, .n_out = 2, .n_in = 2, .data = identity};
  const tenure_net_config config{.head = {.struct_size = sizeof config}, .n_matrices = 1, .activation = 0, .matrices = &matrix};
  const auto& nn = service<tenure_nn_service>(&host, "tenure.nn/1");
  tenure_net* net = nullptr;
  REQUIRE(nn.net_create(&host, &config, &net, nullptr) == TENURE_OK);
  float row[] = {7, 9}, out[2] = {};
  const tenure_f32_view part{.data = row, .n_dims = 2, .shape = {1, 2}, .stride = {2, 1}};
  const tenure_net_rows rows{.head = {.struct_size = sizeof rows}, .n_rows = 1, .n_parts = 1, .parts = &part, .out = out};
  CHECK(nn.net_run(&host, net, &rows, nullptr) == TENURE_OK);
  CHECK((out[0] == 7 && out[1] == 9));
  nn.net_destroy(&host, net);

  const auto& mem = service<tenure_mem_service>(&host, "tenure.mem/1");
  void* block = mem.alloc(&host, 100, 8);
  CHECK(services.memory_bytes() == 100);
  mem.free(&host, block);
  CHECK(services.memory_bytes() == 0);
}

TEST_CASE("host services - a policy's host lends the tensors of its file by name") {
  const HostServices services("p", 1, {});
  const float values[] = {1, 2, 3, 4, 5, 6};
  const LentTensors lent{.file = "heads.safetensors",
                         .tensors = {{.head = {.struct_size = sizeof(tenure_tensor)},
                                      .name = text("layers.0.w1"),
                                      .dtype = TENURE_F32,
                                      .n_dims = 2,
                                      .shape = {2, 3},
                                      .data = values,
                                      .bytes = sizeof values}}};
  const HostScope scope{.library = &services, .weights = &lent};
  const tenure_host host = services.host_of(scope);
  const auto& weights = service<tenure_weights_service>(&host, "tenure.weights/1");
  tenure_tensor tensor{.head = {.struct_size = sizeof tensor}};
  tenure_tensor_request request{.head = {.struct_size = sizeof request}, .layer = 0, .n_dims = 2, .name = text("w1"), .shape = {0, 3}};
  CHECK(weights.tensor(&host, &request, &tensor, nullptr) == TENURE_OK);
  CHECK((tensor.data == values && tensor.shape[0] == 2 && tensor.shape[1] == 3 && tensor.n_dims == 2 && tensor.bytes == 24));
  const auto refused = [&](auto change) {
    tenure_tensor_request other = request;
    change(other);
    tenure_error error{.head = {.struct_size = sizeof error}};
    CHECK(weights.tensor(&host, &other, &tensor, &error) == TENURE_INVALID_CONFIG);
    return std::string(error.text);
  };
  CHECK(contains(refused([](auto& r) { r.layer = 1; }), "heads.safetensors has no tensor \"layers.1.w1\""));
  CHECK(contains(refused([](auto& r) { r.name = text("w"); }), "no tensor \"layers.0.w\""));
  CHECK(contains(refused([](auto& r) { r.layer = TENURE_ALL_LAYERS; }), "no tensor \"w1\""));
  CHECK(contains(refused([](auto& r) { r.shape[1] = 4; }), "has shape (2, 3); this model takes (any, 4)"));
  CHECK(contains(refused([](auto& r) { r.n_dims = 1; }), "this model takes (any)"));
  // To an older plugin that knows less of a tensor no more is written.
  tenure_tensor older{.head = {.struct_size = offsetof(tenure_tensor, data)}, .data = &host};
  CHECK(weights.tensor(&host, &request, &older, nullptr) == TENURE_OK);
  CHECK(older.data == &host);
}

// Expected values: a splitmix64 generator in Python integers that gives the published 6457827717110365317
// first for seed 1234567, run on from its own first output.
TEST_CASE("host services - random numbers depend on seed and counter only") {
  CHECK(random_bits(0, 0) == 0xa706dd2f4d197e6fu);
  CHECK(random_bits(0, 1) == 0xb382a305f4414f5eu);
  CHECK(random_bits(1, 0) == 0x5e41ab087439611eu);
  CHECK(random_bits(12345, 987654321) == 0xbde698a814f5572bu);
  std::set<uint64_t> seen;
  double sum = 0;
  for (uint64_t seed = 0; seed < 100; ++seed) {
    for (uint64_t counter = 0; counter < 100; ++counter) {
      seen.insert(random_bits(seed, counter));
      const float u = random_uniform(seed, counter);
      CHECK((u >= 0.0f && u < 1.0f));
      CHECK(u * 0x1p24f == static_cast<float>(random_bits(seed, counter) >> 40));
      sum += u;
    }
  }
  CHECK(seen.size() == 10000);
  CHECK(sum / 10000 == doctest::Approx(0.5).epsilon(0.02));
}

}  // namespace tenure::test
