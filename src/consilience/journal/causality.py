"""Causality among events: what each builds on, how deep it lies, and what lies before it.

Rules:
    1. Causes of an event are its `prev`, its `after`, and what its body rests on; ids are hashes: there are no cycles.
    2. An event whose causes are not all here has no depth: it waits.
    3. Iterative, for feeds of a million events; each walk looks at an event once.

Data flow: held events -> `depths`, `walk` -> `journal.order`, `journal.epochs`, `journal.quarantine`.
"""

from __future__ import annotations

from collections.abc import Container, Iterable, Mapping

from consilience.core.events import Event
from consilience.journal.kinds import BY_NAME, references


def causes(event: Event) -> tuple[str, ...]:
    """Return the ids of the events that this one builds on."""
    fields = event.fields
    kind = BY_NAME.get(fields.kind)
    rests_on = references(event.body, kind.rests_on) if kind and kind.rests_on and event.body is not None else ()
    return (*fields.after, *rests_on) if fields.prev is None else (fields.prev, *fields.after, *rests_on)


def depths(held: Mapping[str, Event], given: Container[str]) -> dict[str, int]:
    """Return the causal depth of every event whose causes are all held or given; causes come first in it.

    `given` is asked only for what is not held.
    """
    found: dict[str, int] = {}
    missing: set[str] = set()
    for start in held:
        stack = [start]
        while stack:
            name = stack[-1]
            if name in found or name in missing:
                stack.pop()
                continue
            named = [cause for cause in causes(held[name]) if cause in held or cause not in given]
            if any(cause not in held or cause in missing for cause in named):
                missing.add(name)
            elif waiting := [cause for cause in named if cause not in found]:
                stack.extend(waiting)
            else:
                found[name] = 1 + max((found[cause] for cause in named), default=-1)
    return found


def walk(held: Mapping[str, Event], heads: Iterable[str], seen: set[str]) -> list[str]:
    """Add the heads and all that lies before them to `seen`; return what was new. What is seen is not entered."""
    new: list[str] = []
    stack = [head for head in heads if head in held]
    while stack:
        name = stack.pop()
        if name not in seen:
            seen.add(name)
            new.append(name)
            stack.extend(cause for cause in causes(held[name]) if cause in held)
    return new
