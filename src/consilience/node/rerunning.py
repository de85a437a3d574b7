"""Re-runs: a recorded trial again, with its seed, and its outcome into the journal as further evidence.

Rules:
    1. A re-run is held at the recorded isolation level or better, in a fresh process, under the same limits.
    2. Its outcome moves no score, rank, credit or incumbent (`core.bodies.ASIDE`); what it spends counts.
    3. It is asked for by a person, so a budget that is used up does not refuse it.

Data flow: trial's name -> recorded rows -> Executor -> TrialStarted, TrialFinished -> `node.repeats` -> report.
"""

from __future__ import annotations

from pathlib import Path

from msgspec import Struct

from consilience.core.bodies import ASIDE, TrialCancelled, TrialStarted
from consilience.core.canonical import canonical_bytes
from consilience.core.errors import ConsilienceError, IsolationError, NotFoundError
from consilience.core.outcome import LEVEL_RANK, IsolationLevel
from consilience.core.ports import Executor, LoadedProblem, TrialRequest
from consilience.core.problem import problem_id
from consilience.core.study import Spend
from consilience.journal.views.trials import TrialRow
from consilience.node.clock import SystemClock
from consilience.node.opening import environment_of, open_executor_in, tools_with
from consilience.node.places import UserPlaces, state_folder
from consilience.node.reading import StudyReader
from consilience.node.recording import RunContext, record_outcome, run_context
from consilience.node.repeats import Repeat, repeats
from consilience.node.session import Session
from consilience.node.settings import Settings
from consilience.search.budget import Reservation
from consilience.trials.executors.interpreters import executable_of
from consilience.trials.sandbox.confinement import Sandbox
from consilience.trials.sandbox.probe import cached_probe, open_sandbox, require_level, unsafe_sandbox

_MILLISECONDS = 1000


class RerunReport(Struct, frozen=True, kw_only=True):
    """What re-running a trial, or all trials of a candidate, has shown."""

    candidate: str
    same: bool
    repeats: list[Repeat]


def rerun(
    loaded: LoadedProblem,
    name: str,
    settings: Settings,
    places: UserPlaces,
    *,
    passphrase: str = "",
    unsafe: bool = False,
) -> RerunReport:
    """Run a recorded trial again; the beginning of a candidate's id means all trials of the candidate.

    Raises:
        NotFoundError: no such trial.
        ConsilienceError: it cannot be re-run: told from outside, without outcome, or of a problem that changed.
        IsolationError: this machine cannot hold it as it was held.
    """
    state = state_folder(loaded.root, settings.value("state"))
    rows = _rows_to_repeat(state, loaded, name)
    sandbox = _sandbox(loaded, rows, settings, places, unsafe=unsafe)
    session = Session.open(loaded, settings, places, clock=SystemClock(), passphrase=passphrase, resume=False)
    try:
        with open_executor_in(sandbox, loaded, session.state.study, places, session.folder / "work") as executor:
            context = _context(session, executor, settings.value("python_wasm"))
            numbers = [_run_again(session, executor, context, row) for row in rows]
    finally:
        session.close()
    with StudyReader.open(state, problem_id(loaded.problem)) as reader:
        found = [repeat for repeat in repeats(reader, rows[0].proposed_event) if repeat.number in numbers]
    return RerunReport(candidate=rows[0].candidate, same=all(repeat.same for repeat in found), repeats=found)


def _rows_to_repeat(state: Path, loaded: LoadedProblem, name: str) -> list[TrialRow]:
    try:
        reader = StudyReader.open(state, problem_id(loaded.problem))
    except NotFoundError as error:
        hint = "a re-run needs the problem as it was: its evaluator, data and limits; `consilience run` it first"
        raise ConsilienceError(f"this problem has no trials here: {error.message}", hint=hint) from error
    with reader:
        row = reader.trial(name)
        if not row.candidate.startswith(name) or row.number == _number(name):
            return [_repeatable(row)]
        rows = reader.trials.of_candidate(row.proposed_event)
        finished = [other for other in rows if other.finished_event and other.purpose not in ASIDE]
        return [_repeatable(other) for other in finished or [row]]


