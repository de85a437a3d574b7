"""The budget view: what the study may use in total, what is reserved, what is spent.

Rules:
    1. Totals live as long as the study: a resumed run goes on from what was spent.
    2. A reservation counts as spent until its trial finishes or is cancelled (fail closed).
    3. A holdout query counts from its start, whatever comes of it (fail closed), and never comes back.
    4. Excision gives nothing back: what was excised was paid for.

Data flow: study.configured, trial.* -> here -> `search.budget` and the live face.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, ClassVar

from consilience.core.bodies import StudyConfigured, TrialCancelled, TrialFinished, TrialStarted
from consilience.core.events import Event
from consilience.core.study import Budget, Spend


class BudgetView:
    """Fold of everything that costs."""

    folds = (StudyConfigured, TrialStarted, TrialFinished, TrialCancelled)

    cells: ClassVar[Mapping[str, Any]] = {
        "total": Budget,
        "spent": Spend,
        "reserved": dict[str, Spend],
        "holdout_queries": int,
        "_holdout_limit": int,
    }
    tables: ClassVar[Mapping[str, Any]] = {}
    lists: ClassVar[Mapping[str, Any]] = {}

    def __init__(self) -> None:
        self.total = Budget()
        self.spent = Spend()
        self.reserved: dict[str, Spend] = {}
        self.holdout_queries = 0
        self._holdout_limit = 0

    def apply(self, event: Event) -> None:
        """Take one more event."""
        body = event.body
        if isinstance(body, StudyConfigured):
            self.total = body.settings.budget
            self._holdout_limit = body.settings.policy.holdout_queries
        elif isinstance(body, TrialStarted):
            self.reserved[event.id] = body.reserved
            self.holdout_queries += body.purpose == "holdout"
        elif isinstance(body, TrialFinished | TrialCancelled):
            self.reserved.pop(body.started, None)
            self.spent = self.spent + body.spent

    def apply_withdrawn(self, event: Event, excision: str) -> None:  # noqa: ARG002  a view's signature
        """Take one more event that was excised: it cost what it cost."""
        self.apply(event)

    @property
    def committed(self) -> Spend:
        """What is spent or reserved."""
        return sum(self.reserved.values(), self.spent)

    @property
    def holdout_left(self) -> int:
        """How often the holdout may still be asked; never below 0."""
        return max(0, self._holdout_limit - self.holdout_queries)

    def remaining(self, amount: str) -> int | None:
        """Return what is left of one amount (a field of Budget); None where there is no limit."""
        total = getattr(self.total, amount)
        return None if total is None else int(total) - int(getattr(self.committed, amount))
