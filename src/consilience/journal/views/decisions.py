"""The significant decisions of one author in one hive: what was predicted, what was observed, what became of it.

Rules:
    1. Significant are verdicts that change what is believed best (promoted, escalated, implausible), artifacts
       applied, results withdrawn, and changes of policy. What was discarded is not kept, so memory follows them.
    2. A withdrawn decision stays in sight, marked, and makes no aftermath for others.
    3. Figures are as recorded; whether a re-run is within noise is judged where statistics are (`node.soul_report`).

Data flow: one author's events of one hive, in canonical order -> here -> `journal.views.soul`.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import msgspec

from consilience.core.bodies import (
    ArtifactApplied,
    CandidateProposed,
    HiveFounded,
    NoiseMeasured,
    StudyConfigured,
    TrialCancelled,
    TrialFinished,
    TrialStarted,
    VerdictReached,
)
from consilience.core.bodies_journal import ExcisionWithdrawn, ResultExcised
from consilience.core.events import Event
from consilience.core.study import Policy
from consilience.journal.views.appraisal import (
    SIGNIFICANT,
    Aftermath,
    Decision,
    DecisionName,
    differences,
    given,
    surprise,
)


class _Case:
    """What is known of one candidate: prediction, scores by seed, and what followed."""

    def __init__(self, proposed: CandidateProposed) -> None:
        self.predicted = proposed.hypothesis.predicted
        self.scores: dict[int, tuple[str, float | None]] = {}
        self.aside: list[Aftermath] = []
        self.after: list[Aftermath] = []
        self.figures: dict[str, float] = {}
        self.observed: float | None = None


class HiveDecisions:
    """Fold of one author's events in one hive."""

    def __init__(self, metric: str, excised: frozenset[str]) -> None:
        """Start before the first event.

        Args:
            metric: the objective's; "" where it is not known, and then trials have no figures.
            excised: events whose effect was withdrawn.
        """
        self._metric = metric
        self._excised = excised
        self._policy: Policy | None = None
        self._noise: dict[str, float] = {}
        self._cases: dict[str, _Case] = {}
        self._started: dict[str, TrialStarted] = {}
        self._decided: list[Decision] = []
        self._withdrawals: dict[str, list[Aftermath]] = {}
        self._handlers: dict[type[Any], Callable[[Event, Any], None]] = {
            HiveFounded: self._found,
            StudyConfigured: self._configure,
            CandidateProposed: self._propose,
            TrialStarted: self._start,
            TrialFinished: self._finish,
            TrialCancelled: self._cancel,
            NoiseMeasured: self._measure,
            VerdictReached: self._judge,
            ArtifactApplied: self._apply_artifact,
            ResultExcised: self._excise,
            ExcisionWithdrawn: self._withdraw,
        }

    def apply(self, event: Event) -> None:
        """Take one more event."""
        handler = self._handlers.get(type(event.body))
        if handler is not None:
            handler(event, event.body)

    def rows(self) -> list[Decision]:
        """Return the decisions, newest last, with what has become of each by now."""
        return [self._appraised(decision) for decision in self._decided]

    def _appraised(self, decision: Decision) -> Decision:
        case = self._cases.get(decision.about) if decision.name in SIGNIFICANT else None
        after = [*case.aside, *case.after] if case else []
        after = [each for each in after if each.event != decision.event]
        for name in (decision.event, *decision.events):
            after.extend(self._withdrawals.get(name, ()))
        events = dict.fromkeys((*decision.events, *(each.event for each in after)))
        return msgspec.structs.replace(decision, aftermath=tuple(after), events=tuple(events))

    def _found(self, _event: Event, body: HiveFounded) -> None:
        self._policy = body.policy

    def _configure(self, event: Event, body: StudyConfigured) -> None:
        policy = body.settings.policy
        if self._policy is not None and policy != self._policy:
            self._decide(event, "policy changed", reasons=differences(self._policy, policy))
        self._policy = policy

    def _propose(self, event: Event, body: CandidateProposed) -> None:
        self._cases[event.id] = _Case(body)

    def _start(self, event: Event, body: TrialStarted) -> None:
        if body.proposed in self._cases:
            self._started[event.id] = body

    def _finish(self, event: Event, body: TrialFinished) -> None:
        started = self._started.pop(body.started, None)
        case = self._cases.get(started.proposed) if started else None
        if started is None or case is None or event.id in self._excised:
            return
        score = body.metrics.get(self._metric) if body.failure is None else None
        failed = body.failure.reason if body.failure else ""
        match started.purpose:
            case "recheck" | "rerun" as purpose:
                earlier = case.scores.get(started.seed, ("", None))[1]
                figures = {"seed": started.seed, **given(before=earlier, after=score), **self._noise}
                case.aside.append(Aftermath(what=purpose, event=event.id, figures=figures, text=failed))
            case "holdout":
                case.aside.append(Aftermath(what="holdout", event=event.id, figures=given(score=score), text=failed))
            case _:
                case.scores.setdefault(started.seed, (event.id, score))

    def _cancel(self, _event: Event, body: TrialCancelled) -> None:
        self._started.pop(body.started, None)

    def _measure(self, event: Event, body: NoiseMeasured) -> None:
        if event.id not in self._excised:
            self._noise = {
                "deviation": body.deviation,
                "degrees": float(body.degrees),
                "deterministic": float(body.deterministic),
            }

    def _judge(self, event: Event, body: VerdictReached) -> None:
        case = self._cases.get(body.candidate)
        if body.verdict not in SIGNIFICANT:
            self._cases.pop(body.candidate, None)
            return
        if case is not None:
            case.observed = body.figures.get("mean", _mean(case))
            case.figures = body.figures
        self._decide(
            event,
            _verdict_name(body),
            about=body.candidate,
            reasons=body.reasons,
            behind=(body.candidate, *body.trials),
        )
        if event.id in self._excised:
            return
        if case is not None and body.verdict == "implausible":
            case.after.append(Aftermath(what="implausible", event=event.id, text="; ".join(body.reasons)))
        replaced = self._cases.get(body.incumbent)
        if replaced is not None and body.verdict == "promoted":
            replaced.after.append(
                Aftermath(what="replaced", event=event.id, figures=given(gain=body.figures.get("gain")))
            )

    def _apply_artifact(self, event: Event, body: ArtifactApplied) -> None:
        case = self._cases.get(body.proposed)
        target = f"{body.target} {body.commit[:10]}".strip()
        self._decide(event, "applied", about=body.proposed, reasons=(target,), behind=(body.proposed,))
        if case is not None:
            case.after.append(Aftermath(what="applied", event=event.id, text=target))

    def _excise(self, event: Event, body: ResultExcised) -> None:
        self._decide(event, "excised a result", about=body.target, reasons=(body.reason,), behind=(body.target,))
        mark = Aftermath(what="excised", event=event.id, text=body.reason)
        self._withdrawals.setdefault(body.target, []).append(mark)

    def _withdraw(self, event: Event, body: ExcisionWithdrawn) -> None:
        self._decide(
            event, "withdrew an excision", about=body.excision, reasons=(body.reason,), behind=(body.excision,)
        )
        mark = Aftermath(what="withdrawn", event=event.id, text=body.reason)
        self._withdrawals.setdefault(body.excision, []).append(mark)

    def _decide(
        self,
        event: Event,
        name: DecisionName,
        *,
        about: str = "",
        reasons: tuple[str, ...] = (),
        behind: tuple[str, ...] = (),
    ) -> None:
        case = self._cases.get(about)
        predicted, observed = (case.predicted, case.observed) if case else (None, None)
        self._decided.append(
            Decision(
                name=name,
                event=event.id,
                hive=event.fields.hive,
                at=event.fields.at,
                about=about,
                reasons=reasons,
                figures=case.figures if case else {},
                predicted=predicted,
                observed=observed,
                surprise=surprise(predicted, observed),
                excised=event.id in self._excised,
                events=tuple(dict.fromkeys((event.id, *behind))),
            )
        )


def _verdict_name(body: VerdictReached) -> DecisionName:
    return "promoted" if body.verdict == "promoted" else "escalated" if body.verdict == "escalated" else "implausible"


def _mean(case: _Case) -> float | None:
    scores = [score for _, score in case.scores.values() if score is not None]
    return sum(scores) / len(scores) if scores else None
