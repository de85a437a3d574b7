"""Output: data on stdout, as text or as one JSON envelope; errors the same way.

Rules:
    1. stdout is data, stderr is progress and warnings.
    2. Every command has `--json`: ``{"v": 1, "data": ...}`` or ``{"v": 1, "error": {kind, message, hint}}``.
    3. No colour, no cut columns, no broken lines and no padding where stdout is not a terminal.
"""

from __future__ import annotations

import sys
from collections.abc import Callable
from typing import Any, Literal

import msgspec
from rich.console import Console
from rich.table import Table

from consilience.core.errors import ConsilienceError
from consilience.core.untrusted import escape_json
from consilience.interfaces.text import one_line, printable

ENVELOPE_VERSION = 1
_PIPE_WIDTH = 100_000  # wider than any line of ours


class _Pipe(Console):
    """A console that is no terminal: tables are not padded to the right."""

    def print(self, *objects: Any, **options: Any) -> None:
        if not any(isinstance(each, Table) for each in objects):
            super().print(*objects, **options)
            return
        with self.capture() as captured:
            super().print(*objects, **options)
        self.file.write("\n".join(line.rstrip() for line in captured.get().split("\n")))


def stdout() -> Console:
    """Return the console for data."""
    console = Console(file=sys.stdout, highlight=False, markup=False, emoji=False, soft_wrap=False)
    return (
        console
        if console.is_terminal
        else _Pipe(file=sys.stdout, highlight=False, markup=False, emoji=False, width=_PIPE_WIDTH, no_color=True)
    )


def stderr() -> Console:
    """Return the console for progress."""
    return Console(file=sys.stderr, highlight=False, markup=False, emoji=False)


def emit(data: Any, show: Callable[[Console], None], *, as_json: bool) -> None:
    """Print data: the envelope, or what `show` makes of it."""
    if as_json:
        print_json({"v": ENVELOPE_VERSION, "data": data})
    else:
        show(stdout())


def print_json(value: Any) -> None:
    """Print one line of JSON, at once; what acts on a terminal or hides is escaped, as all else that is shown."""
    sys.stdout.write(escape_json(msgspec.json.encode(value).decode()) + "\n")
    sys.stdout.flush()


def warn(text: str) -> None:
    """Print one line of warning on stderr."""
    sys.stderr.write(f"warning: {one_line(text, 0)}\n")


def note(text: str) -> None:
    """Print one line of information on stderr."""
    sys.stderr.write(f"{one_line(text, 0)}\n")


def print_error(error: ConsilienceError, *, as_json: bool) -> None:
    """Print an error with its mend."""
    if as_json:
        fields = {"kind": error.kind, "message": error.message, "hint": error.hint}
        print_json({"v": ENVELOPE_VERSION, "error": fields})
        return
    sys.stderr.write(f"error: {_indented(error.message)}\n")
    if error.hint:
        sys.stderr.write(f"  mend: {_indented(error.hint)}\n")


def _indented(text: str) -> str:
    """Return harmless text whose further lines cannot pass for lines of ours."""
    return printable(text.strip()).replace("\n", "\n    ")


def table(title: str, *columns: str) -> Table:
    """Return an empty table; a column whose name ends in ``>`` holds numbers: right-aligned and never cut."""
    made = Table(title=title or None, box=None, pad_edge=False, header_style="bold", title_justify="left")
    for column in columns:
        is_number = column.endswith(">")
        justify: Literal["left", "right"] = "right" if is_number else "left"
        made.add_column(column.rstrip(">"), justify=justify, overflow="ellipsis", no_wrap=is_number)
    return made
