"""One question to the holdout: how does the candidate of a trial do on data that the search has never seen?

Rules:
    1. Each question is a trial of purpose `holdout`: journalled, numbered, counted from its start. It is taken from
       the policy's `holdout_queries`, not from the budget of trials and time, so that it changes nothing in the search.
    2. Past that number it is refused: every answer lets the search be fitted to the holdout a little more.
    3. Its score stands under a comparability key of its own, and is ranked with nothing.
    4. All questions are asked under one seed, so that two candidates can be compared on it.
    5. Of what candidate and evaluator print, and of an exception's text, nothing is journalled: a candidate could
       print the inputs that it was given, and later candidates are made by what reads the journal.

Data flow: trial -> candidate's artifact -> TrialRequest(holdout) -> executor -> events -> HoldoutReport.
"""

from __future__ import annotations

from msgspec import Struct
from msgspec.structs import replace

from consilience.core.bodies import StudyConfigured, TrialCancelled, TrialFinished, TrialStarted
from consilience.core.canonical import canonical_bytes, hash_value
from consilience.core.chance import derive_seed
from consilience.core.errors import HoldoutError, UsageError
from consilience.core.outcome import Failure, Isolation, Outcome
from consilience.core.ports import Executor, LoadedProblem, TrialRequest
from consilience.core.problem import problem_id
from consilience.core.study import Spend
from consilience.journal.views.trials import TrialRow
from consilience.node.clock import SystemClock
from consilience.node.opening import Holding, environment_of, open_executor
from consilience.node.places import UserPlaces, state_folder
from consilience.node.reading import StudyReader
from consilience.node.recording import record_outcome, run_context
from consilience.node.session import Session
from consilience.node.settings import Settings
from consilience.search.budget import Reservation
from consilience.trials.environment import EnvironmentDescription


class HoldoutReport(Struct, frozen=True, kw_only=True):
    """What the holdout said.

    Attributes:
        trial: the number of the holdout's trial.
        asked: the number of the trial whose candidate was asked about.
        candidate: its id.
        metric: the objective's metric.
        score: on the holdout; None where the trial failed.
        development: the candidate's mean score in the search; None where it has none.
        metrics: all that `holdout` returned.
        failure: why there is no score.
        isolation: how the candidate was held.
        log: what candidate and evaluator printed; untrusted, and kept nowhere.
        used: queries so far, with this one.
        left: how many the policy still allows.
        event: the `trial.finished` event.
    """

    trial: int
    asked: int
    candidate: str
    metric: str
    score: float | None
    development: float | None
    metrics: dict[str, float]
    failure: Failure | None
    isolation: Isolation
    log: str
    used: int
    left: int
    event: str


def ask_holdout(
    loaded: LoadedProblem,
    settings: Settings,
    places: UserPlaces,
    name: str,
    *,
    unsafe: bool = False,
    passphrase: str = "",
) -> HoldoutReport:
    """Open the problem's study on this machine, ask about the trial of this number or id, and close it.

    Args:
        loaded: the problem with its holdout.
        settings: of them `holdout_queries` takes effect; the rest of the study stays as it was configured.
        places: the user's folders.
        name: number of a trial, or the beginning of its candidate's or event's id.
        unsafe: go without a sandbox, as `run` does when told so.
        passphrase: unlocks the key file.

    Raises:
        NotFoundError: no such trial, or nothing has been run.
        UsageError, HoldoutError: see `query_holdout`.
        ConsilienceError: what keeps a run from starting.
    """
    state = state_folder(loaded.root, settings.value("state"))
    with StudyReader.open(state, problem_id(loaded.problem)) as reader:
        row = reader.trial(name)
    session = Session.open(loaded, settings, places, clock=SystemClock(), passphrase=passphrase, resume=False)
    try:
        _allow(session, settings.value("holdout_queries"))
        require_query(session)
        holding = Holding(unsafe=unsafe, python_wasm=settings.value("python_wasm"))
        with open_executor(loaded, session.state.study, places, session.folder / "work", holding) as executor:
            environment = environment_of(loaded, executor, holding.python_wasm)
            return query_holdout(session, executor, environment, row)
    finally:
        session.close()


