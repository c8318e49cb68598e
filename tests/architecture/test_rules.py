#!/usr/bin/env python3
"""The rules' own tests: each rule must pass a sound tree and catch a violation planted in it."""

import tempfile
import unittest
from pathlib import Path

import limits
import rules
from source import Source

SOUND = {
    "plugin_api/tenure/abi.h": "#include <stdint.h>\ntypedef struct tenure_str { const char* ptr; uint64_t len; } tenure_str;\n",
    "plugins/policy_x/policy_x.toml": 'manifest = 1\nid = "sample_policy"\n',
    "plugins/policy_x/policy_x.c": "#include <tenure/abi.h>\nstatic const int n_sink = 4;\nint f(void) { return n_sink; }\n",
    "host/error/error.h": "#include <string>\n#include <tenure/abi.h>\nstruct Error { std::string text; };\n",
    "host/cache/pool.h": '#include "cache/page.h"\n#include "error/error.h"\n',
    "host/cache/page.h": "struct Page { int n_slots = 0; };\n",
    "host/main.cc": '#include "cache/pool.h"\n#include <iostream>\nint main() { std::cout << 1; }\n',
}


class Planted(unittest.TestCase):
    """plant() writes SOUND plus one file and returns what the rule finds."""

    def plant(self, rule, name: str = "", text: str = "") -> list[str]:
        with tempfile.TemporaryDirectory() as folder:
            files = dict(SOUND)
            if name:
                files[name] = text
            for path, content in files.items():
                target = Path(folder) / path
                target.parent.mkdir(parents=True, exist_ok=True)
                target.write_text(content, encoding="utf-8")
            return rule(rules.Tree(Path(folder)))

    def test_a_sound_tree_passes_every_rule(self):
        for rule in set(rules.ALL) - {rules.stale_exceptions}:  # its exceptions are the real tree's
            self.assertEqual(self.plant(rule), [], rule.__name__)

    def assert_caught(self, rule, name: str, text: str, said: str):
        found = self.plant(rule, name, text)
        self.assertEqual(len(found), 1, found)
        self.assertIn(said, found[0])

    def test_includes_up_the_ladder(self):
        self.assert_caught(rules.includes, "host/error/a.cc", '#include "cache/pool.h"\n', "may include only itself")
        self.assert_caught(rules.includes, "host/record/a.cc", '\n#include "session/session.h"\n', "host/record/a.cc:2")
        self.assert_caught(rules.includes, "host/kitchen/a.cc", '#include "error/error.h"\n', "no room of the table")
        self.assert_caught(rules.includes, "host/cache/a.cc", '#include "page.h"\n', "room/file.h")

    def test_includes_past_a_face(self):
        self.assert_caught(rules.includes, "host/tokenizer/a.cc", '#include "weights/gguf.h"\n', "may see only")

    def test_includes_across_the_plugin_border(self):
        self.assert_caught(rules.includes, "plugins/policy_x/a.cc", '#include "cache/page.h"\n', "own folder")
        self.assert_caught(rules.includes, "plugins/policy_y/a.cc", '#include "../policy_x/policy_x.c"\n', "own folder")
        self.assert_caught(rules.includes, "host/cache/a.cc", "#include <tenure/host.h>\n", "plugin ABI")

    def test_third_party_outside_its_room(self):
        for header in ("toml++/toml.h", "nlohmann/json.hpp", "pcre2.h", "boost/dll.hpp", "oneapi/tbb/task_arena.h", "cblas.h"):
            self.assert_caught(rules.includes, "host/cache/a.cc", f"#include <{header}>\n", "belongs to")
        self.assert_caught(rules.includes, "host/cache/a.cc", "#include <eigen3/Eigen/Dense>\n", "depends on")
        self.assert_caught(rules.includes, "host/engine/a.cc", "#include <oneapi/tbb/flow_graph.h>\n", "host/graph")
        self.assert_caught(rules.includes, "plugins/policy_x/a.cc", "#include <immintrin.h>\n", "intrinsics")

    def test_commented_includes_do_not_count(self):
        self.assertEqual(self.plant(rules.includes, "host/error/a.cc", '// #include "cache/pool.h"\n'), [])

    def test_abi_headers_stay_c(self):
        self.assert_caught(rules.abi_headers_are_c, "plugin_api/tenure/a.h", "#include <string>\n", "not string")

    def test_device_and_plugin_names(self):
        self.assert_caught(rules.no_device_in_host, "host/cache/a.cc", "// for CUDA\n", "names no device")
        self.assert_caught(rules.no_plugin_id_in_host, "host/cache/a.cc", 'auto id = "sample_policy";\n', "sample_policy")
        for table in limits.DEFAULT_IDS:
            self.assertEqual(self.plant(rules.no_plugin_id_in_host, table, 'auto id = "sample_policy";\n'), [])

    def test_printing_and_exiting(self):
        for call in ("std::cerr << 1;", 'printf("x");', "std::exit(1);", "abort();", 'fmt::print("x");'):
            text = f"void f() {{\n  {call}\n}}\n"
            self.assert_caught(rules.nothing_prints_or_exits, "host/cache/a.cc", text, "host/cache/a.cc:2")
        self.assertEqual(self.plant(rules.nothing_prints_or_exits, "host/cache/a.cc", "void f() { snprintf(b, 1, s); }\n"), [])

    def test_regex(self):
        self.assert_caught(rules.no_std_regex, "host/cache/a.cc", "std::regex r;\n", "std::regex")
        self.assert_caught(rules.no_std_regex, "host/cache/a.cc", "#include <regex>\n", "regex")

    def test_mutable_globals(self):
        for text in ("static int n;\n", "namespace { int n = 0; }\n", "std::string name;\n", "thread_local int n;\n"):
            self.assert_caught(rules.no_mutable_globals, "host/cache/a.cc", text, "mutable state")
        local = "int f() {\n  static int n = 0;\n  return ++n;\n}\n"
        self.assert_caught(rules.no_mutable_globals, "host/cache/a.cc", local, "host/cache/a.cc:2")
        for text in ("static const int n = 1;\n", "constexpr int n[] = {1, 2};\n", "struct S { int n; };\n", "int f(int);\n",
                     "S& S::operator=(S&&) noexcept = default;\n"):
            self.assertEqual(self.plant(rules.no_mutable_globals, "host/cache/a.cc", text), [], text)

    def test_sizes(self):
        long_function = "int f() {\n" + "  g();\n" * limits.FUNCTION_LINES + "}\n"
        self.assert_caught(rules.sizes, "host/cache/a.cc", long_function, "f: 62 lines")
        self.assertEqual(self.plant(rules.sizes, "plugins/backend_x/a.cc", long_function), [])
        self.assert_caught(rules.sizes, "host/cache/a.cc", "\n" * 401, "401 lines")
        self.assert_caught(rules.sizes, "host/cache/a.cc", "int f(int a, int b, int c, int d, int e, int g, int h) {}\n", "7 parameters")

    def test_the_shape_of_an_abi_slot_is_not_ours(self):
        text = "static int f(const tenure_call* a, int b, int c, int d, int e, int f, int g) { return 0; }\n"
        self.assertEqual(self.plant(rules.sizes, "plugins/policy_x/a.c", text), [])

    def test_stale_exceptions(self):
        limits.LONG_FILES["host/gone.cc"] = "no longer there"
        self.addCleanup(limits.LONG_FILES.pop, "host/gone.cc")
        self.assertIn("limits.py names host/gone.cc, which does not exist", self.plant(rules.stale_exceptions))


