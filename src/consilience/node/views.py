"""The views of a study that a session and every reader share, so that one snapshot serves them all.

Rules:
    1. All are folded together: a snapshot holds each of them at one position, or none.
    2. The code that folds is named by its source: another version of it never reads this one's snapshots.

Data flow: journal, hive, problem -> `open_views` -> Snapshot + StudyViews -> Session, StudyReader.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import lru_cache, partial
from hashlib import sha256
from pathlib import Path

import msgspec
from msgspec import Struct
from msgspec.structs import replace

import consilience.core
from consilience.core.events import Event
from consilience.core.problem import Problem
from consilience.journal.folding import Key, Views
from consilience.journal.kept import kept_difference
from consilience.journal.reader import JournalReader
from consilience.journal.snapshots import FOLDER, Snapshot, Source, fold_of, fold_up_to, open_snapshot
from consilience.journal.views.beliefs import BeliefsView
from consilience.journal.views.budget import BudgetView
from consilience.journal.views.leaderboard import LeaderboardView
from consilience.journal.views.lineage import LineageView
from consilience.journal.views.run_state import RunStateView
from consilience.journal.views.trials import TrialsView
from consilience.search.state import SearchState

_FOLDING = ("core", "journal", "search")  # packages whose code decides what a fold comes to


class StudyViews(Struct, frozen=True, eq=False):
    """The views of one study, with what keeps them."""

    trials: TrialsView
    board: LeaderboardView
    lineage: LineageView
    budget: BudgetView
    run_state: RunStateView
    beliefs: BeliefsView
    search: SearchState
    snapshot: Snapshot


def open_views(journal: JournalReader, hive: str, problem: Problem, *, author: str = "") -> StudyViews:
    """Return a study's views as the journal has them now.

    Args:
        journal: that holds the study.
        hive: of the study.
        problem: as the hive was founded for it.
        author: who writes the journal in this process; "" is nobody.
    """
    return _named(open_snapshot(replace(_source(journal, hive, problem), author=author), writer=bool(author)))


def replay_views(journal: JournalReader, hive: str, problem: Problem, to: int | None) -> StudyViews:
    """Return a study's views folded from the first event up to local position `to` (None: all), without snapshot."""
    return _named(fold_up_to(_source(journal, hive, problem), to))


def kept_fault(journal: JournalReader, hive: str, problem: Problem, made: StudyViews) -> str:
    """Return "" when the kept snapshot shows what views folded from the first event show, else what does not."""
    fold = made.snapshot.fold
    source = replace(_source(journal, hive, problem), end=made.snapshot.end)
    found = kept_difference(source, fold)
    return f"the snapshot {source.path} shows another state of {found!r} than the events come to" if found else ""


def supposed_views(journal: JournalReader, hive: str, problem: Problem, events: Sequence[Event]) -> StudyViews:
    """Return a study's views as these events make them, in canonical order; the journal may lack some of them."""
    return _named(fold_of(_source(journal, hive, problem), events))


@lru_cache(maxsize=1)
def fold_code() -> str:
    """Return the digest of all code that a fold runs through."""
    root = Path(consilience.core.__file__).parents[1]
    found = sha256()
    for package in _FOLDING:
        for path in sorted((root / package).rglob("*.py")):
            found.update(f"{path.relative_to(root)}\n".encode() + path.read_bytes())
    return found.hexdigest()


def study_views(problem: Problem) -> Views:
    """Return the views of a study before its first event, by name."""
    return {
        "trials": TrialsView(),
        "board": LeaderboardView(problem.objective, problem.constraints),
        "lineage": LineageView(),
        "budget": BudgetView(),
        "run_state": RunStateView(),
        "beliefs": BeliefsView(),
        "search": SearchState(problem),
    }


def _source(journal: JournalReader, hive: str, problem: Problem) -> Source:
    path = journal.store.path.parent / FOLDER / f"{hive}.db"
    key = Key(hive=hive, code=fold_code(), metric=problem.objective.metric)
    return Source(journal, key, partial(study_views, problem), path)


def _named(snapshot: Snapshot) -> StudyViews:
    named: StudyViews = msgspec.convert({**snapshot.fold.views, "snapshot": snapshot}, StudyViews)
    return named
