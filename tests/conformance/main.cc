// test_conformance --backend ID [doctest's arguments]: one list of cases, held against any backend.
#define DOCTEST_CONFIG_IMPLEMENT
#include <doctest/doctest.h>

#include <cstdio>
#include <cstdlib>
#include <string>
#include <vector>

#include "conformance/subject.h"
#include "error/error.h"

namespace {

constexpr int skipped = 77;

// A code path that this machine lacks is a reason to skip; anything else that keeps the backend from loading
// is not.
int load_or_explain() {
  using namespace tenure;
  try {
    const BackendProperties& properties = conformance::backend().properties();
    std::printf("backend %s on %s, code path %s\n", conformance::backend().id().c_str(),
                properties.device.c_str(), properties.code_path.c_str());
    return 0;
  } catch (const Error& error) {
    const Diagnostic& why = error.diagnostics().front();
    const char* path = std::getenv("TENURE_CPU");
    if (path == nullptr || why.text.find("no such path") == std::string::npos) throw;
    std::printf("skipped: %s\n", why.text.c_str());
    return skipped;
  }
}

}  // namespace

int main(int argc, char** argv) {
  std::vector<char*> rest{argv[0]};
  std::string id;
  for (int i = 1; i < argc; ++i) {
    if (std::string(argv[i]) == "--backend" && i + 1 < argc) {
      id = argv[++i];
    } else {
      rest.push_back(argv[i]);
    }
  }
  if (id.empty()) {
    std::fprintf(stderr, "usage: test_conformance --backend ID [doctest's arguments]\n");
    return 2;
  }
  tenure::conformance::choose_backend(id);
  if (const int code = load_or_explain(); code != 0) return code;
  doctest::Context context(static_cast<int>(rest.size()), rest.data());
  const int code = context.run();
  tenure::conformance::release_backends();
  return code;
}
