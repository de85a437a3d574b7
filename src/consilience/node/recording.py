"""From outcomes to events: what a trial came to, with its blobs, environment and comparability key.

Rules:
    1. Logs and feedback are blobs that can be erased; the event holds their salted hashes.
    2. Texts and names of metrics are capped here, whatever made them; what is cut is the start of a log. A metric whose
       name holds a secret is left out.
    3. A trial that was cut short by the budget, not by its own limit, is cancelled, not failed: it can
       be run again when there is more budget.

Data flow: Outcome + RunContext -> TrialFinished or TrialCancelled.
"""

from __future__ import annotations

from msgspec import Struct
from msgspec.structs import replace

from consilience.core.bodies import TrialCancelled, TrialFinished
from consilience.core.outcome import Failure, Outcome
from consilience.core.ports import BlobStore
from consilience.core.problem import Problem, comparability_key
from consilience.core.redaction import ShapeRedactor
from consilience.core.study import Spend
from consilience.core.untrusted import LINE_CHARACTERS, cap, cap_metrics
from consilience.search.budget import Reservation
from consilience.trials.environment import EnvironmentDescription, environment_digest
from consilience.trials.executors.logs import FEEDBACK_CHARACTERS, LOG_CHARACTERS

MOST_METRICS = 256  # kept of one outcome, beside the objective and what constraints read
_SECRETS = ShapeRedactor()
_CUT_REASONS = ("timeout", "cpu_limit")


class RunContext(Struct, frozen=True, kw_only=True):
    """What every outcome of one run shares. `constrained` names the metrics that constraints read."""

    comparability_key: str
    environment: str
    metric: str
    constrained: tuple[str, ...] = ()


def run_context(problem: Problem, environment: EnvironmentDescription, platform: str = "") -> RunContext:
    """Return what outcomes share that are measured in this environment.

    Args:
        problem: the study's.
        environment: of the trials.
        platform: stands for the environment's class where that says nothing of the score.
    """
    return RunContext(
        comparability_key=comparability_key(problem, platform or environment.platform_class),
        environment=environment_digest(environment),
        metric=problem.objective.metric,
        constrained=tuple(constraint.metric for constraint in problem.constraints),
    )


def record_outcome(
    context: RunContext,
    started: str,
    reservation: Reservation,
    outcome: Outcome,
    blobs: BlobStore,
    wall_ms: int,
) -> TrialFinished | TrialCancelled:
    """Return the event that ends a trial.

    Args:
        context: what the run's outcomes share.
        started: the `trial.started` event.
        reservation: what the trial was allowed.
        outcome: what came of it.
        blobs: where its texts go.
        wall_ms: time since the last trial ended, the loop's own work included: what the budget pays.
    """
    outcome = _capped(_require_metric(outcome, context.metric), context)
    spent = Spend(trials=1, wall_ms=wall_ms, cpu_ms=outcome.resources.cpu_ms)
    if reservation.cut and outcome.failure is not None and outcome.failure.reason in _CUT_REASONS:
        return TrialCancelled(started=started, reason="interrupted", spent=spent - Spend(trials=1))
    return TrialFinished(
        started=started,
        metrics=outcome.metrics,
        failure=outcome.failure,
        resources=outcome.resources,
        spent=spent,
        isolation=outcome.isolation,
        comparability_key=context.comparability_key,
        environment=context.environment,
        log=_keep(outcome.log, blobs),
        feedback=_keep(outcome.feedback, blobs),
    )


def _require_metric(outcome: Outcome, metric: str) -> Outcome:
    if not outcome.ok or metric in outcome.metrics:
        return outcome
    failure = Failure(reason="missing_metric", message=f"the outcome has no metric {metric!r}")
    return Outcome(failure=failure, resources=outcome.resources, isolation=outcome.isolation, log=outcome.log)


def _capped(outcome: Outcome, context: RunContext) -> Outcome:
    """Hold every text of an outcome within its cap, whoever made the outcome.

    Executors cap what they read; this is for outcomes that are told, and for executors of others.
    """
    failure = outcome.failure
    if failure is not None:
        failure = Failure(reason=failure.reason, message=cap(failure.message, LINE_CHARACTERS))
    metrics = {
        name: value for name, value in outcome.metrics.items() if name == context.metric or not _SECRETS.finds(name)
    }
    return replace(
        outcome,
        metrics=cap_metrics(metrics, (context.metric, *context.constrained), MOST_METRICS),
        failure=failure,
        log=outcome.log[-LOG_CHARACTERS:],
        feedback=outcome.feedback[:FEEDBACK_CHARACTERS],
    )


def _keep(text: str, blobs: BlobStore) -> str:
    return blobs.put_erasable(text.encode(errors="replace")) if text else ""
