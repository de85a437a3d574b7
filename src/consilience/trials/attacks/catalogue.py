"""The catalogue: every attack by its number.

Rules:
    1. Numbers 1 to 38 are those of the list that the suite was built from; 39 and 40 are a browser's and come
       with that worker; from 41 on they are our own.

Data flow: the groups of attacks -> CATALOGUE -> suite, docs/attacks.md.
"""

from __future__ import annotations

from collections.abc import Collection

from consilience.core.errors import UsageError
from consilience.trials.attacks import artefacts, channel, inside, outside, timing, whole
from consilience.trials.attacks.model import Attack

_GROUPS = (inside.ATTACKS, channel.ATTACKS, timing.ATTACKS, artefacts.ATTACKS, outside.ATTACKS, whole.ATTACKS)

CATALOGUE: tuple[Attack, ...] = tuple(
    sorted((attack for group in _GROUPS for attack in group), key=lambda attack: attack.number)
)


def choose_attacks(numbers: Collection[int]) -> tuple[Attack, ...]:
    """Return the attacks with these numbers, or all for none.

    Raises:
        UsageError: a number is not in the catalogue.
    """
    known = {attack.number for attack in CATALOGUE}
    unknown = sorted(set(numbers) - known)
    if unknown:
        hint = f"known are {min(known)} to 38 and 41 to {max(known)}; 39 and 40 are a browser's (docs/attacks.md)"
        raise UsageError(f"there is no attack {', '.join(map(str, unknown))}", hint=hint)
    return tuple(attack for attack in CATALOGUE if not numbers or attack.number in numbers)
