"""From what a trial was denied to findings, each with the line that would allow it, and one with the whole table.

Rules:
    1. Nothing is opened here: the user decides, and writes the line.
    2. The table holds what is granted already, so that it can replace what is there.

Data flow: Denials + Outcome -> `wishes` -> Finding for each, and one with the whole table.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from pathlib import Path

from consilience.core.outcome import Outcome
from consilience.core.ports import LoadedProblem
from consilience.node.findings import Finding
from consilience.node.grouping import shown
from consilience.node.wishes import Wish, wishes_of
from consilience.problems.companion import grants_file
from consilience.trials.observing.denials import Denials
from consilience.trials.observing.printed import printed_denials


def denied(loaded: LoadedProblem, outcome: Outcome, denials: Denials) -> Iterator[Finding]:
    """Yield a finding for each thing that was denied, and one with the table that would allow it all.

    Args:
        loaded: the problem.
        outcome: that of the baseline.
        denials: what a watch saw; where it is not complete, the outcome's log is read instead.
    """
    file = grants_file(loaded.root)
    if not denials.complete:
        denials = printed_denials(outcome.log, Path.home())
        level = outcome.isolation.level
        text = f"at level {level} nobody watches a trial: only what the log tells is listed" if not outcome.ok else ""
        yield from [Finding(name="denied", health="ok", found=text)] if text else []
    wishes = wishes_of(loaded, outcome, denials)
    for wish in wishes:
        yield Finding(name="denied", health="warning", found=wish.found, mend=_mend(wish, file))
    if any(wish.key for wish in wishes):
        yield _whole_table(loaded, wishes, file)


def _mend(wish: Wish, file: str) -> str:
    return f"{wish.first}add to {file}: [sandbox] {wish.key} = {_toml(wish)}" if wish.key else wish.advice


def _toml(wish: Wish) -> str:
    if wish.key == "environment":
        return f"{{ {wish.name} = {_quoted(wish.value)} }}"
    return wish.value if wish.key == "gpus" else f"[{_quoted(wish.value)}]"


def _quoted(text: str) -> str:
    return json.dumps(text, ensure_ascii=False)


def _whole_table(loaded: LoadedProblem, wishes: Sequence[Wish], file: str) -> Finding:
    """Return the table as it would be with every line in it, what is granted already included."""
    grants, variables = loaded.grants, dict(loaded.problem.environment)
    places = {
        "readable": [shown(each) for each in grants.readable],
        "scratch": [shown(each) for each in grants.scratch],
    }
    for wish in wishes:
        if wish.key in places:
            places[wish.key].append(wish.value)
        elif wish.key == "environment":
            variables[wish.name] = wish.value
    gpus = max(grants.gpus, *(1 for wish in wishes if wish.key == "gpus"), 0)
    lines = [f"{key} = [{', '.join(map(_quoted, dict.fromkeys(values)))}]" for key, values in places.items() if values]
    lines += [f"scratch_mb = {grants.scratch_mb}"] if grants.scratch_mb else []
    lines += (
        [f"environment = {{ {', '.join(f'{n} = {_quoted(v)}' for n, v in variables.items())} }}"] if variables else []
    )
    lines += [f"gpus = {gpus}"] if gpus else []
    mend = "\n".join([f"in {file}, to allow all of it:", "[sandbox]", *lines])
    return Finding(name="sandbox", health="warning", found=f"{len(wishes)} denied", mend=mend)
