"""What the doctor says: one thing that was looked at, how it is, and what mends it."""

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
