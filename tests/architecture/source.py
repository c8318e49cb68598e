"""Just enough of a C++ reader for the architecture rules: comments out, includes, literals, functions, globals.

It is no compiler. It reads clang-formatted code, counts braces, and calls a block a function when what stands before
its brace ends in a parameter list. test_rules.py pins what it sees.
"""

import re
from dataclasses import dataclass
from pathlib import Path

INCLUDE = re.compile(r'^[ \t]*#[ \t]*include[ \t]*([<"])([^>"]+)[>"]', re.MULTILINE)
# Comments, raw strings, strings, characters; a ' between digits is a separator, not a character.
LEXEME = re.compile(
    r'//[^\n]*|/\*.*?\*/|R"([^()\\ ]{0,16})\(.*?\)\1"|"(?:[^"\\\n]|\\.)*"|(?<![0-9a-fA-F])\'(?:[^\'\\\n]|\\.)+\'',
    re.DOTALL,
)
TYPE_HEADER = re.compile(r"\b(class|struct|union|enum)\b[^()=]*$")
PARAMETER_LIST_END = re.compile(r"\)\s*((const|noexcept|override|final|mutable|constexpr|&&?)\s*)*(->[^{}]*)?$")
NOT_A_VARIABLE = re.compile(
    r"(__extension__\s+)?(using|typedef|template|class|struct|enum|union|friend|namespace|static_assert|concept)\b"
)
INIT_LIST = re.compile(r"\)\s*(noexcept\s*)?:(?!:)")


@dataclass(frozen=True)
class Function:
    name: str
    first_line: int
    n_lines: int
    n_parameters: int
    is_abi_slot: bool  # its shape is the plugin ABI's, not ours to shorten


@dataclass(frozen=True)
class Variable:
    text: str
    line: int


@dataclass(frozen=True)
class Include:
    target: str
    quoted: bool
    line: int


class Source:
    def __init__(self, path: Path, text: str | None = None) -> None:
        self.path = path
        self.text = path.read_text(encoding="utf-8") if text is None else text
        self.n_lines = self.text.count("\n")
        self.code = LEXEME.sub(_blank, self.text)

    def includes(self) -> list[Include]:
        without_comments = re.sub(r"//[^\n]*|/\*.*?\*/", _blank_whole, self.text, flags=re.DOTALL)
        return [
            Include(match[2], match[1] == '"', _line_at(without_comments, match.start(1)))
            for match in INCLUDE.finditer(without_comments)
        ]

    def string_literals(self) -> list[tuple[str, int]]:
        return [
            (match[0][1:-1], _line_at(self.text, match.start()))
            for match in LEXEME.finditer(self.text)
            if match[0].startswith('"') and not _on_include_line(self.text, match.start())
        ]

    def lines_matching(self, pattern: re.Pattern) -> list[tuple[str, int]]:
        return [(match[0], _line_at(self.code, match.start())) for match in pattern.finditer(self.code)]

    def functions(self) -> list[Function]:
        return self._walk()[0]

    def namespace_variables(self) -> list[Variable]:
        return self._walk()[1]

    def _walk(self) -> tuple[list[Function], list[Variable]]:
        """One pass over the code, preprocessor lines blanked, descending into namespaces and types only."""
        code = re.sub(r"^[ \t]*#(?:[^\n\\]|\\(?:.|\n))*", _blank_whole, self.code, flags=re.MULTILINE)
        functions: list[Function] = []
        variables: list[Variable] = []
        scopes: list[str] = ["namespace"]
        start = i = 0
        while i < len(code):
            if code[i] == ";":
                if scopes[-1] == "namespace":
                    _note_variable(code, start, i, variables)
                start = i + 1
            elif code[i] == "}":
                scopes.pop()
                start = i + 1
            elif code[i] == "{":
                header = code[start:i].strip()
                kind = _kind(header)
                if kind in ("namespace", "type"):
                    scopes.append(kind)
                    start = i + 1
                else:
                    end = _matching_brace(code, i)
                    if kind == "function":
                        functions.append(_function(code, header, start, end))
                        start = end + 1
                    i = end
            i += 1
        return functions, variables


def _blank(match: re.Match) -> str:
    """Keeps the length and the lines; a string stays a string, so that `f("...")` still reads as a call."""
    text = match[0]
    if text.startswith("/"):
        return _blank_whole(match)
    return '"' + re.sub(r"[^\n]", " ", text[1:-1]) + '"'


def _blank_whole(match: re.Match) -> str:
    return re.sub(r"[^\n]", " ", match[0])


def _line_at(text: str, offset: int) -> int:
    return text.count("\n", 0, offset) + 1


def _on_include_line(text: str, offset: int) -> bool:
    return INCLUDE.match(text, text.rfind("\n", 0, offset) + 1) is not None


def _kind(header: str) -> str:
    if re.search(r"\bnamespace\b[\w: ]*$", header) or re.search(r'\bextern\s*"\s*"$', header):
        return "namespace"
    if TYPE_HEADER.search(header) and not header.endswith("="):
        return "type"
    if header.endswith(("=", "return", ",", "(")):
        return "initialiser"
    init_list = INIT_LIST.search(header)
    if init_list:
        # `: a_(1), b_{2} {`: the body's brace follows a closed member initialiser, a member's brace follows its name.
        return "function" if header[-1] in ")}" else "initialiser"
    return "function" if PARAMETER_LIST_END.search(header) else "initialiser"


def _matching_brace(code: str, opening: int) -> int:
    depth = 0
    for i in range(opening, len(code)):
        if code[i] == "{":
            depth += 1
        elif code[i] == "}":
            depth -= 1
            if depth == 0:
                return i
    return len(code) - 1


def _function(code: str, header: str, start: int, end: int) -> Function:
    first = start + len(code[start:end]) - len(code[start:end].lstrip())
    parameters = _parameters(header)
    name = re.search(r"([\w:~]+|operator\s*\S+)\s*\($", header[: parameters.start])
    return Function(
        name=name[1] if name else header[:40],
        first_line=_line_at(code, first),
        n_lines=code.count("\n", first, end) + 1,
        n_parameters=parameters.count,
        is_abi_slot=re.search(r"\btenure_(call|error)\s*\*", header) is not None,
    )


@dataclass(frozen=True)
class _Parameters:
    start: int
    count: int


def _parameters(header: str) -> _Parameters:
    """The first parenthesised list of a function's header, its commas counted outside <>, () and {}."""
    opening = header.find("(", header.find("operator()") + len("operator()") if "operator()" in header else 0)
    depth, commas, text = 0, 0, ""
    for i in range(opening, len(header)):
        if header[i] in "(<{[":
            depth += 1
        elif header[i] in ")>}]" and header[i - 1] != "-":
            depth -= 1
            if depth == 0:
                break
        elif header[i] == "," and depth == 1:
            commas += 1
        text += header[i]
    empty = text.strip("( \n") in ("", "void")
    return _Parameters(opening + 1, 0 if empty else commas + 1)


def _note_variable(code: str, start: int, end: int, variables: list[Variable]) -> None:
    text = " ".join(code[start:end].split())
    declared = text.split("=")[0].split("{")[0]
    if not text or "(" in declared or declared.startswith("}"):
        return
    if NOT_A_VARIABLE.match(text) or "operator" in declared:
        return
    variables.append(Variable(text, _line_at(code, start + len(code[start:end]) - len(code[start:end].lstrip()))))
