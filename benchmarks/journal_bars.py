"""What the journal's benchmarks are held to, and a figure beside each bar.

Bars are of the journal's design: a node appends 8,000 signed events per second, verifies at 0.6 of the bare signature
check, opens a million events in two seconds, folds one in a millisecond, and needs no more memory for a million events
than for ten thousand. "No more" is at most FLAT times as much: caches of fixed size fill on the way.

Data flow: figures -> `Bar` -> table, JSON.
"""

from __future__ import annotations

from msgspec import Struct

APPENDS = 8_000  # signed appends per second, synchronous=FULL
VERIFYING = 0.6  # of the bare check of the same signatures
OPENING_SECONDS = 2.0
FOLDING_MS = 1.0  # one event into every view
FLAT = 1.2


class Bar(Struct, frozen=True):
    """A figure beside its bar; `least` where more is better."""

    what: str
    figure: float
    bar: float
    least: bool = False

    @property
    def met(self) -> bool:
        """Whether the figure reaches the bar."""
        return self.figure >= self.bar if self.least else self.figure <= self.bar


def show_bars(bars: list[Bar]) -> None:
    """Print each figure with its bar, and whether it is met."""
    print(f"\n{'bar':<52}{'figure':>12}{'':>4}{'bar':>8}")
    for each in bars:
        sign, verdict = (">=" if each.least else "<="), ("met" if each.met else "NOT MET")
        print(f"{each.what:<52}{each.figure:>12.6g}{sign:>4}{each.bar:>8.6g}  {verdict}")


def told(bars: list[Bar]) -> list[dict[str, object]]:
    """Return the same for JSON."""
    return [{"what": each.what, "figure": each.figure, "bar": each.bar, "met": each.met} for each in bars]
