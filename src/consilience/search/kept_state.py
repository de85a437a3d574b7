"""What a snapshot keeps of the search state: the types of its parts, and the members at hand by name.

Rules:
    1. Whatever `SearchState` remembers is named here, or is lost when a study is opened from its snapshot.
    2. What grows with the journal is a table or lists; everything else is a cell.

Data flow: SearchState -> these names -> `journal.snapshots` -> SearchState.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from msgspec import Struct

from consilience.core.bodies import NoiseMeasured, TrialStarted
from consilience.core.ports import Phase, Tried
from consilience.core.study import StudySettings
from consilience.journal.views.budget import BudgetView
from consilience.search.credit import Credit
from consilience.search.member import Member
from consilience.search.noise import NoiseFloor


class Chosen(Struct, frozen=True, kw_only=True):
    """The members that a state has at hand, by their events; "" is none."""

    pool: tuple[str, ...]
    recent: tuple[str, ...]
    baseline: str
    incumbent: str
    open: tuple[str, ...]


Floors = tuple[NoiseMeasured | None, NoiseFloor | None]


CELLS: Mapping[str, Any] = {
    "settings": StudySettings | None,
    "key": str,
    **{f"budget.{name}": kind for name, kind in BudgetView.cells.items()},
    "credit.operators": dict[str, Credit],
    "governor.phase": Phase,
    "governor.steps": int,
    "governor.novelty_average": float,
    "governor.without_promotion": int,
    "in_flight": dict[str, TrialStarted],
    "trials": int,
    "contests": int,
    "measured": NoiseMeasured | None,
    "noise": NoiseFloor | None,
    "_floors": dict[str, Floors],
    "baseline_fault": str,
    "_bound": float | None,
    "chosen": Chosen,
}
TABLES: Mapping[str, Any] = {
    "members": Member,
    "by_candidate": str,
    "forms": str,
    "started": TrialStarted,
    "undone": str,
    "_promotions": str,
}
LISTS: Mapping[str, Any] = {"tried": Tried}
