"""What the doctor finds: one thing that was looked at, whether it is in order, and how to mend it.

Rules:
    1. What is not in order says how to mend it.

Data flow: `doctor`, `doctor_*` -> Finding -> `consilience doctor`.
"""

from __future__ import annotations

from typing import Literal

from msgspec import Struct

Health = Literal["ok", "warning", "failed"]


class Finding(Struct, frozen=True, kw_only=True):
    """One thing that was looked at. `mend` is "" where nothing has to be done."""

    name: str
    health: Health
    found: str
    mend: str = ""