class Reader(unittest.TestCase):
    def functions(self, text: str) -> list[tuple[str, int, int]]:
        return [(f.name, f.n_lines, f.n_parameters) for f in Source(Path("x.cc"), text).functions()]

    def test_functions_in_namespaces_types_and_with_initialisers(self):
        text = """
namespace tenure {
namespace {
constexpr int table[] = {1, 2};
}  // namespace
struct Page {
  Page(int n, std::map<int, int> by) : n_{n}, by_(std::move(by)) {
    check();
  }
  int size() const noexcept { return n_; }
  bool operator==(const Page& other) const = default;
  int n_ = 0;
};
template <typename T>
auto sum(std::span<const T> values) -> T {
  if (values.empty()) {
    return T{};
  }
  return add(values);
}
}  // namespace tenure
extern "C" const tenure_library* tenure_library_v1(void) { return &library; }
"""
        self.assertEqual(
            self.functions(text),
            [("Page", 3, 2), ("size", 1, 0), ("sum", 7, 1), ("tenure_library_v1", 1, 0)],
        )

    def test_braces_in_text_do_not_count(self):
        text = 'int f() {\n  g("}", \'}\', R"(})", 1\'000);  // }\n  /* } */\n}\nint h() { return 1; }\n'
        self.assertEqual(self.functions(text), [("f", 4, 0), ("h", 1, 0)])


if __name__ == "__main__":
    unittest.main()
