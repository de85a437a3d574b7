"""Upkeep of a journal: verify, back up, cancel what is in flight, collect garbage, import foreign logs.

Rules:
    1. Nothing here removes an event; `gc` removes only blobs that no event and no specification names.
    2. A foreign record is an event of ours that says so; it never counts as a trial.

Data flow: state folder -> here -> reports for faces.
"""

from __future__ import annotations

import os
import signal
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from msgspec import Struct
from msgspec.structs import replace

from consilience.core.artifact import Artifact
from consilience.core.bodies import RecordImported, TrialCancelled
from consilience.core.errors import DamagedError, JournalError, NotFoundError, UsageError
from consilience.core.events import Event
from consilience.core.ports import LoadedProblem
from consilience.core.problem import Direction, EvaluatorSpec, Objective, Problem, Surface
from consilience.core.study import Budget, Spend, StudySettings
from consilience.core.untrusted import NAME_CHARACTERS, one_capped_line
from consilience.identity.keystore import load as load_key
from consilience.journal.checkpoints import checkpoint_fault
from consilience.journal.device import WriterLock, read_marks, refuse_lost, writer_of
from consilience.journal.feed import read_event
from consilience.journal.journal import LOCK_NAME
from consilience.journal.kinds import named_blobs
from consilience.journal.reader import JOURNAL_NAME, JournalReader
from consilience.journal.store import Store
from consilience.journal.verify import VerifyReport, verify_store
from consilience.node.clock import SystemClock
from consilience.node.kept_heads import kept_heads, own_feeds
from consilience.node.places import UserPlaces
from consilience.node.session import Session
from consilience.node.settings import Settings
from consilience.node.souls import read_soul
from consilience.node.verifying import fresh_keys, fresh_ring
from consilience.problems.results_tsv import read_result_table
from consilience.trials.executors.folders import remove

_STOP_WAIT_SECONDS = 30.0
_POLL_SECONDS = 0.05
_LOWER_IS_BETTER = ("loss", "bpb", "error", "rmse", "mae", "perplexity", "latency", "time")


class Collected(Struct, frozen=True, kw_only=True):
    """What `gc` found."""

    blobs: int
    bytes: int
    folders: int


class Imported(Struct, frozen=True, kw_only=True):
    """What an import added: rows by status, and whether the same file had been imported before."""

    rows: int
    statuses: dict[str, int]
    metric: str
    known: bool


def verify(state: Path, places: UserPlaces, jobs: int = 1) -> VerifyReport:
    """Check the whole journal in a state folder, with several processes where `jobs` is more than 1.

    Raises:
        NotFoundError: there is none.
        DamagedError: it is gone, but this device wrote it.
    """
    try:
        store = Store.open(state / JOURNAL_NAME)
    except NotFoundError:
        refuse_lost(places.marks, state / JOURNAL_NAME)
        raise

    def heads_stand(store: Store) -> str:
        return checkpoint_fault(store, own_feeds(places, store), kept_heads(places, store))

    try:
        marks = read_marks(places.marks)
        return verify_store(store, fresh_ring(), marks, keys=fresh_keys, jobs=jobs, checks=[heads_stand])
    finally:
        store.close()


def backup(state: Path, destination: Path) -> int:
    """Copy the journal, consistently, while others go on writing; return its size in bytes.

    Raises:
        UsageError: the destination exists.
        JournalError: it cannot be written.
        DamagedError: the journal's file is not sound; a copy of it would be no backup.
    """
    if destination.exists():
        raise UsageError(f"{destination} exists already", hint="name a new file")
    store = Store.open(state / JOURNAL_NAME)
    try:
        for fault in store.structure_faults():
            hint = "`consilience verify` says more; restore the journal from an earlier backup"
            raise DamagedError(f"{store.path} is damaged, nothing was copied: {fault}", hint=hint)
        store.copy_to(destination)
    finally:
        store.close()
    return destination.stat().st_size


def collect_garbage(state: Path, *, dry_run: bool) -> Collected:
    """Remove blobs that nothing names and the work folders of dead runs.

    Raises:
        LockedError: a run is writing the journal.
    """
    with alone(state):
        store = Store.open(state / JOURNAL_NAME)
        try:
            unused = sorted(set(store.blob_names()) - _named_blobs(store))
            size = sum(len(store.get(name)) for name in unused)
            work = state / "work"
            folders = int(work.is_dir())
            if not dry_run:
                store.drop_blobs(unused)
                remove(work)
        finally:
            store.close()
    return Collected(blobs=len(unused), bytes=size, folders=folders)


def _named_blobs(store: Store) -> set[str]:
    return {name for event in JournalReader(store).arrivals() for name in named_blobs(event, store.get)}


