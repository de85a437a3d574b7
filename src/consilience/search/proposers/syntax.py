"""Parsed source, cached by text, with the spans that may change.

Rules:
    1. Only what lies wholly inside an editable span is offered for change.
    2. An edit is a replacement of source text by position, so everything else stays byte for byte.
    3. A text that does not parse offers nothing.

Data flow: artifact text -> LibCST with positions -> edit sites -> new text.
"""

from __future__ import annotations

from collections.abc import Iterator
from functools import lru_cache

import libcst as cst
from libcst.metadata import ByteSpanPositionProvider, MetadataWrapper, ParentNodeProvider, PositionProvider
from msgspec import Struct

from consilience.core.artifact import Artifact
from consilience.core.blocks import editable_spans, is_editable

_CACHED_TEXTS = 64  # a parsed program with positions is some hundred kilobytes


class Source:
    """One parsed Python file."""

    def __init__(self, path: str, text: str) -> None:
        self.path = path
        self.text = text
        self.data = text.encode()
        wrapper = MetadataWrapper(cst.parse_module(self.data), unsafe_skip_copy=True)
        self.module = wrapper.module
        self._spans = editable_spans(text)
        self._bytes = wrapper.resolve(ByteSpanPositionProvider)
        self._lines = wrapper.resolve(PositionProvider)
        self._parents = wrapper.resolve(ParentNodeProvider)

    def nodes(self) -> Iterator[cst.CSTNode]:
        """Yield every editable node, in order of position."""
        stack: list[cst.CSTNode] = [self.module]
        while stack:
            node = stack.pop()
            if node in self._lines and self.editable(node):
                yield node
            stack.extend(reversed(node.children))

    def editable(self, node: cst.CSTNode) -> bool:
        """Tell whether the node lies wholly inside one editable span."""
        place = self._lines[node]
        return is_editable(self._spans, place.start.line, place.end.line)

    def span(self, node: cst.CSTNode) -> tuple[int, int]:
        """Return where a node's bytes start and end."""
        found = self._bytes[node]
        return found.start, found.start + found.length

    def line(self, node: cst.CSTNode) -> int:
        """Return the line a node starts on, from 1."""
        return int(self._lines[node].start.line)

    def parent(self, node: cst.CSTNode) -> cst.CSTNode | None:
        """Return a node's parent."""
        return self._parents.get(node)

    def ancestors(self, node: cst.CSTNode) -> Iterator[cst.CSTNode]:
        """Yield a node's parents, nearest first."""
        above = self.parent(node)
        while above is not None:
            yield above
            above = self.parent(above)

    def code(self, node: cst.CSTNode) -> str:
        """Return a node's source text."""
        start, end = self.span(node)
        return self.data[start:end].decode()

    def place(self, node: cst.CSTNode) -> str:
        """Name where a node is: ``pack():41``, or ``:12`` outside any function."""
        functions = [above.name.value for above in self.ancestors(node) if isinstance(above, cst.FunctionDef)]
        return f"{functions[0]}():{self.line(node)}" if functions else f"{self.path}:{self.line(node)}"


class Edit(Struct, frozen=True, kw_only=True):
    """Replacements of byte ranges in one file, with a line that says what changes and where."""

    path: str
    replacements: tuple[tuple[int, int, str], ...]
    target: str
    change: str


@lru_cache(maxsize=_CACHED_TEXTS)
def parse(path: str, text: str) -> Source | None:
    """Return a file's parsed source; None when it is not Python, does not parse, or its markers are faulty."""
    if not path.endswith(".py"):
        return None
    try:
        return Source(path, text)
    except (cst.ParserSyntaxError, ValueError, RecursionError):
        return None


def sources(artifact: Artifact) -> list[Source]:
    """Return the parsed Python files of an artifact."""
    parsed = (parse(file.path, file.text) for file in artifact.files)
    return [source for source in parsed if source is not None]


def replace_bytes(text: str, replacements: tuple[tuple[int, int, str], ...]) -> str:
    """Return the text with byte ranges replaced; ranges must not overlap."""
    data, parts, done = text.encode(), [], 0
    for start, end, new in sorted(replacements):
        parts += [data[done:start], new.encode()]
        done = end
    return b"".join([*parts, data[done:]]).decode()


def compiles(path: str, text: str) -> bool:
    """Tell whether Python accepts the text as a program."""
    try:
        compile(text, path, "exec", dont_inherit=True)
    except (SyntaxError, ValueError, RecursionError, OverflowError):
        return False
    return True
