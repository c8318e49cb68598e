"""The rules: each takes a tree (a folder laid out like the repository) and returns its violations as lines of text."""

import re
from dataclasses import dataclass
from pathlib import Path

import limits
import rooms
from source import Include, Source

PRINTS_OR_EXITS = re.compile(
    r"\b(?:printf|fprintf|vprintf|vfprintf|puts|fputs|putchar|perror|exit|_exit|_Exit|quick_exit|abort)\s*\("
    r"|\bstd::(?:cout|cerr|clog)\b|\bfmt::print\s*\(|\bstd::terminate\s*\("
)
LOCAL_STATIC = re.compile(r"\bstatic\s+(?!const\b|constexpr\b|_?_?[Aa]ssert|inline\s+const|cast)(?:thread_local\s+)?[\w:<>,&* ]+?[={;]")


class Tree:
    def __init__(self, root: Path) -> None:
        self.root = root
        self.sources: dict[str, Source] = {}
        for top in ("host", "plugins", "plugin_api"):
            build_folders = {cache.parent for cache in (root / top).rglob("CMakeCache.txt")}
            for path in sorted((root / top).rglob("*")):
                if build_folders & set(path.parents):
                    continue
                if path.suffix in (".h", ".cc", ".c", ".cu", ".cuh"):
                    self.sources[path.relative_to(root).as_posix()] = Source(path)

    def under(self, *tops: str) -> dict[str, Source]:
        return {name: source for name, source in self.sources.items() if name.startswith(tops)}

    def plugin_ids(self) -> set[str]:
        """Of every plugin that runs; the template is there to be copied."""
        ids = set()
        for manifest in (self.root / "plugins").glob("*_*/*.toml"):
            ids.update(re.findall(r'^id\s*=\s*"([^"]+)"', manifest.read_text(encoding="utf-8"), re.MULTILINE))
        return ids


@dataclass(frozen=True)
class Place:
    """Where a source lies: host/<room>, plugins/<folder> or plugin_api."""

    top: str
    room: str

    @staticmethod
    def of(name: str) -> "Place":
        top, *rest = name.split("/")
        if top == "plugin_api":
            return Place(top, "")
        return Place(top, rest[0] if len(rest) > 1 else Path(rest[0]).stem)

    def __str__(self) -> str:
        return f"{self.top}/{self.room}" if self.room else self.top


def includes(tree: Tree) -> list[str]:
    found = []
    for name, source in tree.sources.items():
        place = Place.of(name)
        for include in source.includes():
            problem = _include_problem(tree, name, place, include)
            if problem:
                found.append(f"{name}:{include.line}: {place} may not include {include.target}: {problem}")
    return found


def _include_problem(tree: Tree, name: str, place: Place, include: Include) -> str | None:
    target = include.target
    if target in rooms.SIMD_HEADERS and str(place) not in rooms.SIMD_PLACES:
        return f"intrinsics belong to {', '.join(sorted(rooms.SIMD_PLACES))}"
    if "flow_graph" in target and str(place) not in rooms.FLOW_GRAPH:
        return "the flow graph belongs to host/graph"
    for prefix, places in rooms.THIRD_PARTY.items():
        if target.startswith(prefix):
            return None if {place.top, str(place)} & places else f"{prefix} belongs to {', '.join(sorted(places)) or 'tests'}"
    if target.startswith("tenure/"):
        return _plugin_api_problem(place, target)
    if not include.quoted:
        return None if _is_standard(target) else "not a header this project depends on"
    return {"host": _host_problem, "plugins": _own_folder_problem, "plugin_api": _own_folder_problem}[place.top](
        tree, name, place, target
    )


def _plugin_api_problem(place: Place, target: str) -> str | None:
    if place.top != "host":
        return None
    allowed = rooms.PLUGIN_API.get(place.room, set())
    return None if "*" in allowed or target in allowed else "the plugin ABI is the plugin room's to face"


def _host_problem(tree: Tree, name: str, place: Place, target: str) -> str | None:
    del tree, name
    room = target.split("/")[0]
    if "/" not in target:
        return "host headers are included as \"room/file.h\""
    if room == place.room or place.room in rooms.SEE_EVERYTHING:
        return None
    if place.room not in rooms.HOST_ROOMS:
        return f"{place.room} is no room of the table"
    if room not in rooms.HOST_ROOMS[place.room]:
        return f"{place.room} may include only {', '.join(sorted(rooms.HOST_ROOMS[place.room])) or 'itself'}"
    face = rooms.FACES.get((place.room, room))
    return f"{place.room} may see only {', '.join(sorted(face))} of it" if face and target not in face else None