def stop_running(state: Path) -> int:
    """Ask the run that writes this journal to stop at once, wait for it, and return its process id; 0 for none.

    Raises:
        JournalError: it did not stop in time.
    """
    process = writer_of(state / LOCK_NAME)
    if not process:
        return 0
    os.kill(process, signal.SIGTERM)
    deadline = time.monotonic() + _STOP_WAIT_SECONDS
    while writer_of(state / LOCK_NAME) == process:
        if time.monotonic() > deadline:
            raise JournalError(f"process {process} did not stop in {_STOP_WAIT_SECONDS:g} s", hint="end it yourself")
        time.sleep(_POLL_SECONDS)
    return process


def cancel(session: Session, number: int | None) -> int:
    """Cancel what a dead process left in flight, or one trial of it; its reservations come back.

    Raises:
        NotFoundError: that trial is not in flight.
    """
    open_trials = {
        started: body for started, body in session.run_state.in_flight.items() if number in (None, body.number)
    }
    if number is not None and not open_trials:
        raise NotFoundError(f"trial {number} is not in flight", hint="`consilience log` shows what is")
    for started in open_trials:
        session.append(TrialCancelled(started=started, reason="cancelled", spent=Spend()))
    session.commit()
    return len(open_trials)


def import_results(session: Session, path: Path) -> Imported:
    """Take in an autoresearch results.tsv as foreign records, once.

    Raises:
        ProblemError: a line of the file is wrong; nothing is imported.
    """
    table = read_result_table(path)
    data = session.journal.redactor.data(path.read_bytes())
    known = _is_kept(session, data)
    if not known:
        source = session.journal.put_erasable(data)
        for number, row in enumerate(table.rows):
            session.append(
                RecordImported(
                    source=source,
                    row=number,
                    label=one_capped_line(row.commit, NAME_CHARACTERS),
                    metric=one_capped_line(table.metric, NAME_CHARACTERS),
                    value=row.value,
                    memory_gb=row.memory_gb,
                    status=row.status,
                    description=one_capped_line(row.description),
                )
            )
        session.commit()
    statuses = {status: sum(row.status == status for row in table.rows) for status in ("keep", "discard", "crash")}
    return Imported(rows=len(table.rows), statuses=statuses, metric=table.metric, known=known)


def check_results(path: Path) -> None:
    """Read an autoresearch results.tsv, and take in nothing.

    Raises:
        ProblemError: it cannot be read, or a line of it is wrong.
    """
    read_result_table(path)


def _is_kept(session: Session, data: bytes) -> bool:
    """Tell whether a record's source has these bytes: salted names do not tell, and erased ones are unknown."""
    for name in session.trials.imported:
        with suppress(NotFoundError):
            if session.journal.get(name) == data:
                return True
    return False


def log_problem(path: Path, root: Path, direction: Direction | None) -> LoadedProblem:
    """Return a problem without artifact that can hold a log whose problem is not here.

    Raises:
        UsageError: the direction of the metric is neither given nor known.
    """
    table = read_result_table(path)
    if direction is None and not any(word in table.metric.lower() for word in _LOWER_IS_BETTER):
        raise UsageError(f"which way is {table.metric} better?", hint="--direction maximize or minimize")
    problem = Problem(
        name=root.name,
        goal=f"a log of {table.metric}",
        objective=Objective(metric=table.metric, direction=direction or "minimize"),
        surface=Surface(),
        evaluator=EvaluatorSpec(kind="command"),
    )
    study = StudySettings(budget=Budget(trials=1))
    return LoadedProblem(problem=problem, root=root, baseline=Artifact(), study=study, support={})


def own_did(settings: Settings, places: UserPlaces, passphrase: str) -> str:
    """Return the DID of the user's key; "" when there is no key yet. Makes none.

    Raises:
        IdentityError: the key file cannot be used.
    """
    key = Path(settings.value("key")).expanduser() if settings.value("key") else places.key
    return load_key(key, passphrase).did if key.exists() else ""


def own_events(settings: Settings, places: UserPlaces, did: str) -> list[Event]:
    """Return what the soul beside the user's key has of an identity: what a session would carry into a study.

    Raises:
        JournalError: the soul cannot be read.
    """
    key = Path(settings.value("key")).expanduser() if settings.value("key") else places.key
    return [read_event(row.payload, row.jws) for row in read_soul(replace(places, key=key), did)]


@contextmanager
def open_session(loaded: LoadedProblem, settings: Settings, places: UserPlaces, passphrase: str) -> Iterator[Session]:
    """Open a session for a short piece of upkeep."""
    session = Session.open(loaded, settings, places, clock=SystemClock(), passphrase=passphrase, resume=False)
    try:
        yield session
    finally:
        session.close()


@contextmanager
def alone(state: Path) -> Iterator[None]:
    """Hold the writer's lock of a state folder.

    Raises:
        LockedError: a run is writing its journal.
    """
    lock = WriterLock(state / LOCK_NAME)
    try:
        yield
    finally:
        lock.release()
