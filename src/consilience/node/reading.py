"""Reading a study: open its journal without locking it, and fold what a command shows.

Rules:
    1. Readers never write and never block the writer.
    2. Whatever the problem's files say now, results are read by the specification in the journal.

Data flow: state folder -> JournalReader -> views -> `node.reports`, `export`, `apply`.
"""

from __future__ import annotations

from collections.abc import Iterable
from copy import copy
from functools import cached_property, partial
from pathlib import Path
from types import TracebackType
from typing import Any, Self

import msgspec

from consilience.core.artifact import Artifact, read_artifact
from consilience.core.bodies import HiveFounded
from consilience.core.errors import NotFoundError
from consilience.core.events import Event
from consilience.core.problem import Problem
from consilience.journal.acting import acts_for
from consilience.journal.authority import ActsFor
from consilience.journal.erasure import erased_text
from consilience.journal.excision import Excisions
from consilience.journal.kinds import kind_named
from consilience.journal.reader import JOURNAL_NAME, JournalReader
from consilience.journal.views.trials import TrialRow
from consilience.node.places import STATE_NAME
from consilience.node.verifying import fresh_keys, ring_of
from consilience.node.views import StudyViews, kept_fault, open_views, replay_views, supposed_views

_SHORTEST_ID_OF_DIGITS = 8


def find_state(root: Path, stated: str) -> Path:
    """Return the state folder to read: the stated one, the one in `root`, or the only one just below it.

    Raises:
        NotFoundError: there is none, or several.
    """
    if stated:
        return Path(stated).expanduser()
    if (root / STATE_NAME / JOURNAL_NAME).exists():
        return root / STATE_NAME
    below = sorted(path.parent for path in root.glob(f"*/{STATE_NAME}/{JOURNAL_NAME}"))
    if len(below) == 1:
        return below[0]
    names = ", ".join(path.parent.name for path in below)
    found = f"several below {root}: {names}" if below else f"no journal in {root}"
    raise NotFoundError(found, hint="name the problem's folder with -p, or `consilience run` it first")