def _number(name: str) -> int:
    return int(name) if name.isdecimal() else -1


def _repeatable(row: TrialRow) -> TrialRow:
    """Return the row, if it can be run again.

    Raises:
        ConsilienceError: it cannot; says why.
    """
    if not row.finished_event or row.isolation is None:
        raise ConsilienceError(
            f"trial {row.number} cannot be re-run: it is {row.status}, without an outcome to compare with",
            hint="`consilience log --kind trial` shows which trials have one",
        )
    if row.isolation.domain == "told":
        raise ConsilienceError(
            f"trial {row.number} cannot be re-run: it was scored outside and told; there is nothing here to run",
            hint="`consilience trial run` scores its candidate with the problem's own evaluator",
        )
    if row.purpose == "holdout":
        hint = "re-run another trial of this candidate: `consilience show` lists them"
        raise ConsilienceError(
            f"trial {row.number} cannot be re-run: each look at the holdout is counted, and this would be another",
            hint=hint,
        )
    return row


def _sandbox(
    loaded: LoadedProblem, rows: list[TrialRow], settings: Settings, places: UserPlaces, *, unsafe: bool
) -> Sandbox:
    """Return a sandbox at least as strong as each recorded level, and as the policy's minimum unless waived.

    Raises:
        IsolationError: this machine has none.
    """
    recorded: list[IsolationLevel] = [row.isolation.level for row in rows if row.isolation]
    strongest = max(recorded, key=LEVEL_RANK.__getitem__)
    interpreter = executable_of(loaded.interpreter)
    if unsafe and strongest != "none":
        raise IsolationError(
            f"the trial was held at {strongest!r}; without a sandbox its re-run would show less",
            hint="leave out --unsafe-no-sandbox",
        )
    if unsafe:
        return unsafe_sandbox(interpreter)
    probe = cached_probe(interpreter, cache_dir=places.cache, tools=tools_with(settings.value("python_wasm")))
    minimum: IsolationLevel = settings.value("minimum_isolation")
    require_level(probe, max(strongest, minimum, key=LEVEL_RANK.__getitem__))
    return open_sandbox(probe)


def _context(session: Session, executor: Executor, python_wasm: str) -> RunContext:
    """Return what the outcomes share; the environment's description is kept under the digest that they name."""
    environment = environment_of(session.loaded, executor, python_wasm)
    session.journal.put(canonical_bytes(environment))
    return run_context(session.loaded.problem, environment)


def _run_again(session: Session, executor: Executor, context: RunContext, row: TrialRow) -> int:
    """Run one trial again, journal it, and return the number of the new trial."""
    limits = session.loaded.problem.limits
    spend = Spend(
        trials=1,
        wall_ms=round(limits.wall_seconds * _MILLISECONDS),
        cpu_ms=round(limits.cpu_seconds * _MILLISECONDS),
    )
    number = session.state.trials
    body = TrialStarted(number=number, proposed=row.proposed_event, seed=row.seed, purpose="rerun", reserved=spend)
    started = session.append(body)
    session.commit()
    before = session.clock.elapsed_ms()
    request = TrialRequest(artifact=session.read_artifact(row.candidate), seed=row.seed, limits=limits, fresh=True)
    try:
        outcome = executor.run(request)
    except BaseException:
        passed = Spend(wall_ms=session.clock.elapsed_ms() - before)
        session.append(TrialCancelled(started=started.id, reason="interrupted", spent=passed))
        session.commit()
        raise
    reservation = Reservation(spend=spend, limits=limits, cut=False)
    wall_ms = session.clock.elapsed_ms() - before
    session.append(record_outcome(context, started.id, reservation, outcome, session.journal, wall_ms))
    session.commit()
    return number
