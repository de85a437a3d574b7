"""Writes the table of docs/isolation.md: every canary at every level, as root and as an ordinary user, on this machine.

    python scripts/write_isolation.py            run them and write the table
    python scripts/write_isolation.py --print    run them and print it

Rules:
    1. What cannot be run here (another user, a level) is a line with the reason, never a guess.
    2. Nothing that changes from run to run is written: no date, no process ids, no names of folders.

Data flow: canaries as this user, and as another through a process of its own -> Column -> Markdown between marks.
Exit code: 3 when something was reached at `strong`.
"""

from __future__ import annotations

import os
import platform
import re
import subprocess
import sys
from pathlib import Path

import msgspec
from msgspec import Struct

from consilience.core.errors import ConsilienceError
from consilience.core.outcome import IsolationLevel
from consilience.trials.sandbox import canary_calls, canary_hogs, canary_reach
from consilience.trials.sandbox.canaries import full_names, run_canaries
from consilience.trials.sandbox.cgroups import Lack, find_place
from consilience.trials.sandbox.interpreter import inspect_interpreter
from consilience.trials.sandbox.probe import sandbox_of
from consilience.trials.sandbox.root import barred_from, unreachable
from consilience.trials.sandbox.tools import find_tools

PAGE = Path(__file__).resolve().parents[1] / "docs" / "isolation.md"
BEGIN, END = "<!-- canaries: written by scripts/write_isolation.py; do not edit -->", "<!-- end of canaries -->"
LEVELS: tuple[IsolationLevel, ...] = ("strong", "restricted", "none")
ORDINARY_USER = 1234  # any id that owns nothing
PYTHONS = (sys.executable, "/usr/bin/python3", "/usr/local/bin/python3")
LEAK_EXIT = 3
DAEMON = "Leave session and parent behind, and outlive the kill"


class Column(Struct, frozen=True, kw_only=True):
    """One level as one user: what was reached, or why it was not run. `trees` is who keeps a tree's limits."""

    user: str
    level: IsolationLevel
    reached: tuple[str, ...] = ()
    reason: str = ""
    trees: str = ""


def own_columns() -> list[Column]:
    """Run every canary at every level as the user that we are."""
    return [_own_column(level) for level in LEVELS]


def _own_column(level: IsolationLevel) -> Column:
    user = "root" if os.getuid() == 0 else "user"
    place = find_place()
    trees = "soft" if isinstance(place, Lack) else f"hard, v{place.version}"
    reason = ""
    for interpreter in filter(os.path.exists, PYTHONS):
        try:
            found = run_canaries(sandbox_of(level, interpreter), interpreter, full=True)
        except ConsilienceError as error:
            reason = error.message
            continue
        reached = tuple(canary.name for canary in found if not canary.held)
        for canary in found:
            if not canary.held:
                print(f"{user} {level}: {canary.name}: {canary.detail}", file=sys.stderr)
        return Column(user=user, level=level, reached=reached, trees=trees)
    return Column(user=user, level=level, reason=reason)


def other_columns() -> list[Column]:
    """As root, have an ordinary user run them too; an ordinary user cannot become root."""
    if os.getuid() != 0:
        return [Column(user="root", level=level, reason="needs root") for level in LEVELS]
    python, path = _readable_python(), [each for each in sys.path[1:] if not each.startswith(sys.base_prefix)]
    barred = next(filter(None, (unreachable(each) for each in (__file__, *path))), "")
    if not python or barred:
        reason = f"another user may not enter {barred}" if barred else "no Python that every user may read"
        return [Column(user="user", level=level, reason=reason) for level in LEVELS]
    done = subprocess.run(  # noqa: S603 - this script again
        [python, __file__, "--columns"],
        env={"PYTHONPATH": os.pathsep.join(path), "PATH": os.defpath, "PYTHONDONTWRITEBYTECODE": "1"},
        user=ORDINARY_USER,
        group=ORDINARY_USER,
        extra_groups=[],
        stdout=subprocess.PIPE,
        cwd="/",
        check=True,
    )
    return msgspec.json.decode(done.stdout, type=list[Column])


def _readable_python() -> str:
    """Return a Python of our own version (compiled packages must fit) that every user may run."""
    ours = sys.version_info[:2]
    for python in filter(os.path.exists, PYTHONS):
        inspected = inspect_interpreter(python)
        if tuple(map(int, inspected.version.split()[0].split(".")[:2])) == ours and not barred_from(inspected):
            return python
    return ""


def table(columns: list[Column]) -> str:
    """Return the Markdown between the marks."""
    run = [column for column in columns if not column.reason]
    heads = [f"`{column.level}`, {column.user}" for column in run]
    rows = [["attempt", *heads], ["---"] * (len(run) + 1)]
    for name in full_names():
        cells = ["**reached**" if name in column.reached else "held" for column in run]
        rows.append([f"{_meaning(name)} (`{name}`)", *cells])
    lines = ["| " + " | ".join(row) + " |" for row in rows]
    missing = [f"Not run: `{column.level}` as {column.user}: {column.reason}." for column in columns if column.reason]
    return "\n".join([_facts(run), "", *lines, *(["", *missing] if missing else [])])


def _facts(run: list[Column]) -> str:
    tools = find_tools()
    release = re.match(r"[\d.]*\d", platform.release())
    trees = ", ".join(f"{user} {limits}" for user, limits in dict.fromkeys((each.user, each.trees) for each in run))
    return (
        f"Run on Linux {release[0] if release else ''} {platform.machine()}, {tools.versions[0]}, Landlock ABI "
        f"{tools.landlock_abi}; limits of process trees: {trees}."
    )


def _meaning(name: str) -> str:
    for module in (canary_calls, canary_reach, canary_hogs):
        text = getattr(getattr(module, name, None), "__doc__", None)
        if text:
            return str(text).split(". ")[0].rstrip(".")
    return DAEMON


def main() -> int:
    """Run the canaries; write or print what they reached."""
    if "--columns" in sys.argv:
        sys.stdout.buffer.write(msgspec.json.encode(own_columns()))
        return 0
    columns = sorted([*own_columns(), *other_columns()], key=lambda column: LEVELS.index(column.level))
    text = table(columns)
    if "--print" in sys.argv:
        print(text)
    else:
        page = PAGE.read_text()
        PAGE.write_text(f"{page[: page.index(BEGIN)]}{BEGIN}\n\n{text}\n\n{page[page.index(END) :]}")
    return LEAK_EXIT if any(column.reached for column in columns if column.level == "strong") else 0


if __name__ == "__main__":
    raise SystemExit(main())
