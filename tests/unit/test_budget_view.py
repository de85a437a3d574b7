"""The budget view counts questions to the holdout from their start, and gives none back."""

from __future__ import annotations

from typing import Any

from consilience.core.bodies import StudyConfigured, TrialCancelled, TrialFinished, TrialStarted
from consilience.core.events import Event, Payload
from consilience.core.outcome import Isolation, Resources
from consilience.core.study import Budget, Policy, Spend, StudySettings
from consilience.journal.views.budget import BudgetView


def event(name: str, body: Any) -> Event:
    fields = Payload(v=1, hive="h", author="a", feed="f", seq=0, prev=None, after=(), at=0, kind="k", body={})
    return Event(id=name, payload=b"", jws="", fields=fields, body=body)


def started(purpose: Any) -> TrialStarted:
    return TrialStarted(number=0, proposed="p", seed=1, purpose=purpose, reserved=Spend())


def finished(name: str) -> TrialFinished:
    return TrialFinished(
        started=name,
        metrics={},
        failure=None,
        resources=Resources(),
        spent=Spend(),
        isolation=Isolation(level="none", domain="split"),
        comparability_key="",
        environment="",
        log="",
        feedback="",
    )


def view(queries: int, *bodies: Any) -> BudgetView:
    made = BudgetView()
    settings = StudySettings(budget=Budget(trials=5), policy=Policy(holdout_queries=queries))
    for number, body in enumerate((StudyConfigured(version=1, settings=settings), *bodies)):
        made.apply(event(str(number), body))
    return made


def test_only_questions_to_the_holdout_count() -> None:
    made = view(3, started("baseline"), started("holdout"), finished("2"), started("screen"), started("rerun"))
    assert (made.holdout_queries, made.holdout_left) == (1, 2)


def test_a_cancelled_question_counts() -> None:
    made = view(1, started("holdout"), TrialCancelled(started="1", reason="interrupted", spent=Spend()))
    assert (made.holdout_queries, made.holdout_left) == (1, 0)


def test_a_lowered_limit_leaves_none_and_never_less() -> None:
    made = view(5, started("holdout"), started("holdout"))
    lowered = StudySettings(budget=Budget(), policy=Policy(holdout_queries=1))
    made.apply(event("x", StudyConfigured(version=2, settings=lowered)))
    assert (made.holdout_queries, made.holdout_left) == (2, 0)


def test_questions_spend_nothing_of_the_budget() -> None:
    made = view(5, started("holdout"), finished("1"))
    assert made.remaining("trials") == 5