class StudyReader:
    """One hive of a journal, folded up to a position."""

    def __init__(self, journal: JournalReader, hive: str, problem: Problem, views: StudyViews) -> None:
        self.journal = journal
        self.hive = hive
        self.problem = problem
        self._to = views.snapshot.end  # what is looked up later is of the same state as the views
        self._take_up(views)

    def _take_up(self, views: StudyViews) -> None:
        self.trials = views.trials
        self.board = views.board
        self.lineage = views.lineage
        self.budget = views.budget
        self.run_state = views.run_state
        self.search = views.search
        self._snapshot = views.snapshot
        self._views = views

    def suppose_carried(self, identity: Iterable[Event]) -> None:
        """Read an identity's own events as if they were here already: with its next event a writer brings them in."""
        held = {event.id for event in self.events}
        self.events = [*(event for event in identity if event.id not in held), *self.events]

    def supposing(self, event: Event) -> Self:
        """Return a reader of the study as it would be with one more event; it shares this one's journal."""
        other = copy(self)
        other.events = [*self.events, event]
        other._take_up(supposed_views(self.journal, self.hive, self.problem, other.events))  # noqa: SLF001  its own kind
        return other

    @classmethod
    def open(cls, state: Path, problem: str = "", to: int | None = None, *, replay: bool = False) -> StudyReader:
        """Open a state folder.

        Args:
            state: the folder that holds the journal.
            problem: id, or its beginning, of the problem to read; "" is the one that was founded last.
            to: local position of the last event to fold; None is all.
            replay: fold from the first event, whatever snapshot there is; so does `to`.

        Raises:
            NotFoundError: no journal, or no such problem in it.
        """
        journal = JournalReader.open(state)
        journal.keys = fresh_keys
        try:
            journal.check_tail(ring_of(journal.store))
            hive, genesis = find_hive(journal, state, problem)
            specification = msgspec.json.decode(journal.blob(genesis.specification), type=Problem)
            fresh = to is not None or replay
            open_at = partial(replay_views, to=to) if fresh else open_views
            return cls(journal, hive, specification, open_at(journal, hive, specification))
        except BaseException:
            journal.close()
            raise

    @property
    def count(self) -> int:
        """How many events are folded, excised ones included."""
        return self._snapshot.fold.progress.events

    @property
    def excisions(self) -> Excisions:
        """Every excision of the study, and what they withdrew."""
        return self._snapshot.fold.excisions

    @property
    def acts_for(self) -> ActsFor:
        """By DID on whose behalf it may excise."""
        return acts_for(self.events, self.journal.keys)

    @cached_property
    def events(self) -> list[Event]:
        """The hive's events in fold order, excised ones included: read from the journal when first asked for."""
        return self.journal.events(self.hive, to=self._to)

    def ids_of(self, *bodies: type[Any]) -> list[str]:
        """Return the ids of the events with such bodies, in fold order, excised ones included.

        Where events were folded as they lie in the journal, they are looked up there, and no event is read.
        """
        if "events" in vars(self) or not self._snapshot.fold.as_it_lies:
            return [event.id for event in self.events if isinstance(event.body, bodies)]
        return self.journal.store.ids_of_kinds(self.hive, map(kind_named, bodies), to=self._to)

    def artifact(self, candidate: str) -> Artifact:
        """Return a candidate's artifact."""
        return read_artifact(self.journal.blob(candidate))

    def text(self, blob: str) -> str:
        """Return a log or feedback; "" for none, and a note in brackets for one that was erased."""
        try:
            return self.journal.blob(blob).decode(errors="replace") if blob else ""
        except NotFoundError:
            gone = erased_text(self.events, blob)
            if gone is None:
                raise
            return gone

    def trial(self, name: str) -> TrialRow:
        """Return the trial with this number, or whose candidate or event id starts with `name`.

        A number that no trial has is never taken for the beginning of an id.

        Raises:
            NotFoundError: none, or several different candidates.
        """
        found = self.trials.numbered(int(name)) if name.isdecimal() else []
        if not found and not is_number(name):
            found = [row for row in self.trials.rows.values() if name and _has_id(row, name)]
        if not found or len({row.proposed_event for row in found}) > 1:
            number = len({row.proposed_event for row in found})
            what = f"{number} candidates begin with {name!r}" if number else f"no trial or candidate {name!r}"
            raise NotFoundError(
                f"{what}; there are {len(self.trials.rows)} trials", hint="see `consilience board` and `log`"
            )
        return found[0]

    def incumbent(self) -> TrialRow:
        """Return the first trial of the incumbent.

        Raises:
            NotFoundError: nothing has been measured yet.
        """
        member = self.search.incumbent
        if member is not None:
            for row in self.trials.of_candidate(member.event):
                return row
        raise NotFoundError("nothing has been measured yet", hint="`consilience run` first")

    def kept_fault(self) -> str:
        """Return what the kept snapshot shows that the events do not come to; "" for nothing, or where none is kept.

        For a reader that folded from the first event.
        """
        return kept_fault(self.journal, self.hive, self.problem, self._views)

    def close(self) -> None:
        """Close the journal and the snapshot that the views were read from."""
        self._snapshot.close()
        self.journal.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()


def find_hive(journal: JournalReader, state: Path, problem: str) -> tuple[str, HiveFounded]:
    """Return the hive of the problem that was founded last among those whose id begins so, with its genesis.

    Where several hives work on one problem (another's journal was taken in), it is the one that was here first, which
    is also the one that a run goes on with.

    Raises:
        NotFoundError: there is none.
    """
    hives = journal.hives()
    fitting = [(hive, genesis) for hive, genesis in hives.items() if genesis.problem.startswith(problem)]
    if not fitting:
        known = ", ".join(genesis.problem[:12] for genesis in hives.values()) or "none"
        hint = "a changed evaluator, data or limit makes another problem: undo that, or `consilience run` it first"
        raise NotFoundError(f"{state} has no trials of problem {problem[:12]!r} (it has: {known})", hint=hint)
    wanted = fitting[-1][1].problem
    return next((hive, genesis) for hive, genesis in fitting if genesis.problem == wanted)


def is_number(name: str) -> bool:
    """Tell whether a name can only be meant as a trial's number: ids are shown longer than numbers ever grow."""
    return name.isdecimal() and len(name) < _SHORTEST_ID_OF_DIGITS


def _has_id(row: TrialRow, prefix: str) -> bool:
    names = (row.candidate, row.started_event, row.finished_event, row.proposed_event)
    return any(name.startswith(prefix) for name in names)