def _allow(session: Session, queries: int) -> None:
    """Let the stated number of queries take effect, as a version of the study; nothing else of it changes."""
    current = session.run_state.configured
    if current is None or current.settings.policy.holdout_queries == queries:
        return
    policy = replace(current.settings.policy, holdout_queries=queries)
    settings = replace(current.settings, policy=policy)
    session.append(StudyConfigured(version=current.version + 1, settings=settings))
    session.commit()


def require_query(session: Session) -> None:
    """See that the holdout can be asked.

    Raises:
        UsageError: the problem has none.
        HoldoutError: the policy's queries are used up.
    """
    if not session.loaded.problem.holdout_commitment:
        hint = 'add [holdout] with files = ["..."] to problem.toml, and holdout(candidate, seed) to the evaluator'
        raise UsageError("this problem has no holdout", hint=hint)
    used, allowed = session.state.budget.holdout_queries, session.state.study.policy.holdout_queries
    if used >= allowed:
        hint = "use fresh holdout data; raising queries under [holdout] makes each answer worth less"
        raise HoldoutError(f"the holdout has been asked {used} times, the policy allows {allowed}", hint=hint)


def query_holdout(
    session: Session, executor: Executor, environment: EnvironmentDescription, trial: TrialRow
) -> HoldoutReport:
    """Ask the holdout about a trial's candidate, and record question and answer.

    Args:
        session: the study, open for writing.
        executor: of the same problem.
        environment: of its trials.
        trial: any trial of the candidate.

    Raises:
        UsageError: the problem has no holdout.
        HoldoutError: the policy's queries are used up; nothing was run.
    """
    require_query(session)
    started = session.append(
        TrialStarted(
            number=session.state.trials,
            proposed=trial.proposed_event,
            seed=derive_seed(session.state.study.seed, "holdout", 0),
            purpose="holdout",
            reserved=Spend(),
        )
    )
    session.commit()
    try:
        outcome = executor.run(_request(session, trial, started.body.seed))
    except BaseException:
        session.append(TrialCancelled(started=started.id, reason="interrupted", spent=Spend()))
        session.commit()
        raise
    body = _finished(session, started.id, outcome, environment)
    finished = session.append(body)
    session.close_epoch()
    session.commit()
    return _report(session, trial, started.body, body, (finished.id, outcome))


def _request(session: Session, trial: TrialRow, seed: int) -> TrialRequest:
    return TrialRequest(
        artifact=session.read_artifact(trial.candidate),
        seed=seed,
        limits=session.loaded.problem.limits,
        fresh=True,
        holdout=True,
    )


def _finished(session: Session, started: str, outcome: Outcome, environment: EnvironmentDescription) -> TrialFinished:
    problem = session.loaded.problem
    session.journal.put(canonical_bytes(environment))  # the digest names the description
    context = run_context(problem, environment)
    key = hash_value({"key": context.comparability_key, "holdout": problem.holdout_commitment})
    context = replace(context, comparability_key=key)
    whole = Reservation(spend=Spend(), limits=problem.limits, cut=False)
    body = record_outcome(context, started, whole, _silent(outcome), session.journal, outcome.resources.wall_ms)
    assert isinstance(body, TrialFinished)  # noqa: S101 - only a trial cut by the budget is cancelled; for mypy
    return replace(body, spent=Spend())


def _silent(outcome: Outcome) -> Outcome:
    """Return the outcome without any text that could carry the holdout."""
    failure = outcome.failure
    if failure is not None:
        failure = Failure(reason=failure.reason, message="on the holdout; its words are not kept")
    return replace(outcome, failure=failure, log="", feedback="")


def _report(
    session: Session, trial: TrialRow, started: TrialStarted, body: TrialFinished, end: tuple[str, Outcome]
) -> HoldoutReport:
    event, outcome = end
    metric = session.loaded.problem.objective.metric
    member = session.state.members.get(trial.proposed_event)
    return HoldoutReport(
        trial=started.number,
        asked=trial.number,
        candidate=trial.candidate,
        metric=metric,
        score=body.metrics.get(metric),
        development=member.mean if member and member.scores else None,
        metrics=body.metrics,
        failure=outcome.failure,
        isolation=body.isolation,
        log=outcome.log,
        used=session.state.budget.holdout_queries,
        left=session.state.budget.holdout_left,
        event=event,
    )
