"""Tables: the growing parts of a view's state, in memory or on disk, with one face.

Rules:
    1. A view holds whatever grows with the journal in a `Table` or in `Lists`, and the rest in plain attributes.
    2. Both keep the order of first insertion, and nothing is ever taken out of them: events only add.
    3. Whoever changes a value in place says so by `touch`, else the change may be lost when the value leaves memory.

Data flow: view -> here (memory); view -> `journal.table_file` (disk), put in its place by `journal.snapshots`.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any, ClassVar, Protocol, TypeVar

from consilience.core.events import Event

Value = TypeVar("Value")


class Table(Mapping[str, Value]):
    """Values by key, in order of first insertion. This one is in memory."""

    def __init__(self) -> None:
        self._values: dict[str, Value] = {}

    def __getitem__(self, key: str) -> Value:
        return self._values[key]

    def __setitem__(self, key: str, value: Value) -> None:
        self._values[key] = value

    def __iter__(self) -> Iterator[str]:
        return iter(self._values)

    def __len__(self) -> int:
        return len(self._values)

    def add(self, key: str, value: Value) -> None:
        """Keep a value, unless there is one under this key."""
        if key not in self:
            self[key] = value

    def touch(self, key: str) -> None:
        """Say that the value was, or is about to be, changed in place."""

    def backwards(self) -> Iterator[Value]:
        """Yield the values, latest first."""
        return iter(reversed(self._values.values()))


class Lists(Mapping[str, Sequence[Value]]):
    """Append-only lists by key, in order of each list's first item. These are in memory."""

    def __init__(self) -> None:
        self._lists: dict[str, list[Value]] = {}

    def __getitem__(self, key: str) -> Sequence[Value]:
        return self._lists[key]

    def __iter__(self) -> Iterator[str]:
        return iter(self._lists)

    def __len__(self) -> int:
        return len(self._lists)

    def append(self, key: str, item: Value) -> None:
        """Add an item at the end of a list."""
        self._lists.setdefault(key, []).append(item)

    def rows(self, key: str) -> Sequence[Value]:
        """Return a list that may not have been read yet: it is when it is looked at. Empty for an unknown key."""
        return self._lists.get(key, [])

    def change(self, key: str, new: Callable[[Value], Value]) -> None:
        """Replace each item of a list by what `new` makes of it."""
        if key in self._lists:
            self._lists[key] = [new(item) for item in self._lists[key]]

    def clear(self) -> None:
        """Forget all lists: what they hold is about something that is over."""
        self._lists.clear()


class KeptView(Protocol):
    """**Protocol:** a view whose state can be kept.

    Attributes:
        cells: attribute (dots lead into parts) -> type of its value; everything that does not grow.
        tables: attribute that holds a `Table` -> type of its values.
        lists: attribute that holds `Lists` -> type of their items.
    """

    cells: ClassVar[Mapping[str, Any]]
    tables: ClassVar[Mapping[str, Any]]
    lists: ClassVar[Mapping[str, Any]]

    def apply(self, event: Event) -> None:
        """Take one more event, in canonical order."""
