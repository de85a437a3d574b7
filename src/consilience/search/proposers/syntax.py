"""Parsed source, cached by text, with the spans that may change.

Rules:
    1. Only what lies wholly inside an editable span is offered for change.
    2. An edit is a replacement of source text by position, so everything else stays byte for byte.
    3. A text that does not parse offers nothing.

Data flow: artifact text -> LibCST with positions -> edit sites -> new text.
"""

from __future__ import annotations

import bisect
import warnings
from collections.abc import Iterable, Iterator, Sequence
from functools import lru_cache

import libcst as cst
from libcst.metadata import ByteSpanPositionProvider, MetadataWrapper

from consilience.core.artifact import Artifact
from consilience.core.blocks import editable_spans, is_editable, split_lines

Replacement = tuple[int, int, str]
"""First byte, the byte after the last, and the text that takes their place."""

_CACHED_TEXTS = 64  # a parsed program with positions is some hundred kilobytes


class Source:
    """One parsed Python file."""

    def __init__(self, path: str, text: str) -> None:
        self.path = path
        self.text = text
        self.data = text.encode()
        wrapper = MetadataWrapper(cst.parse_module(text), unsafe_skip_copy=True)
        self._bytes = wrapper.resolve(ByteSpanPositionProvider)
        self._starts = _line_starts(self.data)
        self._spans = editable_spans(text)
        self._parents: dict[cst.CSTNode, cst.CSTNode] = {}
        self._children: dict[cst.CSTNode, Sequence[cst.CSTNode]] = {}
        self._nodes = tuple(self._walk(wrapper.module))

    def nodes(self) -> tuple[cst.CSTNode, ...]:
        """Return every editable node, in order of position."""
        return self._nodes

    def _walk(self, module: cst.Module) -> Iterator[cst.CSTNode]:
        stack: list[cst.CSTNode] = [module]
        while stack:
            node = stack.pop()
            if node in self._bytes and self.editable(node):
                yield node
            below = self._children[node] = node.children
            self._parents.update(dict.fromkeys(below, node))
            stack.extend(reversed(below))

    def editable(self, node: cst.CSTNode) -> bool:
        """Tell whether the node lies wholly inside one editable span."""
        start, end = self.span(node)
        return is_editable(self._spans, self._line_at(start), self._line_at(max(end - 1, start)))

    def span(self, node: cst.CSTNode) -> tuple[int, int]:
        """Return where a node's bytes start and end."""
        found = self._bytes[node]
        return found.start, found.start + found.length

    def outer_span(self, node: cst.CSTNode) -> tuple[int, int]:
        """Return where a node starts and ends with its own parentheses, which `span` leaves out."""
        start, end = self.span(node)
        if isinstance(node, cst.BaseExpression) and node.lpar:
            return self.span(node.lpar[0])[0], self.span(node.rpar[-1])[1]
        return start, end

    def rows(self, node: cst.CSTNode) -> tuple[int, int]:
        """Return where the lines that a node stands on start and end, the last line's ending included."""
        start, end = self.span(node)
        last = self._line_at(max(end - 1, start))
        return self._starts[self._line_at(start) - 1], self._starts[last] if last < len(self._starts) else len(
            self.data
        )

    def line(self, node: cst.CSTNode) -> int:
        """Return the line a node starts on, from 1."""
        return self._line_at(self.span(node)[0])

    def _line_at(self, offset: int) -> int:
        return bisect.bisect_right(self._starts, offset)

    def parent(self, node: cst.CSTNode) -> cst.CSTNode | None:
        """Return a node's parent."""
        return self._parents.get(node)

    def children(self, node: cst.CSTNode) -> Sequence[cst.CSTNode]:
        """Return what is directly below a node; LibCST works this out anew each time it is asked."""
        return self._children[node]

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

    def outer_code(self, node: cst.CSTNode) -> str:
        """Return a node's source text with its own parentheses."""
        start, end = self.outer_span(node)
        return self.data[start:end].decode()

    def place(self, node: cst.CSTNode) -> str:
        """Name where a node is: ``pack():41``, or ``pack.py:12`` outside any function."""
        function = self.function(node)
        return f"{function.name.value}():{self.line(node)}" if function else f"{self.path}:{self.line(node)}"

    def function(self, node: cst.CSTNode) -> cst.FunctionDef | None:
        """Return the innermost function around a node."""
        return next((above for above in self.ancestors(node) if isinstance(above, cst.FunctionDef)), None)


def _line_starts(data: bytes) -> list[int]:
    """Return the byte offset at which each line starts, lines counted as `core.blocks` counts them."""
    starts = [0]
    for line in split_lines(data.decode()):
        starts.append(starts[-1] + len(line.encode()))
    return starts[:-1] if len(starts) > 1 else starts


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


def replace_bytes(text: str, replacements: Iterable[Replacement]) -> str:
    """Return the text with byte ranges replaced; ranges must not overlap."""
    data, parts, done = text.encode(), [], 0
    for start, end, new in sorted(replacements):
        parts += [data[done:start], new.encode()]
        done = end
    return b"".join([*parts, data[done:]]).decode()


def compiles(path: str, text: str) -> bool:
    """Tell whether Python accepts the text as a program; its warnings are not ours to show."""
    try:
        with warnings.catch_warnings(action="ignore", category=SyntaxWarning):
            compile(text, path, "exec", dont_inherit=True)
    except (SyntaxError, ValueError, RecursionError, OverflowError):
        return False
    return True
