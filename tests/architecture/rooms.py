"""Who may include whom: the table of docs/architecture.md, as data. test_architecture.py holds the tree to it."""

# room of host/ -> rooms it may include, besides itself
HOST_ROOMS: dict[str, set[str]] = {
    "error": set(),
    "tensor": {"error"},
    "manifest": {"error", "tensor"},
    "plan": {"error", "tensor", "manifest"},
    "weights": {"error", "tensor"},
    "tokenizer": {"error", "tensor", "weights"},
    "sampler": {"error", "tensor"},
    "record": {"error", "tensor"},
    "plugin": {"error", "tensor", "manifest"},
    "cache": {"error", "tensor", "plugin"},
    "model": {"error", "tensor", "plugin", "weights", "cache"},
    "session": {"error", "tensor", "cache", "plugin", "sampler", "tokenizer", "record", "manifest", "model"},
    "engine": {"error", "tensor", "session", "model", "plugin", "cache", "weights"},
    # eval makes documents of token ids and draws what is in them
    "eval": {"error", "tensor", "tokenizer", "sampler", "engine", "session", "record"},
    # graph loads what a cell names, so it sees the rooms that make a backend, a model and policies
    "graph": {"error", "tensor", "manifest", "plan", "plugin", "weights", "model", "engine", "session", "record", "eval"},
    # train runs documents as a cell does, and sees what a policy's plugin can learn
    "train": {"error", "tensor", "manifest", "plan", "plugin", "weights", "tokenizer", "sampler", "model", "session", "engine", "graph", "record", "eval"},
    "report": {"error", "tensor", "record"},
    # bench drives the engine and the backend's ops as a cell has them
    "bench": {"error", "tensor", "plan", "plugin", "cache", "model", "session", "engine", "graph", "record"},
    # check runs a plugin under test as a cell does, and stands between it and the engine
    "check": {"error", "tensor", "manifest", "plan", "plugin", "model", "session", "engine", "graph", "record"},
}
# `main` (host/main.cc) and `cli` see everything.
SEE_EVERYTHING = {"main", "cli"}

# (room, room it includes) -> the only headers of it that may be included
FACES: dict[tuple[str, str], set[str]] = {
    ("tokenizer", "weights"): {"weights/tokenizer_metadata.h"},
    ("session", "manifest"): {"manifest/host_keys.h"},  # the values of [policy.X], which both rooms speak
    ("engine", "weights"): {"weights/model_config.h"},  # admission counts layers, heads and their sizes
    ("session", "model"): {"model/batch.h"},  # a session adds its rows to the batch; it never runs the forward
}

# room of host/ -> headers of plugin_api it may include; "*" is all of them
PLUGIN_API: dict[str, set[str]] = {
    "error": {"tenure/abi.h"},
    "tensor": {"tenure/abi.h"},
    "plugin": {"*"},
    # the structs that the plugin room's faces take and give
    "cache": {"tenure/backend.h", "tenure/policy.h", "tenure/wide.h"},
    "model": {"tenure/backend.h", "tenure/model.h"},
    "session": {"tenure/policy.h", "tenure/wide.h"},
    "engine": {"tenure/host.h"},  # it lends its arena as tenure.exec
    "graph": {"tenure/backend.h", "tenure/policy.h"},
    "bench": {"tenure/backend.h"},
    "check": {"tenure/policy.h", "tenure/scorer.h"},
    "train": {"tenure/policy.h", "tenure/scorer.h", "tenure/ext/trainable.h", "tenure/ext/activations.h"},
    "main": {"*"},
    "cli": {"*"},
}

# third-party header prefix -> where it may be included
THIRD_PARTY: dict[str, set[str]] = {
    "fmt/": {"host"},
    "toml++/": {"host/manifest", "host/plan"},
    "nlohmann/": {"host/weights", "host/tokenizer", "host/record", "host/graph", "host/cli"},
    "pcre2.h": {"host/tokenizer"},
    "boost/dll": {"host/plugin"},
    "boost/filesystem": {"host/plugin"},
    "boost/program_options": {"host/cli", "host/main"},
    "oneapi/tbb": {"host/engine", "host/graph", "plugins/backend_cpu"},
    "tbb/": {"host/engine", "host/graph", "plugins/backend_cpu"},
    "cblas.h": {"plugins/backend_cpu"},
    "openblas": {"plugins/backend_cpu"},
    "cuda": {"plugins/backend_cuda"},
    "cublas": {"plugins/backend_cuda"},
    "doctest/": set(),
}
# Inside oneTBB, the flow graph is the graph room's alone.
FLOW_GRAPH = {"host/graph"}

# Intrinsics are the CPU backend's alone.
SIMD_HEADERS = {"immintrin.h", "x86intrin.h", "emmintrin.h", "xmmintrin.h", "arm_neon.h"}
SIMD_PLACES = {"plugins/backend_cpu"}
