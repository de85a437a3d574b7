"""What each view keeps of an excised event: what was spent, numbered, asked or taken in; never what it was worth."""

from __future__ import annotations

from typing import Any

from consilience.core.bodies import (
    RecordImported,
    StudyConfigured,
    TrialCancelled,
    TrialFinished,
    TrialPurpose,
    TrialStarted,
    VerdictReached,
)
from consilience.core.bodies_journal import ResultExcised
from consilience.core.events import Event, Payload
from consilience.core.outcome import Isolation, Resources
from consilience.core.problem import Objective
from consilience.core.study import Budget, Policy, Spend, StudySettings
from consilience.journal.excision import excisions_of
from consilience.journal.kinds import kind_named
from consilience.journal.standing import fold_standing
from consilience.journal.views.budget import BudgetView
from consilience.journal.views.leaderboard import LeaderboardView
from consilience.journal.views.lineage import LineageView
from consilience.journal.views.run_state import RunStateView
from consilience.journal.views.trials import TrialsView
from consilience.testing.candidates import plain_candidate


def event(name: str, body: Any) -> Event:
    kind = kind_named(type(body))
    fields = Payload(v=1, hive="h", author="a", feed="f", seq=0, prev=None, after=(), at=7, kind=kind, body={})
    return Event(id=name, payload=b"", jws="", fields=fields, body=body)


def candidate(name: str, *parents: str) -> Event:
    body = plain_candidate(f"artifact {name}", *parents, normal_form=name)
    return event(name, body)


def started(name: str, proposed: str, number: int, purpose: TrialPurpose = "screen") -> Event:
    return event(
        name, TrialStarted(number=number, proposed=proposed, seed=1, purpose=purpose, reserved=Spend(trials=1))
    )


def finished(name: str, of: str) -> Event:
    body = TrialFinished(
        started=of,
        metrics={"m": 1.0},
        failure=None,
        resources=Resources(),
        spent=Spend(trials=1, wall_ms=10),
        isolation=Isolation(level="none", domain="told"),
        comparability_key="k",
        environment="e",
        log="",
        feedback="",
    )
    return event(name, body)


SETTINGS = StudySettings(budget=Budget(trials=9), policy=Policy(holdout_queries=3))
EVENTS = [
    event("settings", StudyConfigured(version=1, settings=SETTINGS)),
    candidate("base"),
    started("s0", "base", 0, "baseline"),
    finished("f0", "s0"),
    candidate("cheat", "base"),
    started("s1", "cheat", 1),
    finished("f1", "s1"),
    started("s2", "cheat", 2, "holdout"),
    finished("f2", "s2"),
    started("s3", "cheat", 3),
    event("c3", TrialCancelled(started="s3", reason="interrupted", spent=Spend(wall_ms=5))),
    started("s4", "cheat", 4),
    event(
        "verdict",
        VerdictReached(
            candidate="cheat", incumbent="base", verdict="promoted", reasons=(), figures={}, trials=("f1", "f0")
        ),
    ),
    event("cut", ResultExcised(target="cheat", reason="because")),
]


def folded(view: Any, events: list[Event] = EVENTS) -> Any:
    fold_standing((view,), events, excisions_of(events))
    return view


def test_what_was_spent_reserved_and_asked_stays() -> None:
    view = folded(BudgetView())
    assert view.spent == Spend(trials=3, wall_ms=35)
    assert list(view.reserved) == ["s4"]
    assert (view.holdout_queries, view.holdout_left) == (1, 2)


def test_trials_are_rows_that_are_marked() -> None:
    view = folded(TrialsView())
    rows = {row.number: (row.status, row.excised) for row in view.rows.values()}
    assert rows[0] == ("ok", "")
    assert rows[1] == rows[2] == rows[4] == ("excised", "cut")
    assert rows[3] == ("interrupted", "cut")
    assert not view.verdicts
    assert set(view.candidates) == {"base", "cheat"}


def test_the_lineage_keeps_its_place() -> None:
    view = folded(LineageView())
    assert view.line("cheat") == ("base", "cheat")
    assert view.excised == {"cheat": "cut"}


def test_runs_count_it_apart_and_what_is_in_flight_is_still_released() -> None:
    view = folded(RunStateView())
    assert view.outcomes == {"ok": 1, "excised": 2, "interrupted": 1}
    assert view.in_flight_since() == [("s4", 7)]
    assert view.started == 5


def test_the_board_has_never_seen_it() -> None:
    view = folded(LeaderboardView(Objective(metric="m", direction="maximize")))
    assert [row.candidate for row in view.rows("k")] == ["artifact base"]
    assert view.rows("k")[0].events == ("base", "f0")


def test_an_excised_record_is_not_taken_in_again() -> None:
    record = RecordImported(
        source="table", row=0, label="x", metric="m", value=1.0, memory_gb=None, status="keep", description=""
    )
    view = folded(TrialsView(), [event("r", record), event("cut", ResultExcised(target="r", reason="because"))])
    assert not view.records
    assert view.imported == {"table": "r"}
