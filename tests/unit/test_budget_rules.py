"""Budgets: reserved before they are spent, totals over restarts, closed when anything is used up."""

import pytest

from consilience.core.bodies import StudyConfigured, TrialCancelled, TrialFinished, TrialStarted
from consilience.core.events import Event, Payload
from consilience.core.outcome import Isolation, Resources
from consilience.core.problem import Limits
from consilience.core.study import Budget, Spend, StudySettings
from consilience.journal.views.budget import BudgetView
from consilience.search.budget import exhausted_reason, reserve_trial

LIMITS = Limits(wall_seconds=10, cpu_seconds=5)


def event(name: str, body: object) -> Event:
    fields = Payload(v=1, hive="h", author="a", feed="f", seq=0, prev=None, after=(), at=0, kind="k", body={})
    return Event(id=name, payload=b"", jws="", fields=fields, body=body)


def view(budget: Budget) -> BudgetView:
    made = BudgetView()
    made.apply(event("c", StudyConfigured(version=1, settings=StudySettings(budget=budget))))
    return made


def start(made: BudgetView, name: str, spend: Spend) -> None:
    made.apply(event(name, TrialStarted(number=0, proposed="p", seed=0, purpose="screen", reserved=spend)))


def finish(made: BudgetView, name: str, spend: Spend) -> None:
    body = TrialFinished(
        started=name,
        metrics={},
        failure=None,
        resources=Resources(),
        spent=spend,
        isolation=Isolation(level="none", domain="told"),
        comparability_key="",
        environment="",
        log="",
        feedback="",
    )
    made.apply(event("f", body))


def test_a_reservation_counts_until_it_is_settled() -> None:
    made = view(Budget(trials=1, wall_ms=60_000))
    reservation = reserve_trial(made, LIMITS)
    assert reservation is not None
    assert reservation.spend == Spend(trials=1, wall_ms=10_000, cpu_ms=5_000)
    start(made, "s", reservation.spend)
    assert reserve_trial(made, LIMITS) is None
    made.apply(event("x", TrialCancelled(started="s", reason="cancelled", spent=Spend(wall_ms=3_000))))
    assert made.remaining("trials") == 1
    assert made.remaining("wall_ms") == 57_000


def test_a_trial_is_cut_to_what_is_left() -> None:
    made = view(Budget(wall_ms=4_000))
    reservation = reserve_trial(made, LIMITS)
    assert reservation is not None
    assert reservation.cut
    assert reservation.limits.wall_seconds == 4.0
    assert reservation.limits.cpu_seconds == 5.0


@pytest.mark.parametrize(
    ("budget", "spend", "words"),
    [
        (Budget(trials=2), Spend(trials=2), "trials"),
        (Budget(wall_ms=100), Spend(wall_ms=120), "wall time"),
        (Budget(cpu_ms=100), Spend(cpu_ms=100), "CPU time"),
        (Budget(tokens=5), Spend(tokens=5), "tokens"),
        (Budget(money_microusd="5"), Spend(money_microusd="7"), "money"),
    ],
)
def test_any_amount_used_up_closes_the_budget(budget: Budget, spend: Spend, words: str) -> None:
    made = view(budget)
    assert exhausted_reason(made) == ""
    start(made, "s", spend)
    finish(made, "s", spend)
    assert reserve_trial(made, LIMITS) is None
    assert exhausted_reason(made) == f"the budget of {words} is used up"
