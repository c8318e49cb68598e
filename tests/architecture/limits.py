"""Sizes that keep the code readable in one sitting, and the few places that may exceed them, each with its reason."""

FILE_LINES = 400
FUNCTION_LINES = 60
PARAMETERS = 6

# Kernels of a backend: one op's variants stay together, an unrolled loop is long by nature, and what it needs is
# in registers rather than in a struct.
KERNEL_PLACES = ("plugins/backend_",)
KERNEL_FILE_LINES = 500
KERNEL_FUNCTION_LINES = 120
KERNEL_PARAMETERS = 8

# path -> reason
LONG_FILES: dict[str, str] = {}
# (path, function) -> reason
LONG_FUNCTIONS: dict[tuple[str, str], str] = {}
# (path, function) -> reason
MANY_PARAMETERS: dict[tuple[str, str], str] = {
    ("host/plugin/backend.cc", "Backend::qkv"): "the face of one ABI slot, argument by argument",
}
# (path, start of the declaration) -> reason
MUTABLE_GLOBALS: dict[tuple[str, str], str] = {
    ("host/cli/signals.cc", "std::atomic<bool> stop"): "a signal handler can reach nothing else",
    ("host/cli/streams.cc", "int stdout_fd"): "descriptors are the process's, so where the real stdout went is too",
}

# Where a plugin id may be written: the table of default ids.
DEFAULT_IDS = {"host/plan/resolver.h"}
# (path, literal) -> what it means there, being no plugin's id
SAME_WORD: dict[tuple[str, str], str] = {
    ("host/manifest/host_keys.h", "full"): 'on_plugin_error = "full"',
}
