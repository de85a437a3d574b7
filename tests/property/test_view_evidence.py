"""Every view says which kinds of events it is made of, and is made of no others: so ids behind any figure are known."""

import importlib
import inspect
import pkgutil
from typing import Any

import pytest
from msgspec import structs
from number_studies import PROBLEM, plain, study

from consilience.core import bodies
from consilience.core.bodies import RecordImported
from consilience.core.events import Event
from consilience.core.study import Policy, Spend
from consilience.journal import views
from consilience.journal.kinds import KINDS
from consilience.search import state as search_state

# What these show names its own events, row by row; beliefs fade with every event of their hive, whatever its kind.
OF_IDENTITIES = {"KeysView", "SoulView", "HiveDecisions", "BeliefsView"}
ARGUMENTS = {"LeaderboardView": (PROBLEM.objective,), "SearchState": (PROBLEM,)}


def found_views() -> list[Any]:
    """Return every class of `journal.views`, and the search state, that figures of a study are taken from."""
    modules = [
        importlib.import_module(f"{views.__name__}.{each.name}") for each in pkgutil.iter_modules(views.__path__)
    ]
    classes = [
        made
        for module in [*modules, search_state]
        for _, made in inspect.getmembers(module, inspect.isclass)
        if made.__module__ == module.__name__
        and hasattr(made, "apply")
        and not made.__name__.startswith("_")
        and made.__name__ not in OF_IDENTITIES
    ]
    assert {"TrialsView", "BudgetView", "SearchState"} <= {made.__name__ for made in classes}
    return classes


VIEWS = found_views()


def made_of(view: Any, events: list[Event]) -> Any:
    made = view(*ARGUMENTS.get(view.__name__, ()))
    for event in events:
        made.apply(event)
    return made


@pytest.fixture(scope="module")
def events() -> list[Event]:
    made = study(3)
    made.configure(structs.replace(made.state.study, policy=Policy(bound=1e9)))
    started = next(event.body for event in made.events if isinstance(event.body, bodies.TrialStarted))
    made._append(structs.replace(started, number=made.state.trials, reserved=Spend(trials=1)))
    made._append(
        RecordImported(
            source="s", row=0, label="x", metric="score", value=1.0, memory_gb=None, status="keep", description=""
        )
    )
    made._append(bodies.EpochClosed(epoch=1, heads=(made.events[-1].id,)))
    made._append(bodies.PhaseSwitched(phase="exploit", figures={}, reason="test"))
    return made.events


@pytest.mark.parametrize("view", VIEWS, ids=lambda view: view.__name__)
def test_it_names_what_it_is_made_of(view: Any) -> None:
    assert view.folds
    assert {kind.body for kind in KINDS} >= set(view.folds)


@pytest.mark.parametrize("view", VIEWS, ids=lambda view: view.__name__)
def test_nothing_else_moves_it(view: Any, events: list[Event]) -> None:
    mine = [event for event in events if isinstance(event.body, view.folds)]
    assert plain(made_of(view, events)) == plain(made_of(view, mine))


@pytest.mark.parametrize("view", VIEWS, ids=lambda view: view.__name__)
def test_each_of_them_moves_it(view: Any, events: list[Event]) -> None:
    whole = plain(made_of(view, events))
    present = {type(event.body) for event in events}
    for body in view.folds:
        if body in present:
            without = [event for event in events if not isinstance(event.body, body)]
            assert moved(view, without, whole), body.__name__


def moved(view: Any, events: list[Event], whole: Any) -> bool:
    try:
        return bool(plain(made_of(view, events)) != whole)
    except LookupError:
        return True  # it cannot do without