def _own_folder_problem(tree: Tree, name: str, place: Place, target: str) -> str | None:
    folder = tree.root / place.top / place.room if place.room else tree.root / place.top
    for base in ((tree.root / name).parent, folder):
        if (base / target).resolve().is_file() and (base / target).resolve().is_relative_to(folder.resolve()):
            return None
    return "a plugin includes only its own folder and plugin_api"


def _is_standard(target: str) -> bool:
    """C and C++ headers have no folder; POSIX and Linux ones come from sys/, linux/ and a few plain names."""
    if target.startswith(("sys/", "linux/", "asm/")):
        return True
    return "/" not in target and (target.endswith(".h") or "." not in target)


def abi_headers_are_c(tree: Tree) -> list[str]:
    allowed = {"stdint.h", "stddef.h", "stdbool.h"}
    return [
        f"{name}:{include.line}: plugin_api may include only {', '.join(sorted(allowed))} and itself, not {include.target}"
        for name, source in tree.under("plugin_api/").items()
        for include in source.includes()
        if include.target not in allowed and not include.target.startswith("tenure/")
    ]


def no_device_in_host(tree: Tree) -> list[str]:
    return [
        f"{name}:{line}: the host names no device: {text.strip()}"
        for name, source in tree.under("host/").items()
        for line, text in enumerate(source.text.splitlines(), start=1)
        if "cuda" in text.lower()
    ]


def no_plugin_id_in_host(tree: Tree) -> list[str]:
    ids = tree.plugin_ids()
    return [
        f"{name}:{line}: the host names no plugin: \"{text}\""
        for name, source in tree.under("host/").items()
        if name not in limits.DEFAULT_IDS
        for text, line in source.string_literals()
        if text in ids and (name, text) not in limits.SAME_WORD
    ]


def nothing_prints_or_exits(tree: Tree) -> list[str]:
    return [
        f"{name}:{line}: only host/main.cc and host/cli print or exit: {text}"
        for name, source in tree.under("host/", "plugins/").items()
        if Place.of(name).room not in rooms.SEE_EVERYTHING
        for text, line in source.lines_matching(PRINTS_OR_EXITS)
    ]


def no_std_regex(tree: Tree) -> list[str]:
    return [
        f"{name}:{line}: std::regex recurses on its input: {text}"
        for name, source in tree.sources.items()
        for text, line in source.lines_matching(re.compile(r"\bstd::w?regex\b|#\s*include\s*<regex>"))
    ]


def no_mutable_globals(tree: Tree) -> list[str]:
    found = []
    for name, source in tree.under("host/", "plugins/").items():
        at_line = {line: text for text, line in source.lines_matching(LOCAL_STATIC)}
        for variable in source.namespace_variables():
            if not re.search(r"\b(const|constexpr|extern)\b", variable.text):
                at_line[variable.line] = variable.text
        for line, text in at_line.items():
            if not any(name == path and text.startswith(start) for path, start in limits.MUTABLE_GLOBALS):
                found.append(f"{name}:{line}: mutable state outside any object: {text}")
    return found


def sizes(tree: Tree) -> list[str]:
    found = []
    for name, source in tree.sources.items():
        kernel = name.startswith(limits.KERNEL_PLACES)
        max_file = limits.KERNEL_FILE_LINES if kernel else limits.FILE_LINES
        max_function = limits.KERNEL_FUNCTION_LINES if kernel else limits.FUNCTION_LINES
        max_parameters = limits.KERNEL_PARAMETERS if kernel else limits.PARAMETERS
        if source.n_lines > max_file and name not in limits.LONG_FILES:
            found.append(f"{name}: {source.n_lines} lines, at most {max_file}")
        for function in source.functions():
            at = f"{name}:{function.first_line}: {function.name}"
            key = (name, function.name)
            if function.n_lines > max_function and key not in limits.LONG_FUNCTIONS:
                found.append(f"{at}: {function.n_lines} lines, at most {max_function}")
            excused = function.is_abi_slot or key in limits.MANY_PARAMETERS
            if function.n_parameters > max_parameters and not excused:
                found.append(f"{at}: {function.n_parameters} parameters, at most {max_parameters}")
    return found


def stale_exceptions(tree: Tree) -> list[str]:
    """An exception for something that no longer exists would silently cover whatever takes its name."""
    pairs = [*limits.LONG_FUNCTIONS, *limits.MANY_PARAMETERS, *limits.MUTABLE_GLOBALS, *limits.SAME_WORD]
    named = [path for path, _ in pairs]
    named += [*limits.LONG_FILES, *limits.DEFAULT_IDS]
    return [f"limits.py names {path}, which does not exist" for path in named if path not in tree.sources]


ALL = [
    includes,
    abi_headers_are_c,
    no_device_in_host,
    no_plugin_id_in_host,
    nothing_prints_or_exits,
    no_std_regex,
    no_mutable_globals,
    sizes,
    stale_exceptions,
]
